//! The server's end of raft between the voters.

use super::codec;
use super::early_election::{Evidence, LeaderLink};
use super::peers::Identity;
use super::pulse::LastHeard;
use super::types::{Raft, Snapshot, SnapshotMeta, TypeConfig, Vote};
use crate::bootstrap::VoteGate;
use bytes::{Bytes, BytesMut};
use futures::stream::BoxStream;
use futures::{Stream, StreamExt};
use milena_rpc::proto::{RaftMessage, SnapshotChunk, snapshot_chunk::Chunk};
use openraft::raft::{AppendEntriesRequest, TransferLeaderRequest, VoteRequest};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio::sync::mpsc;
use tonic::{Request, Response, Status, Streaming};

/// Serves `milena.v1.Raft`.
pub(crate) struct RaftService {
    raft: Raft,
    identity: Arc<Identity>,
    gate: Arc<VoteGate>,
    evidence: mpsc::Sender<Evidence>,
    heard: LastHeard,
}

impl RaftService {
    pub(crate) fn new(
        raft: Raft,
        identity: Arc<Identity>,
        gate: Arc<VoteGate>,
        evidence: mpsc::Sender<Evidence>,
        heard: LastHeard,
    ) -> Arc<Self> {
        Arc::new(Self {
            raft,
            identity,
            gate,
            evidence,
            heard,
        })
    }

    fn open<T: DeserializeOwned>(&self, message: &RaftMessage) -> Result<T, Status> {
        self.identity.check(message)?;
        codec::decode(&message.payload).map_err(|error| Status::invalid_argument(error.to_string()))
    }

    fn answer<T: Serialize>(&self, value: &T) -> Result<Response<RaftMessage>, Status> {
        let payload = codec::encode(value).map_err(|error| Status::internal(error.to_string()))?;
        Ok(Response::new(answer(payload)))
    }

    /// Takes a leader's requests one by one and answers each, in order, until one is refused.
    pub(crate) fn appends<S>(
        &self,
        messages: S,
    ) -> Result<BoxStream<'static, Result<RaftMessage, Status>>, Status>
    where
        S: Stream<Item = Result<RaftMessage, Status>> + Send + Unpin + 'static,
    {
        self.gate.check_follows()?;
        let input = AppendInput {
            messages,
            identity: Arc::clone(&self.identity),
            link: LeaderLink::new(self.evidence.clone()),
            heard: self.heard.clone(),
        };
        let output = self.raft.stream_append(input).map(|result| {
            let payload = codec::encode(&result.map_err(stopped)?).map_err(stopped)?;
            Ok(answer(payload))
        });
        Ok(output.boxed())
    }

    /// Takes a whole snapshot in the place of the log.
    async fn install(
        &self,
        vote: Vote,
        meta: SnapshotMeta,
        content: Bytes,
    ) -> Result<Response<RaftMessage>, Status> {
        self.gate.check_follows()?;
        // Checked before raft takes it: an image that cannot be read would stop this node.
        milena_rpc::decode_image(&content).map_err(|error| Status::invalid_argument(error.to_string()))?;
        let snapshot = Snapshot {
            meta,
            snapshot: content,
        };
        self.answer(
            &self
                .raft
                .install_full_snapshot(vote, snapshot)
                .await
                .map_err(stopped)?,
        )
    }

    /// As the call of this name, with the pieces put together.
    #[cfg(test)]
    pub(crate) async fn whole_snapshot(
        &self,
        begin: &RaftMessage,
        content: Bytes,
    ) -> Result<Response<RaftMessage>, Status> {
        let (vote, meta): (Vote, SnapshotMeta) = self.open(begin)?;
        self.install(vote, meta, content).await
    }
}

/// Answers are matched to their request by the connection: they need no addressee.
fn answer(payload: Vec<u8>) -> RaftMessage {
    RaftMessage {
        format: u32::from(codec::FORMAT),
        to: 0,
        cluster: String::new(),
        payload: payload.into(),
    }
}

fn stopped(error: impl std::fmt::Display) -> Status {
    Status::unavailable(error.to_string())
}

#[tonic::async_trait]
impl milena_rpc::proto::raft_server::Raft for RaftService {
    type AppendStreamStream = BoxStream<'static, Result<RaftMessage, Status>>;

    async fn vote(&self, request: Request<RaftMessage>) -> Result<Response<RaftMessage>, Status> {
        let vote: VoteRequest<TypeConfig> = self.open(request.get_ref())?;
        self.gate.check()?;
        self.answer(&self.raft.vote(vote).await.map_err(stopped)?)
    }

    async fn pre_vote(&self, request: Request<RaftMessage>) -> Result<Response<RaftMessage>, Status> {
        let vote: VoteRequest<TypeConfig> = self.open(request.get_ref())?;
        self.gate.check()?;
        self.answer(&self.raft.pre_vote(vote).await.map_err(stopped)?)
    }

    async fn transfer_leader(&self, request: Request<RaftMessage>) -> Result<Response<RaftMessage>, Status> {
        let transfer: TransferLeaderRequest<TypeConfig> = self.open(request.get_ref())?;
        self.answer(
            &self
                .raft
                .handle_transfer_leader(transfer)
                .await
                .map_err(stopped)?,
        )
    }

    async fn append(&self, request: Request<RaftMessage>) -> Result<Response<RaftMessage>, Status> {
        let append: AppendEntriesRequest<TypeConfig> = self.open(request.get_ref())?;
        self.gate.check_follows()?;
        self.answer(&self.raft.append_entries(append).await.map_err(stopped)?)
    }

    async fn append_stream(
        &self,
        request: Request<Streaming<RaftMessage>>,
    ) -> Result<Response<Self::AppendStreamStream>, Status> {
        Ok(Response::new(self.appends(request.into_inner())?))
    }

    async fn snapshot(
        &self,
        request: Request<Streaming<SnapshotChunk>>,
    ) -> Result<Response<RaftMessage>, Status> {
        let mut messages = request.into_inner();
        let Some(Chunk::Begin(begin)) = messages.message().await?.and_then(|message| message.chunk) else {
            return Err(Status::invalid_argument("a snapshot begins with its meta"));
        };
        let (vote, meta): (Vote, SnapshotMeta) = self.open(&begin)?;
        let mut content = BytesMut::new();
        while let Some(message) = messages.message().await? {
            let Some(Chunk::Data(piece)) = message.chunk else {
                return Err(Status::invalid_argument("a snapshot goes on with data"));
            };
            if content.len() + piece.len() > milena_rpc::IMAGE_BYTES_MAX {
                return Err(Status::resource_exhausted("the snapshot is too large"));
            }
            content.extend_from_slice(&piece);
        }
        self.install(vote, meta, content.freeze()).await
    }
}

/// A leader's requests; ends at the first that cannot be read. Its end is evidence about the leader.
struct AppendInput<S> {
    messages: S,
    identity: Arc<Identity>,
    link: LeaderLink,
    heard: LastHeard,
}

impl<S> Stream for AppendInput<S>
where
    S: Stream<Item = Result<RaftMessage, Status>> + Unpin,
{
    type Item = AppendEntriesRequest<TypeConfig>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let message = match Pin::new(&mut self.messages).poll_next(context) {
            Poll::Pending => return Poll::Pending,
            Poll::Ready(Some(Ok(message))) => message,
            Poll::Ready(None | Some(Err(_))) => return Poll::Ready(None),
        };
        if let Err(status) = self.identity.check(&message) {
            tracing::warn!(%status, "refused an append");
            return Poll::Ready(None);
        }
        match codec::decode::<AppendEntriesRequest<TypeConfig>>(&message.payload) {
            Ok(request) => {
                self.link.seen(request.vote);
                self.heard.now();
                Poll::Ready(Some(request))
            }
            Err(error) => {
                tracing::warn!(%error, "refused an append");
                Poll::Ready(None)
            }
        }
    }
}

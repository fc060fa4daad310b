//! Raft's calls to one peer, over the way to it that all of them share.

use super::append_stream::{AppendResult, AppendSender, unreachable};
use super::codec;
use super::peers::{Identity, Peers};
use super::types::{Snapshot, TypeConfig, Vote};
use super::wire::{Method, Wire};
use crate::config::ControllerError;
use bytes::Bytes;
use futures::Stream;
use futures::stream::BoxStream;
use openraft::base::BoxFuture;
use openraft::errors::{RPCError, ReplicationClosed, StreamingError, Unreachable};
use openraft::impls::BasicNode;
use openraft::network::{
    Backoff, NetBackoff, NetSnapshot, NetStreamAppend, NetTransferLeader, NetVote, RPCOption,
    RaftNetworkFactory,
};
use openraft::raft::{
    AppendEntriesRequest, SnapshotResponse, TransferLeaderRequest, TransferLeaderResponse, VoteRequest,
    VoteResponse,
};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

/// Makes one [`PeerNetwork`] per peer and purpose; all of them share the way to it.
pub(crate) struct Network {
    identity: Arc<Identity>,
    peers: Peers,
}

impl Network {
    pub(crate) fn new(identity: Arc<Identity>, peers: Peers) -> Self {
        Self { identity, peers }
    }

    /// The configured address wins over the one in the membership: hosts move.
    fn peer(&self, target: u64, node: &BasicNode) -> Result<Arc<dyn Wire>, ControllerError> {
        match self.peers.get(target) {
            Some(peer) => Ok(Arc::clone(peer)),
            None => Ok(self.peers.connect(&node.addr)?),
        }
    }
}

impl RaftNetworkFactory<TypeConfig> for Network {
    type Network = PeerNetwork;

    async fn new_client(&mut self, target: u64, node: &BasicNode) -> PeerNetwork {
        match self.peer(target, node) {
            Ok(peer) => {
                let append = AppendSender::new(Arc::clone(&self.identity), target, Arc::clone(&peer));
                PeerNetwork {
                    identity: Arc::clone(&self.identity),
                    target,
                    reach: Some((peer, append)),
                }
            }
            Err(error) => {
                tracing::error!(%error, target, "this voter has no usable address");
                PeerNetwork {
                    identity: Arc::clone(&self.identity),
                    target,
                    reach: None,
                }
            }
        }
    }
}

/// Calls to one peer.
pub(crate) struct PeerNetwork {
    identity: Arc<Identity>,
    target: u64,
    reach: Option<(Arc<dyn Wire>, AppendSender)>,
}

impl PeerNetwork {
    fn peer(&self) -> Result<&Arc<dyn Wire>, Unreachable<TypeConfig>> {
        match &self.reach {
            Some((peer, _)) => Ok(peer),
            None => Err(Unreachable::new(&no_address())),
        }
    }

    async fn call<Q: Serialize, A: DeserializeOwned>(
        &self,
        method: Method,
        request: &Q,
        patience: Duration,
    ) -> Result<A, RPCError<TypeConfig>> {
        let payload = codec::encode(request).map_err(|error| unreachable(&error))?;
        let message = self.identity.message(self.target, payload);
        let answer = self.peer()?.call(method, message);
        let answer = tokio::time::timeout(patience, answer)
            .await
            .map_err(|late| unreachable(&late))?;
        let answer = answer.map_err(|status| unreachable(&status))?;
        codec::decode(&answer.payload).map_err(|error| unreachable(&error))
    }
}

fn no_address() -> std::io::Error {
    std::io::Error::other("the voter has no usable address")
}

impl NetBackoff<TypeConfig> for PeerNetwork {
    fn backoff(&self) -> Option<Backoff> {
        None
    }
}

impl NetVote<TypeConfig> for PeerNetwork {
    async fn vote(
        &mut self,
        request: VoteRequest<TypeConfig>,
        option: RPCOption,
    ) -> Result<VoteResponse<TypeConfig>, RPCError<TypeConfig>> {
        self.call(Method::Vote, &request, option.soft_ttl()).await
    }

    async fn pre_vote(
        &mut self,
        request: VoteRequest<TypeConfig>,
        option: RPCOption,
    ) -> Result<VoteResponse<TypeConfig>, RPCError<TypeConfig>> {
        self.call(Method::PreVote, &request, option.soft_ttl()).await
    }
}

impl NetTransferLeader<TypeConfig> for PeerNetwork {
    async fn transfer_leader(
        &mut self,
        request: TransferLeaderRequest<TypeConfig>,
        option: RPCOption,
    ) -> Result<TransferLeaderResponse<TypeConfig>, RPCError<TypeConfig>> {
        self.call(Method::TransferLeader, &request, option.soft_ttl())
            .await
    }
}

impl NetStreamAppend<TypeConfig> for PeerNetwork {
    fn stream_append<'s, S>(
        &'s mut self,
        input: S,
        option: RPCOption,
    ) -> BoxFuture<'s, Result<BoxStream<'s, AppendResult>, RPCError<TypeConfig>>>
    where
        S: Stream<Item = AppendEntriesRequest<TypeConfig>> + Send + Unpin + 'static,
    {
        Box::pin(async move {
            match &mut self.reach {
                Some((_, append)) => append.send(input, option.soft_ttl()).await,
                None => Err(unreachable(&no_address())),
            }
        })
    }
}

impl NetSnapshot<TypeConfig> for PeerNetwork {
    type SnapshotData = Bytes;

    async fn full_snapshot(
        &mut self,
        vote: Vote,
        snapshot: Snapshot,
        cancel: impl Future<Output = ReplicationClosed> + Send + 'static,
        option: RPCOption,
    ) -> Result<SnapshotResponse<TypeConfig>, StreamingError<TypeConfig>> {
        let failed = |error: &dyn std::error::Error| {
            StreamingError::Unreachable(Unreachable::new(&std::io::Error::other(error.to_string())))
        };
        let begin = codec::encode(&(vote, snapshot.meta)).map_err(|error| failed(&error))?;
        let begin = self.identity.message(self.target, begin);
        let answer = self.peer()?.snapshot(begin, snapshot.snapshot);
        tokio::select! {
            biased;
            closed = cancel => Err(closed.into()),
            answer = tokio::time::timeout(option.hard_ttl(), answer) => {
                let answer = answer.map_err(|late| failed(&late))?.map_err(|status| failed(&status))?;
                codec::decode(&answer.payload).map_err(|error| failed(&error))
            }
        }
    }
}

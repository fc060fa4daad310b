//! The way to another voter over gRPC: one connection, shared by everything that goes to it.

use super::wire::{Answers, Connect, Method, Wire};
use bytes::Bytes;
use futures::FutureExt;
use futures::future::BoxFuture;
use milena_rpc::Pieces;
use milena_rpc::channel::{self, AddressError, MESSAGE_BYTES_MAX};
use milena_rpc::dial::{Dialled, dial};
use milena_rpc::proto::controller_client::ControllerClient;
use milena_rpc::proto::raft_client::RaftClient;
use milena_rpc::proto::{
    FindClusterRequest, FindClusterResponse, RaftMessage, SnapshotChunk, snapshot_chunk::Chunk,
};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;
use tonic::transport::Channel;

/// Connects over gRPC. Must be used inside a tokio runtime: the connections live on it.
#[derive(Debug)]
pub(crate) struct Grpc;

impl Connect for Grpc {
    fn connect(&self, address: &str) -> Result<Arc<dyn Wire>, AddressError> {
        Ok(Arc::new(GrpcWire {
            address: address.to_owned(),
            channel: channel::connect_lazy(address)?,
        }))
    }
}

/// One other voter.
#[derive(Debug)]
struct GrpcWire {
    /// `host:port` of its controller listener.
    address: String,
    /// Connects at the first call and again when broken; clones share the connection.
    channel: Channel,
}

impl GrpcWire {
    fn raft(&self) -> RaftClient<Channel> {
        RaftClient::new(self.channel.clone())
            .max_decoding_message_size(MESSAGE_BYTES_MAX)
            .max_encoding_message_size(MESSAGE_BYTES_MAX)
    }
}

impl Wire for GrpcWire {
    fn call(&self, method: Method, message: RaftMessage) -> BoxFuture<'static, Result<RaftMessage, Status>> {
        let mut client = self.raft();
        async move {
            let answer = match method {
                Method::Vote => client.vote(message).await,
                Method::PreVote => client.pre_vote(message).await,
                Method::TransferLeader => client.transfer_leader(message).await,
            };
            Ok(answer?.into_inner())
        }
        .boxed()
    }

    fn append_stream(
        &self,
        requests: mpsc::Receiver<RaftMessage>,
    ) -> BoxFuture<'static, Result<Answers, Status>> {
        let mut client = self.raft();
        async move {
            let answers = client.append_stream(ReceiverStream::new(requests)).await?;
            Ok(Box::pin(answers.into_inner()) as Answers)
        }
        .boxed()
    }

    fn snapshot(
        &self,
        begin: RaftMessage,
        content: Bytes,
    ) -> BoxFuture<'static, Result<RaftMessage, Status>> {
        let mut client = self.raft();
        async move {
            let pieces = futures::stream::iter(chunks(begin, content));
            Ok(client.snapshot(pieces).await?.into_inner())
        }
        .boxed()
    }

    fn find_cluster(&self) -> BoxFuture<'static, Result<FindClusterResponse, Status>> {
        let mut client = ControllerClient::new(self.channel.clone());
        async move { Ok(client.find_cluster(FindClusterRequest {}).await?.into_inner()) }.boxed()
    }

    fn dial(&self, patience: Duration) -> BoxFuture<'static, Dialled> {
        let address = self.address.clone();
        async move { dial(&address, patience).await }.boxed()
    }
}

fn chunks(begin: RaftMessage, content: Bytes) -> impl Iterator<Item = SnapshotChunk> {
    let pieces = Pieces::of(content).map(|piece| Chunk::Data(piece.data));
    std::iter::once(Chunk::Begin(begin))
        .chain(pieces)
        .map(|chunk| SnapshotChunk { chunk: Some(chunk) })
}

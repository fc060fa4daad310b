//! The seam under the talk between voters: what one can ask of another, and who makes the connection.
//!
//! The product's is gRPC ([`super::grpc`]); a simulation puts its own there and keeps everything above it.

use bytes::Bytes;
use futures::Stream;
use futures::future::BoxFuture;
use milena_rpc::channel::AddressError;
use milena_rpc::dial::Dialled;
use milena_rpc::proto::{FindClusterResponse, RaftMessage};
use std::fmt::Debug;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tonic::Status;

/// A call of raft with one answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Method {
    Vote,
    PreVote,
    TransferLeader,
}

/// Answers on an append stream, in the order of the requests.
pub(crate) type Answers = Pin<Box<dyn Stream<Item = Result<RaftMessage, Status>> + Send + Sync>>;

/// The way to one voter; used from any number of tasks.
pub(crate) trait Wire: Debug + Send + Sync {
    /// Asks once.
    fn call(&self, method: Method, message: RaftMessage) -> BoxFuture<'static, Result<RaftMessage, Status>>;
    /// Opens a stream; it ends for the other side when the sender of `requests` is gone.
    fn append_stream(
        &self,
        requests: mpsc::Receiver<RaftMessage>,
    ) -> BoxFuture<'static, Result<Answers, Status>>;
    /// Sends a snapshot: its vote and meta, and its content.
    fn snapshot(&self, begin: RaftMessage, content: Bytes)
    -> BoxFuture<'static, Result<RaftMessage, Status>>;
    /// Asks what it knows of the cluster.
    fn find_cluster(&self) -> BoxFuture<'static, Result<FindClusterResponse, Status>>;
    /// Looks whether anybody is there at all.
    fn dial(&self, patience: Duration) -> BoxFuture<'static, Dialled>;
}

/// Makes ways to voters, by address.
pub(crate) trait Connect: Debug + Send + Sync {
    /// # Errors
    /// An address that does not parse. A voter that is not there is found out by the calls.
    fn connect(&self, address: &str) -> Result<Arc<dyn Wire>, AddressError>;
}

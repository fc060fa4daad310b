//! Pipelined appends: one long-lived stream per sender (replication, heartbeat) and peer.
//!
//! Answers come in the order of the requests. A stream is used again for the next call only when every request on it
//! was answered; whatever went wrong or was given up half-way closes it.

use super::codec;
use super::peers::Identity;
use super::types::TypeConfig;
use super::wire::{Answers, Wire};
use futures::stream::{BoxStream, Fuse};
use futures::{Stream, StreamExt};
use milena_rpc::proto::RaftMessage;
use openraft::errors::{NetworkError, RPCError, Unreachable};
use openraft::raft::{AppendEntriesRequest, StreamAppendResult};
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;

/// How many requests may be unanswered.
const IN_FLIGHT_MAX: usize = 16;
/// So many bytes a millisecond at least are carried and written by the slowest peer that is waited for: an answer to much may
/// take longer, or a large entry would be sent again and again and never be answered.
const BYTES_PER_MS: usize = 8 * 1024;

pub(crate) type AppendResult = Result<StreamAppendResult<TypeConfig>, RPCError<TypeConfig>>;

/// An open stream.
struct Link {
    requests: mpsc::Sender<RaftMessage>,
    answers: Answers,
}

/// The sender's end towards one peer.
pub(crate) struct AppendSender {
    identity: Arc<Identity>,
    target: u64,
    peer: Arc<dyn Wire>,
    idle: Option<Link>,
}

impl AppendSender {
    pub(crate) fn new(identity: Arc<Identity>, target: u64, peer: Arc<dyn Wire>) -> Self {
        Self {
            identity,
            target,
            peer,
            idle: None,
        }
    }

    async fn open(&self) -> Result<Link, RPCError<TypeConfig>> {
        let (requests, receiver) = mpsc::channel(IN_FLIGHT_MAX);
        let answers = self.peer.append_stream(receiver).await;
        let answers = answers.map_err(|status| unreachable(&status))?;
        Ok(Link { requests, answers })
    }

    /// Sends everything that `input` gives; the output ends when all is answered, or with the first error.
    /// `patience` bounds the opening of the stream, and, with what the bytes that are under way may take besides, the silence
    /// while an answer is due.
    pub(crate) async fn send<'s, S>(
        &'s mut self,
        input: S,
        patience: Duration,
    ) -> Result<BoxStream<'s, AppendResult>, RPCError<TypeConfig>>
    where
        S: Stream<Item = AppendEntriesRequest<TypeConfig>> + Send + Unpin + 'static,
    {
        let link = match self.idle.take() {
            Some(link) => link,
            None => tokio::time::timeout(patience, self.open())
                .await
                .map_err(|late| unreachable(&late))??,
        };
        let exchange = Exchange {
            sender: self,
            link,
            input: input.fuse(),
            in_flight: VecDeque::new(),
            patience,
        };
        Ok(futures::stream::unfold(Some(exchange), step).boxed())
    }
}

/// One call in progress; owns the stream until all is answered.
struct Exchange<'s, S: Stream> {
    sender: &'s mut AppendSender,
    link: Link,
    input: Fuse<S>,
    /// The sizes of what is not answered.
    in_flight: VecDeque<usize>,
    patience: Duration,
}

async fn step<'s, S>(exchange: Option<Exchange<'s, S>>) -> Option<(AppendResult, Option<Exchange<'s, S>>)>
where
    S: Stream<Item = AppendEntriesRequest<TypeConfig>> + Send + Unpin + 'static,
{
    let mut exchange = exchange?;
    match exchange.next_answer().await {
        Ok(Some(Ok(flushed))) => Some((Ok(Ok(flushed)), Some(exchange))),
        // The follower refused: it ends its side after this answer, and so do we.
        Ok(Some(refused)) => Some((Ok(refused), None)),
        Ok(None) => {
            exchange.sender.idle = Some(exchange.link);
            None
        }
        Err(error) => Some((Err(error), None)),
    }
}

impl<S> Exchange<'_, S>
where
    S: Stream<Item = AppendEntriesRequest<TypeConfig>> + Send + Unpin + 'static,
{
    /// Sends requests while there are any and room, until an answer comes; `None` when all is answered.
    async fn next_answer(&mut self) -> Result<Option<StreamAppendResult<TypeConfig>>, RPCError<TypeConfig>> {
        loop {
            if self.in_flight.is_empty() && self.input.is_done() {
                return Ok(None);
            }
            let patience = self.patience + time_for(self.in_flight.iter().sum());
            let may_send = self.in_flight.len() < IN_FLIGHT_MAX && !self.input.is_done();
            tokio::select! {
                // Requests first: there are never more than fit.
                biased;
                request = self.input.next(), if may_send => {
                    // No request and not done: the input ended just now; the loop notices.
                    let Some(request) = request else { continue };
                    let payload = codec::encode(&request).map_err(|error| network(&error))?;
                    let bytes = payload.len();
                    let message = self.sender.identity.message(self.sender.target, payload);
                    self.link.requests.send(message).await.map_err(|closed| network(&closed))?;
                    self.in_flight.push_back(bytes);
                }
                answer = tokio::time::timeout(patience, self.link.answers.next()), if !self.in_flight.is_empty() => {
                    let answer = answer.map_err(|late| network(&late))?;
                    let answer = answer.ok_or_else(|| network(&std::io::Error::other("the peer closed the stream")))?;
                    let answer = answer.map_err(|status| unreachable(&status))?;
                    self.in_flight.pop_front();
                    return Ok(Some(codec::decode(&answer.payload).map_err(|error| network(&error))?));
                }
            }
        }
    }
}

/// How long so many bytes may take.
fn time_for(bytes: usize) -> Duration {
    Duration::from_millis(u64::try_from(bytes / BYTES_PER_MS).unwrap_or(u64::MAX))
}

/// Try again after a while.
pub(crate) fn unreachable(error: &(impl std::error::Error + 'static)) -> RPCError<TypeConfig> {
    RPCError::Unreachable(Unreachable::new(error))
}

/// Try again at once.
fn network(error: &(impl std::error::Error + 'static)) -> RPCError<TypeConfig> {
    RPCError::Network(NetworkError::new(error))
}

#[cfg(test)]
mod tests {
    use super::super::types::{Entry, LogId, Proposal, Vote};
    use super::super::wire::Method;
    use super::*;
    use bytes::Bytes;
    use futures::FutureExt;
    use futures::future::BoxFuture;
    use milena_rpc::dial::Dialled;
    use milena_rpc::proto::FindClusterResponse;
    use milena_types::BrokerId;
    use openraft::alias::CommittedLeaderIdOf;
    use openraft::entry::RaftEntry;
    use openraft::vote::RaftLeaderId;
    use tokio_stream::wrappers::ReceiverStream;
    use tonic::Status;

    const PATIENCE: Duration = Duration::from_millis(150);

    /// Takes every append, after this time.
    #[derive(Debug)]
    struct Slow(Duration);

    impl Wire for Slow {
        fn append_stream(
            &self,
            requests: mpsc::Receiver<RaftMessage>,
        ) -> BoxFuture<'static, Result<Answers, Status>> {
            let pause = self.0;
            let answers = ReceiverStream::new(requests).then(move |request| async move {
                tokio::time::sleep(pause).await;
                let taken: StreamAppendResult<TypeConfig> = Ok(None);
                let payload = codec::encode(&taken).unwrap().into();
                Ok(RaftMessage { payload, ..request })
            });
            async move { Ok(Box::pin(answers) as Answers) }.boxed()
        }

        fn call(&self, _: Method, _: RaftMessage) -> BoxFuture<'static, Result<RaftMessage, Status>> {
            futures::future::pending().boxed()
        }

        fn snapshot(&self, _: RaftMessage, _: Bytes) -> BoxFuture<'static, Result<RaftMessage, Status>> {
            futures::future::pending().boxed()
        }

        fn find_cluster(&self) -> BoxFuture<'static, Result<FindClusterResponse, Status>> {
            futures::future::pending().boxed()
        }

        fn dial(&self, _: Duration) -> BoxFuture<'static, Dialled> {
            futures::future::pending().boxed()
        }
    }

    /// Whether an entry of so many bytes is answered by a peer that takes so long.
    async fn is_answered(bytes: usize, pause: Duration) -> bool {
        let log_id = LogId::new(CommittedLeaderIdOf::<TypeConfig>::new(1, 1), 1);
        let request = AppendEntriesRequest {
            vote: Vote::new_committed(1, 1),
            prev_log_id: None,
            entries: vec![Entry::new_normal(log_id, Proposal(vec![0; bytes].into()))],
            leader_commit: None,
        };
        let identity = Arc::new(Identity::new(BrokerId(1), None, Arc::default()));
        let mut sender = AppendSender::new(identity, 2, Arc::new(Slow(pause)));
        let input = futures::stream::iter([request]);
        let mut answers = sender.send(input, PATIENCE).await.unwrap();
        answers.next().await.unwrap().is_ok()
    }

    #[tokio::test(start_paused = true)]
    async fn the_answer_to_a_large_entry_is_waited_for() {
        let second = Duration::from_secs(1);
        assert!(is_answered(16 * 1024 * 1024, second).await);
        assert!(!is_answered(16, second).await, "a hung peer is noticed");
        assert!(is_answered(16, PATIENCE / 2).await);
    }
}

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
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;

/// How many requests may be unanswered.
const IN_FLIGHT_MAX: usize = 16;

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
    /// `patience` bounds the opening of the stream and the silence while an answer is due.
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
            in_flight: 0,
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
    in_flight: usize,
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
            if self.in_flight == 0 && self.input.is_done() {
                return Ok(None);
            }
            let may_send = self.in_flight < IN_FLIGHT_MAX && !self.input.is_done();
            tokio::select! {
                // Requests first: there are never more than fit.
                biased;
                request = self.input.next(), if may_send => {
                    // No request and not done: the input ended just now; the loop notices.
                    let Some(request) = request else { continue };
                    let payload = codec::encode(&request).map_err(|error| network(&error))?;
                    let message = self.sender.identity.message(self.sender.target, payload);
                    self.link.requests.send(message).await.map_err(|closed| network(&closed))?;
                    self.in_flight += 1;
                }
                answer = tokio::time::timeout(self.patience, self.link.answers.next()), if self.in_flight > 0 => {
                    let answer = answer.map_err(|late| network(&late))?;
                    let answer = answer.ok_or_else(|| network(&std::io::Error::other("the peer closed the stream")))?;
                    let answer = answer.map_err(|status| unreachable(&status))?;
                    self.in_flight -= 1;
                    return Ok(Some(codec::decode(&answer.payload).map_err(|error| network(&error))?));
                }
            }
        }
    }
}

/// Try again after a while.
pub(crate) fn unreachable(error: &(impl std::error::Error + 'static)) -> RPCError<TypeConfig> {
    RPCError::Unreachable(Unreachable::new(error))
}

/// Try again at once.
fn network(error: &(impl std::error::Error + 'static)) -> RPCError<TypeConfig> {
    RPCError::Network(NetworkError::new(error))
}

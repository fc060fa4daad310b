//! The answers of one connection that are still being worked out, in the order of their requests.
//!
//! Produce requests are pipelined: the appends of each have begun, in order, when it enters, only its acknowledgement is
//! awaited. Any other request is alone: the next one is read when it is answered. Only the front is polled: a request
//! that is no Produce does nothing before those in front of it are answered, and an answer that is ready early waits its
//! turn without cost. Source: `SocketServer` (one request in flight a connection); the pipelining is Milena's and cannot
//! be seen by a client.

use super::admission::RequestBytes;
use futures_util::future::LocalBoxFuture;
use milena_wire::ResponseFrame;
use std::collections::VecDeque;
use std::task::{Context, Poll};

/// What a request comes to.
pub(super) enum Answer {
    /// Send this.
    Frame(ResponseFrame),
    /// Nothing is sent (acks=0).
    Nothing,
    /// The connection must be closed, and why.
    Close(String),
}

/// A request that has begun.
pub(super) struct Begun {
    /// Resolves to its answer.
    pub(super) answer: LocalBoxFuture<'static, Answer>,
    /// The next request may begin before this one is answered.
    pub(super) pipelined: bool,
}

struct Waiting {
    begun: Begun,
    bytes: RequestBytes,
}

/// Requests under way.
#[derive(Default)]
pub(super) struct Pending {
    queue: VecDeque<Waiting>,
    bytes: usize,
}

/// Pipelined requests of one connection: a producer sends at most five, other clients one.
const PIPELINE_MAX: usize = 64;

/// Bytes of requests of one connection that wait for their acknowledgements.
const PIPELINE_BYTES_MAX: usize = 8 << 20;

impl Pending {
    pub(super) fn push(&mut self, begun: Begun, bytes: RequestBytes) {
        self.bytes += bytes.bytes();
        self.queue.push_back(Waiting { begun, bytes });
    }

    /// Abandons the answers; what has been appended stays.
    pub(super) fn clear(&mut self) {
        self.queue.clear();
        self.bytes = 0;
    }

    pub(super) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// True when another request may begin.
    pub(super) fn has_room(&self) -> bool {
        let pipelined = self.queue.back().is_none_or(|last| last.begun.pipelined);
        pipelined && self.queue.len() < PIPELINE_MAX && self.bytes < PIPELINE_BYTES_MAX
    }

    /// The answer at the front.
    pub(super) fn poll_front(&mut self, cx: &mut Context<'_>) -> Poll<Answer> {
        let Some(front) = self.queue.front_mut() else {
            return Poll::Pending;
        };
        let answer = std::task::ready!(front.begun.answer.as_mut().poll(cx));
        if let Some(done) = self.queue.pop_front() {
            self.bytes -= done.bytes.bytes();
        }
        Poll::Ready(answer)
    }
}

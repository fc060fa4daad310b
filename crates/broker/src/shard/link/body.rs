//! An HTTP body that is asked for its next message only when there is room for it.

use bytes::Bytes;
use futures_util::task::AtomicWaker;
use http::HeaderMap;
use http_body::{Body, Frame};
use std::collections::VecDeque;
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

/// Wakes a [`PullBody`] from any thread.
#[derive(Debug, Default)]
pub(super) struct BodySignal {
    waker: AtomicWaker,
    closed: AtomicBool,
}

impl BodySignal {
    /// There is something to send.
    pub(super) fn wake(&self) {
        self.waker.wake();
    }

    /// The stream ends after what was pulled already.
    pub(super) fn close(&self) {
        self.closed.store(true, Ordering::Release);
        self.waker.wake();
    }
}

/// What a body pulls its messages from: the chunks of one message, or nothing for now.
pub(super) type Source = Box<dyn FnMut() -> Option<Vec<Bytes>>>;

/// A body whose messages are made when HTTP/2 has room for them.
pub(super) struct PullBody {
    source: Source,
    signal: Arc<BodySignal>,
    chunks: VecDeque<Bytes>,
    /// Sent at the end; `None` once they are, or when there are none.
    trailers: Option<HeaderMap>,
}

impl PullBody {
    pub(super) fn new(source: Source, signal: Arc<BodySignal>, trailers: Option<HeaderMap>) -> Self {
        Self {
            source,
            signal,
            chunks: VecDeque::new(),
            trailers,
        }
    }

    fn next_chunk(&mut self) -> Option<Bytes> {
        if self.chunks.is_empty()
            && let Some(message) = (self.source)()
        {
            self.chunks.extend(message);
        }
        self.chunks.pop_front()
    }
}

impl Body for PullBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        // Registered before looking, so that a wake in between is not lost.
        self.signal.waker.register(cx.waker());
        if self.signal.closed.load(Ordering::Acquire) && self.chunks.is_empty() {
            return Poll::Ready(self.trailers.take().map(|trailers| Ok(Frame::trailers(trailers))));
        }
        match self.next_chunk() {
            Some(chunk) => Poll::Ready(Some(Ok(Frame::data(chunk)))),
            None => Poll::Pending,
        }
    }
}

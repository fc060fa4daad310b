//! One client connection: reads frames, begins requests in order, sends answers in order. One task, on the data
//! thread that serves it.
//!
//! Nothing a client does holds more memory than its share: reading stops while too much is under way, and a client
//! that neither sends nor reads is let go.

use super::admission::ConnectionSlot;
use super::context::KafkaContext;
use super::deadlines::{Deadlines, Expired};
use super::dispatch;
use super::pending::{Answer, Pending};
use super::read_buffer::ReadBuffer;
use bytes::Bytes;
use milena_wire::FrameError;
use std::collections::VecDeque;
use std::future::poll_fn;
use std::io::IoSlice;
use std::net::SocketAddr;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::net::tcp::WriteHalf;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// How often reading is tried again while the broker holds too many request bytes.
const ADMISSION_RETRY: Duration = Duration::from_millis(2);
/// Buffers that one write hands to the kernel.
const WRITE_SLICES: usize = 64;

/// What handlers may know of a connection.
pub(super) struct Peer {
    pub(super) ctx: Arc<KafkaContext>,
    /// The name of our listener: clients are told endpoints of the same name.
    pub(super) listener: Arc<str>,
    pub(super) address: SocketAddr,
}

impl Peer {
    /// The client's address as Kafka prints it.
    pub(super) fn host(&self) -> String {
        format!("/{}", self.address.ip())
    }
}

/// Why a connection ended that its client did not close.
#[derive(Debug, thiserror::Error)]
enum Closed {
    #[error(transparent)]
    Frame(#[from] FrameError),
    #[error("{0}")]
    Refused(String),
    #[error(transparent)]
    Expired(#[from] Expired),
    #[error(transparent)]
    Io(#[from] std::io::Error),
}

/// Serves a connection until it ends. Its slot is given back then.
pub(super) async fn serve(
    mut stream: TcpStream,
    peer: Peer,
    _slot: ConnectionSlot,
    shutdown: CancellationToken,
) {
    let address = peer.address;
    let mut connection = Connection::new(peer);
    let ended = connection.run(&mut stream, &shutdown).await;
    match ended {
        Ok(()) => tracing::trace!(client = %address, "connection closed"),
        Err(Closed::Io(error)) => tracing::debug!(client = %address, %error, "connection broke"),
        Err(reason @ Closed::Expired(Expired::Idle | Expired::Stalled)) => {
            tracing::debug!(client = %address, %reason, "connection closed");
        }
        Err(reason) => dispatch::log_refusal(address, &reason),
    }
}

struct Connection {
    peer: Rc<Peer>,
    buffer: ReadBuffer,
    pending: Pending,
    out: VecDeque<Bytes>,
    /// The client has closed its side, or broke the protocol, or the broker stops: no further request is read, what has
    /// begun is still answered.
    closing: bool,
    /// What the client did wrong.
    fault: Option<Closed>,
    deadlines: Deadlines,
}

impl Connection {
    fn new(peer: Peer) -> Self {
        let network = &peer.ctx.config.network;
        let pool_bytes_max = network.read_pool_bytes / peer.ctx.router.shards().max(1);
        Self {
            buffer: ReadBuffer::new(network.request_max_bytes, pool_bytes_max),
            pending: Pending::default(),
            out: VecDeque::new(),
            closing: false,
            fault: None,
            deadlines: Deadlines::new(network.max_idle, Instant::now()),
            peer: Rc::new(peer),
        }
    }

    async fn run(&mut self, stream: &mut TcpStream, shutdown: &CancellationToken) -> Result<(), Closed> {
        let (mut reader, mut writer) = stream.split();
        let mut stopped = pin!(shutdown.cancelled());
        let mut timer = pin!(tokio::time::sleep_until(self.deadlines.next()));
        loop {
            if let Err(fault) = self.begin_requests() {
                self.fail(fault);
            }
            if self.closing && self.pending.is_empty() && self.out.is_empty() {
                return self.fault.take().map_or(Ok(()), Err);
            }
            // Later deadlines are found when the timer fires: activity does not touch it.
            if timer.deadline() > self.deadlines.next() {
                timer.as_mut().reset(self.deadlines.next());
            }
            let full = self.peer.ctx.admission.is_full();
            let retry = full && !self.closing && self.pending.is_empty() && self.out.is_empty();
            let may_read = self.reads(full);
            let (pending, buffer) = (&mut self.pending, &mut self.buffer);
            tokio::select! {
                biased;
                answer = poll_fn(|cx| pending.poll_front(cx)), if !pending.is_empty() => {
                    self.take(answer);
                    self.take_ready();
                    self.write(&mut writer)?;
                }
                writable = writer.writable(), if !self.out.is_empty() => {
                    writable?;
                    self.write(&mut writer)?;
                }
                read = buffer.read_from(&mut reader), if may_read => {
                    self.closing |= read? == 0;
                    self.deadlines.on_activity(Instant::now());
                }
                () = &mut timer => {
                    let busy = !self.pending.is_empty();
                    self.deadlines.check(Instant::now(), self.buffer.partial_bytes(), busy)?;
                    timer.as_mut().reset(self.deadlines.next());
                }
                () = &mut stopped, if !self.closing => self.closing = true,
                () = tokio::time::sleep(ADMISSION_RETRY), if retry => {}
            }
        }
    }

    /// Is more wanted of the client now? `full`: the broker holds too many request bytes.
    fn reads(&self, full: bool) -> bool {
        !self.closing && !full && self.pending.has_room() && self.out.is_empty()
    }

    /// Begins every request that has arrived and may begin.
    fn begin_requests(&mut self) -> Result<(), Closed> {
        while self.pending.has_room() && !self.closing {
            let Some(frame) = self.buffer.next_frame()? else {
                break;
            };
            let bytes = self.peer.ctx.admission.admit_request(frame.len());
            let begun =
                dispatch::begin(&self.peer, frame).map_err(|refusal| Closed::Refused(refusal.to_string()))?;
            self.pending.push(begun, bytes);
            self.deadlines.on_frame();
        }
        // What waits behind a request under way has arrived in time, and what is not read cannot arrive.
        let reads = self.reads(self.peer.ctx.admission.is_full());
        let awaited = if reads { self.buffer.partial_bytes() } else { 0 };
        self.deadlines.on_partial(Instant::now(), awaited);
        self.buffer.release();
        Ok(())
    }

    /// Reads no more; answers that are ready already are still sent.
    fn fail(&mut self, fault: Closed) {
        self.closing = true;
        self.fault = self.fault.take().or(Some(fault));
    }

    fn take(&mut self, answer: Answer) {
        self.deadlines.on_activity(Instant::now());
        match answer {
            Answer::Frame(frame) => self.out.extend(frame.into_parts()),
            Answer::Nothing => {}
            Answer::Close(reason) => {
                self.pending.clear();
                self.fail(Closed::Refused(reason));
            }
        }
    }

    /// Takes what else is answered already, so that one write carries all of it.
    fn take_ready(&mut self) {
        // Nobody is woken by this look: the loop polls again before it sleeps.
        let mut cx = Context::from_waker(Waker::noop());
        while self.out.len() < WRITE_SLICES {
            match self.pending.poll_front(&mut cx) {
                Poll::Ready(answer) => self.take(answer),
                Poll::Pending => break,
            }
        }
    }

    /// Writes what the socket takes now.
    fn write(&mut self, writer: &mut WriteHalf<'_>) -> Result<(), Closed> {
        while !self.out.is_empty() {
            let mut slices = [IoSlice::new(&[]); WRITE_SLICES];
            let count = self.out.len().min(WRITE_SLICES);
            slices
                .iter_mut()
                .zip(&self.out)
                .for_each(|(slice, bytes)| *slice = IoSlice::new(bytes));
            match writer.try_write_vectored(&slices[..count]) {
                Ok(written) => {
                    self.advance(written);
                    self.deadlines.on_written(Instant::now());
                }
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                    self.deadlines.on_blocked(Instant::now());
                    return Ok(());
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    fn advance(&mut self, mut written: usize) {
        while written > 0 {
            let Some(front) = self.out.front_mut() else { return };
            if written < front.len() {
                drop(front.split_to(written));
                return;
            }
            written -= front.len();
            self.out.pop_front();
        }
    }
}

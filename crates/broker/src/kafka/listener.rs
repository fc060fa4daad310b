//! Accepting connections and telling by their first bytes who speaks: Kafka clients stay, the gRPC of other brokers
//! is handed over, everybody else is told in the log what went wrong.

use super::connection::{self, Peer};
use super::context::KafkaContext;
use super::dispatch;
use super::spread::{Arrival, ConnectionSpread};
use milena_wire::{LENGTH_BYTES, Opening, opening};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

/// Takes connections that open with the HTTP/2 preface. Nothing has been read from them. Called on the data thread that
/// serves the connection, inside its `LocalSet`.
pub type Http2Handoff = Arc<dyn Fn(TcpStream, SocketAddr) + Send + Sync>;

/// Why a listener could not be served.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The runtime did not take the socket.
    #[error("cannot serve the listener: {0}")]
    Io(#[from] std::io::Error),
    /// The thread is not in the spread, or serves the listener already.
    #[error("data thread {0} cannot serve this listener")]
    Thread(usize),
}

/// How long accepting pauses after an error, such as no file descriptors left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// How long to wait between looks at a connection that has sent fewer than four bytes, at most.
const PEEK_PAUSE_MAX: Duration = Duration::from_millis(500);

/// Serves one listener on one data thread until `shutdown`: call it on every thread, with a clone of the same socket
/// (`try_clone`, non-blocking) and of the same [`ConnectionSpread`]. Must run inside a `LocalSet`.
///
/// After `shutdown` no connection is accepted and no request read; answers under way are still sent.
///
/// # Errors
/// [`ServeError`] before anything is served.
pub async fn serve(
    socket: std::net::TcpListener,
    listener_name: &str,
    ctx: Arc<KafkaContext>,
    spread: ConnectionSpread,
    thread: usize,
    http2: Http2Handoff,
    shutdown: CancellationToken,
) -> Result<(), ServeError> {
    socket.set_nonblocking(true)?;
    let socket = TcpListener::from_std(socket)?;
    let mut arrivals = spread.arrivals(thread).ok_or(ServeError::Thread(thread))?;
    let desk = Desk {
        ctx,
        listener: Arc::from(listener_name),
        http2,
        shutdown: shutdown.clone(),
    };
    loop {
        tokio::select! {
            biased;
            () = shutdown.cancelled() => return Ok(()),
            Some(arrival) = arrivals.recv() => desk.receive(arrival),
            accepted = socket.accept() => match accepted {
                Ok((stream, address)) => match stream.into_std() {
                    Ok(stream) => spread.seat(stream, address, thread),
                    Err(error) => tracing::debug!(client = %address, %error, "connection lost while accepted"),
                },
                Err(error) => {
                    tracing::warn!(listener = listener_name, %error, "cannot accept a connection");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            },
        }
    }
}

/// What new connections need.
struct Desk {
    ctx: Arc<KafkaContext>,
    listener: Arc<str>,
    http2: Http2Handoff,
    shutdown: CancellationToken,
}

impl Desk {
    fn receive(&self, arrival: Arrival) {
        let Arrival {
            stream,
            peer: address,
            seat,
        } = arrival;
        let slot = match self.ctx.admission.admit_connection(address.ip()) {
            Ok(slot) => slot,
            Err(refused) => return dispatch::log_refusal(address, &refused),
        };
        let stream = match prepare(stream, &self.ctx) {
            Ok(stream) => stream,
            Err(error) => return tracing::debug!(client = %address, %error, "connection lost at its start"),
        };
        let (http2, shutdown) = (Arc::clone(&self.http2), self.shutdown.clone());
        let peer = Peer {
            ctx: Arc::clone(&self.ctx),
            listener: Arc::clone(&self.listener),
            address,
        };
        tokio::task::spawn_local(async move {
            // The seat counts as long as the connection is served here, whatever it speaks.
            let _seat = seat;
            match first_bytes(&stream, &peer, &shutdown).await.map(opening) {
                Some(Opening::Kafka) => {
                    let open = is_open(&peer, &shutdown).await;
                    if open {
                        connection::serve(stream, peer, slot, shutdown).await;
                    }
                }
                Some(Opening::Http2) => http2(stream, address),
                Some(Opening::Http1) => {
                    dispatch::log_refusal(address, &"an HTTP request on a Kafka listener: wrong port?");
                }
                Some(Opening::Tls) => {
                    let reason =
                        "a TLS handshake on a PLAINTEXT listener: is the client's security.protocol right?";
                    dispatch::log_refusal(address, &reason);
                }
                None => {}
            }
        });
    }
}

/// Waits until clients may speak. False: the broker stops before.
async fn is_open(peer: &Peer, shutdown: &CancellationToken) -> bool {
    let mut open = peer.ctx.open.clone();
    tokio::select! {
        () = shutdown.cancelled() => false,
        opened = open.wait_for(|open| *open) => opened.is_ok(),
    }
}

fn prepare(stream: std::net::TcpStream, ctx: &KafkaContext) -> std::io::Result<TcpStream> {
    let socket = socket2::SockRef::from(&stream);
    socket.set_tcp_nodelay(true)?;
    socket.set_keepalive(true)?;
    // Only what an operator chose: a fixed size turns the kernel's own, better, tuning off.
    let network = &ctx.config.network;
    let defaults = crate::config::NetworkConfig::default();
    if let Some(bytes) = network
        .send_buffer_bytes
        .filter(|_| network.send_buffer_bytes != defaults.send_buffer_bytes)
    {
        socket.set_send_buffer_size(bytes)?;
    }
    if let Some(bytes) = network
        .receive_buffer_bytes
        .filter(|_| network.receive_buffer_bytes != defaults.receive_buffer_bytes)
    {
        socket.set_recv_buffer_size(bytes)?;
    }
    TcpStream::from_std(stream)
}

/// The first four bytes, without taking them; `None` when the connection ends before, or says nothing for too long.
async fn first_bytes(
    stream: &TcpStream,
    peer: &Peer,
    shutdown: &CancellationToken,
) -> Option<[u8; LENGTH_BYTES]> {
    let look = async {
        let mut first = [0; LENGTH_BYTES];
        let mut pause = Duration::from_millis(1);
        loop {
            match stream.peek(&mut first).await {
                Ok(LENGTH_BYTES) => return Some(first),
                Ok(0) | Err(_) => return None,
                // Readiness does not tell how much is there, so ask again, less and less often.
                Ok(_) => tokio::time::sleep(pause).await,
            }
            pause = (2 * pause).min(PEEK_PAUSE_MAX);
        }
    };
    tokio::select! {
        () = shutdown.cancelled() => None,
        first = tokio::time::timeout(peer.ctx.config.network.max_idle, look) => first.ok().flatten(),
    }
}

//! Even distribution of connections over data threads: whichever thread accepts a connection gives it to the thread
//! that serves the fewest. Shared by all threads of a broker.

use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::sync::mpsc;

/// A connection on its way to the thread that will serve it.
#[derive(Debug)]
pub(super) struct Arrival {
    pub(super) stream: TcpStream,
    pub(super) peer: SocketAddr,
    pub(super) seat: Seat,
}

/// The threads that serve one listener. Cheap to clone.
#[derive(Clone, Debug)]
pub struct ConnectionSpread {
    threads: Arc<[Thread]>,
}

#[derive(Debug)]
struct Thread {
    connections: Arc<AtomicUsize>,
    sender: mpsc::UnboundedSender<Arrival>,
    receiver: std::sync::Mutex<Option<mpsc::UnboundedReceiver<Arrival>>>,
}

/// Counts one connection of a thread until it is dropped.
#[derive(Debug)]
pub(super) struct Seat {
    connections: Arc<AtomicUsize>,
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.connections.fetch_sub(1, Ordering::Relaxed);
    }
}

impl ConnectionSpread {
    /// For one listener that is served by so many threads.
    #[must_use]
    pub fn new(threads: usize) -> Self {
        let thread = |_| {
            let (sender, receiver) = mpsc::unbounded_channel();
            Thread {
                connections: Arc::default(),
                sender,
                receiver: std::sync::Mutex::new(Some(receiver)),
            }
        };
        Self {
            threads: (0..threads.max(1)).map(thread).collect(),
        }
    }

    /// The arrivals of one thread; `None` when the thread does not exist or has taken them already.
    pub(super) fn arrivals(&self, thread: usize) -> Option<mpsc::UnboundedReceiver<Arrival>> {
        let mut receiver = self
            .threads
            .get(thread)?
            .receiver
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        receiver.take()
    }

    /// Gives a connection to the thread with the fewest; the accepting thread wins a tie.
    pub(super) fn seat(&self, stream: TcpStream, peer: SocketAddr, accepted_by: usize) {
        let load = |thread: &Thread| thread.connections.load(Ordering::Relaxed);
        let fewest = self
            .threads
            .iter()
            .enumerate()
            .min_by_key(|(at, thread)| (load(thread), *at != accepted_by));
        let Some((_, thread)) = fewest else { return };
        thread.connections.fetch_add(1, Ordering::Relaxed);
        let seat = Seat {
            connections: Arc::clone(&thread.connections),
        };
        // A thread that has stopped drops the connection: the broker is going down.
        let _ = thread.sender.send(Arrival { stream, peer, seat });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    #[test]
    fn connections_go_where_the_fewest_are() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let connect = || TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let peer = listener.local_addr().unwrap();
        let spread = ConnectionSpread::new(2);
        let (mut first, mut second) = (spread.arrivals(0).unwrap(), spread.arrivals(1).unwrap());
        assert!(spread.arrivals(0).is_none() && spread.arrivals(2).is_none());
        spread.seat(connect(), peer, 1);
        spread.seat(connect(), peer, 1);
        let on_second = second.try_recv().unwrap();
        let _on_first = first.try_recv().unwrap();
        drop(on_second);
        spread.seat(connect(), peer, 0);
        assert!(second.try_recv().is_ok(), "its connection ended, so it has fewer");
    }
}

//! Threads, one a broker, that ask it something ten times a second.

use crate::Outcome;
use milena_cluster_tests::Connection;
use milena_wire::client::ClientRequest;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

/// Between an answer and the next question.
const PAUSE: Duration = Duration::from_millis(100);

/// Running threads; dropping it ends them.
pub(super) struct Each {
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Each {
    /// Starts to ask these brokers; `ask` is given the broker's id, and a line to it that waits so long for each answer.
    pub(super) fn start(
        brokers: &[(i32, String)],
        patience: Duration,
        ask: impl Fn(i32, &mut Line) + Clone + Send + 'static,
    ) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let thread = |(id, address): &(i32, String)| {
            let (id, stop, ask) = (*id, Arc::clone(&stop), ask.clone());
            let mut line = Line {
                address: address.clone(),
                patience,
                open: None,
            };
            std::thread::spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    ask(id, &mut line);
                    std::thread::sleep(PAUSE);
                }
            })
        };
        let threads = brokers.iter().map(thread).collect();
        Self { stop, threads }
    }
}

impl Drop for Each {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

/// A connection that is made when it is needed, and anew after an error.
pub(super) struct Line {
    address: String,
    patience: Duration,
    open: Option<Connection>,
}

impl Line {
    /// One request, one answer; or why there is none.
    pub(super) fn call<R: ClientRequest>(&mut self, version: i16, request: &R) -> Outcome<R::Response> {
        let mut open = match self.open.take() {
            Some(open) => open,
            None => Connection::new(&self.address, self.patience)?,
        };
        let answer = open.call(version, request)?;
        self.open = Some(open);
        Ok(answer)
    }
}

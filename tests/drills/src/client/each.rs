//! Threads, one a broker, that ask it something ten times a second.

use crate::Outcome;
use milena_cluster_tests::Connection;
use milena_wire::client::ClientRequest;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

/// Between an answer and the next question.
const PAUSE: Duration = Duration::from_millis(100);

/// Running threads; dropping it ends them.
pub(super) struct Each {
    /// Each with what stops it when it goes.
    threads: Vec<(Sender<()>, JoinHandle<()>)>,
}

impl Each {
    /// Starts to ask these brokers; `ask` is given the broker's id, and a line to it that waits so long for each answer.
    pub(super) fn start(
        brokers: &[(i32, String)],
        patience: Duration,
        ask: impl Fn(i32, &mut Line) + Clone + Send + 'static,
    ) -> Self {
        let thread = |(id, address): &(i32, String)| {
            let (id, ask, (stop, stopped)) = (*id, ask.clone(), channel());
            let mut line = Line {
                address: address.clone(),
                patience,
                open: None,
            };
            let asking = std::thread::spawn(move || {
                loop {
                    ask(id, &mut line);
                    if stopped.recv_timeout(PAUSE) != Err(RecvTimeoutError::Timeout) {
                        break;
                    }
                }
            });
            (stop, asking)
        };
        Self {
            threads: brokers.iter().map(thread).collect(),
        }
    }
}

impl Drop for Each {
    fn drop(&mut self) {
        let (stops, threads): (Vec<_>, Vec<_>) = self.threads.drain(..).unzip();
        drop(stops);
        for thread in threads {
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

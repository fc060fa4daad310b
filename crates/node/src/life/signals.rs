//! SIGTERM and SIGINT: the first asks for a controlled shutdown, the second hurries.

use tokio::signal::unix::{Signal, SignalKind, signal};

/// The signals of this process; registered before anything starts, so that none is missed.
pub(super) struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    /// Takes over both signals from their default, which would end the process.
    ///
    /// # Errors
    /// The system refuses.
    pub(super) fn register() -> std::io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    /// Waits for the next one and names it. Cancel safe.
    pub(super) async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}

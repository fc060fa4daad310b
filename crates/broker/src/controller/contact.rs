//! When the active controller was last heard: a leader that it may have fenced does not acknowledge alone.
//!
//! The moment is that at which an answered request was *sent*: the controller's session for this broker began later. So it ends later,
//! too, and nobody else is elected before this broker knows that it is on its own. A process that was stopped for longer knows it with
//! its first look at the clock.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::time::Instant;

/// The last contact with the active controller; written by the control thread, read by the data threads.
#[derive(Debug)]
pub(super) struct Contact {
    begin: Instant,
    /// `broker.session.timeout.ms`.
    session_timeout: Duration,
    /// When it may have ended, in milliseconds since `begin`; 0: it has not begun.
    until: AtomicU64,
}

impl Contact {
    pub(super) fn new(session_timeout: Duration) -> Self {
        Self {
            begin: Instant::now(),
            session_timeout,
            until: AtomicU64::new(0),
        }
    }

    /// What was sent at that moment has been answered.
    pub(super) fn heard(&self, sent: Instant) {
        let until = self.millis(sent + self.session_timeout);
        self.until.fetch_max(until, Ordering::Relaxed);
    }

    /// True while the session cannot have ended.
    pub(super) fn is_fresh(&self, now: Instant) -> bool {
        self.millis(now) < self.until.load(Ordering::Relaxed)
    }

    fn millis(&self, at: Instant) -> u64 {
        let since = at.saturating_duration_since(self.begin).as_millis();
        u64::try_from(since).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_is_counted_from_what_was_sent() {
        let timeout = Duration::from_secs(9);
        let contact = Contact::new(timeout);
        let begin = contact.begin;
        assert!(!contact.is_fresh(begin), "nobody was heard yet");
        let sent = begin + Duration::from_secs(5);
        contact.heard(sent);
        assert!(contact.is_fresh(sent + timeout - Duration::from_millis(1)));
        assert!(!contact.is_fresh(sent + timeout));
        // An answer that was overtaken changes nothing.
        contact.heard(begin);
        assert!(contact.is_fresh(sent + timeout - Duration::from_millis(1)));
    }
}

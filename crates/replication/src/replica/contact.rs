//! When the active controller was last heard: a leader that it may have fenced does not acknowledge alone.
//!
//! The moment is that at which an answered request was *sent*: the controller's session for this broker began later. So it ends later,
//! too, and nobody else is elected before this broker knows that it is on its own. A process that was stopped for longer knows it with
//! its first look at the clock.

use crate::Moment;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// The last contact with the active controller; written by one thread, read by any.
#[derive(Debug)]
pub struct Contact {
    /// `broker.session.timeout.ms`.
    session_timeout: Duration,
    /// The moment at which the session may have ended; 0: it has not begun.
    until: AtomicU64,
}

impl Contact {
    /// Nobody was heard yet.
    #[must_use]
    pub fn new(session_timeout: Duration) -> Self {
        Self {
            session_timeout,
            until: AtomicU64::new(0),
        }
    }

    /// What was sent at that moment has been answered.
    pub fn heard(&self, sent: Moment) {
        let until = sent.plus(self.session_timeout).0;
        self.until.fetch_max(until, Ordering::Relaxed);
    }

    /// This broker is about to ask for the end of its session.
    pub fn end(&self) {
        self.until.store(0, Ordering::Relaxed);
    }

    /// True while the session cannot have ended.
    #[must_use]
    pub fn is_fresh(&self, now: Moment) -> bool {
        now.0 < self.until.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_is_counted_from_what_was_sent() {
        let contact = Contact::new(Duration::from_secs(9));
        assert!(!contact.is_fresh(Moment(0)), "nobody was heard yet");
        contact.heard(Moment(5000));
        assert!(contact.is_fresh(Moment(13_999)));
        assert!(!contact.is_fresh(Moment(14_000)));
        // An answer that was overtaken changes nothing.
        contact.heard(Moment(0));
        assert!(contact.is_fresh(Moment(13_999)));
        contact.end();
        assert!(!contact.is_fresh(Moment(5000)));
    }
}

//! When the active controller was last heard: a leader that it may have fenced does not acknowledge alone.
//!
//! The moment is that at which an answered request was *sent*, less the time for which no majority of the voters had acknowledged the
//! controller when it answered: that controller's session for this broker began later, and so did that of the next one, which may
//! have been elected without its knowledge, but not before. So they end later, too, and nobody else leads before this broker knows
//! that it is on its own. A process that was stopped for longer knows it with its first look at the clock.
//!
//! Once a session may have ended, somebody else may lead. The next answer begins another one, and names the metadata that it was
//! given from; until a data thread has followed that, it may not know yet that it was deposed, and is on its own still.

use crate::Moment;
use milena_types::MetadataVersion;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// The last contact with the active controller; written by one thread, read by any.
#[derive(Debug)]
pub struct Contact {
    /// `broker.session.timeout.ms`.
    session_timeout: Duration,
    /// The moment at which the session may have ended; 0: it has not begun.
    until: AtomicU64,
    /// The metadata that the session began with.
    since: AtomicU64,
}

impl Contact {
    /// Nobody was heard yet.
    #[must_use]
    pub fn new(session_timeout: Duration) -> Self {
        Self {
            session_timeout,
            until: AtomicU64::new(0),
            since: AtomicU64::new(0),
        }
    }

    /// What was sent at that moment has been answered now, from that metadata, by a controller that a majority of the voters
    /// acknowledged `quorum_age_ms` before.
    pub fn heard(&self, sent: Moment, now: Moment, version: MetadataVersion, quorum_age_ms: u64) {
        if now.0 >= self.until.load(Ordering::Acquire) {
            self.since.fetch_max(version.0, Ordering::Release);
        }
        let until = sent.plus(self.session_timeout).0.saturating_sub(quorum_age_ms);
        self.until.fetch_max(until, Ordering::Release);
    }

    /// This broker is about to ask for the end of its session.
    pub fn end(&self) {
        self.until.store(0, Ordering::Release);
    }

    /// True while the session cannot have ended, for who has followed the metadata as far as this.
    #[must_use]
    pub fn is_fresh(&self, now: Moment, followed: MetadataVersion) -> bool {
        now.0 < self.until.load(Ordering::Acquire) && followed.0 >= self.since.load(Ordering::Acquire)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BEGIN: MetadataVersion = MetadataVersion(7);

    #[test]
    fn a_session_is_counted_from_what_was_sent() {
        let contact = Contact::new(Duration::from_secs(9));
        assert!(!contact.is_fresh(Moment(0), BEGIN), "nobody was heard yet");
        contact.heard(Moment(5000), Moment(5010), BEGIN, 0);
        assert!(contact.is_fresh(Moment(13_999), BEGIN));
        assert!(!contact.is_fresh(Moment(14_000), BEGIN));
        // An answer that was overtaken changes nothing.
        contact.heard(Moment(0), Moment(5020), BEGIN, 0);
        assert!(contact.is_fresh(Moment(13_999), BEGIN));
        contact.end();
        assert!(!contact.is_fresh(Moment(5000), BEGIN));
    }

    #[test]
    fn what_a_controller_says_that_may_have_been_deposed_counts_from_when_it_was_none() {
        let contact = Contact::new(Duration::from_secs(9));
        contact.heard(Moment(5000), Moment(5010), BEGIN, 120);
        assert!(contact.is_fresh(Moment(13_879), BEGIN));
        assert!(!contact.is_fresh(Moment(13_880), BEGIN));
        // Two more answers of one that is cut off from its voters.
        contact.heard(Moment(7000), Moment(7001), BEGIN, 2121);
        contact.heard(Moment(8000), Moment(8001), BEGIN, u64::MAX);
        assert!(!contact.is_fresh(Moment(13_880), BEGIN));
    }

    #[test]
    fn after_a_session_that_may_have_ended_what_was_done_meanwhile_has_to_be_known() {
        let contact = Contact::new(Duration::from_secs(9));
        contact.heard(Moment(0), Moment(1), BEGIN, 0);
        // News of a session that goes on is not waited for.
        contact.heard(Moment(2000), Moment(2001), MetadataVersion(9), 0);
        assert!(contact.is_fresh(Moment(2002), BEGIN));
        contact.heard(Moment(11_000), Moment(11_001), MetadataVersion(20), 0);
        assert!(!contact.is_fresh(Moment(11_002), MetadataVersion(19)));
        assert!(contact.is_fresh(Moment(11_002), MetadataVersion(20)));
    }
}

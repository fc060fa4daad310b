//! What a follower knows to be committed.

use milena_types::Offset;

/// The follower's high watermark: `min(leader's, own log end)`, never back except by truncation.
///
/// Soft: it is checkpointed now and then, and a follower that lost it learns it again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FollowerHighWatermark(Offset);

impl FollowerHighWatermark {
    /// Starts from a checkpoint; a log that is shorter wins.
    #[must_use]
    pub fn restore(checkpoint: Offset, log_start: Offset, log_end: Offset) -> Self {
        Self(checkpoint.max(log_start).min(log_end))
    }

    /// The offset.
    #[must_use]
    pub fn get(self) -> Offset {
        self.0
    }

    /// News from the leader. True when it moved.
    pub fn advance(&mut self, leader: Offset, own_log_end: Offset) -> bool {
        let new = leader.min(own_log_end);
        let moved = new > self.0;
        self.0 = self.0.max(new);
        moved
    }

    /// The log was truncated. True when committed records may have gone: only after an unclean election or the loss of
    /// flushed data, and worth an alarm.
    #[must_use]
    pub fn on_truncated(&mut self, log_start: Offset, log_end: Offset) -> bool {
        let lost = log_end < self.0;
        self.0 = self.0.min(log_end).max(log_start);
        lost
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_never_passes_the_own_log_and_never_goes_back() {
        let mut hw = FollowerHighWatermark::restore(Offset(50), Offset(0), Offset(10));
        assert_eq!(hw.get(), Offset(10));
        assert!(hw.advance(Offset(30), Offset(20)));
        assert_eq!(hw.get(), Offset(20));
        assert!(!hw.advance(Offset(5), Offset(20)));
        assert_eq!(hw.get(), Offset(20));
    }

    #[test]
    fn truncation_below_it_is_reported() {
        let mut hw = FollowerHighWatermark::restore(Offset(10), Offset(0), Offset(12));
        assert!(!hw.on_truncated(Offset(0), Offset(10)));
        assert!(hw.on_truncated(Offset(0), Offset(9)));
        assert_eq!(hw.get(), Offset(9));
    }
}

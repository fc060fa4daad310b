//! The rules of replication that a test may switch off, one at a time: a checker that has never failed proves nothing.
//!
//! Only with the feature `mutants`, which no release build has (`tests/tidy` sees to that): without it [`on`] is a constant `false` and
//! the compiler removes each switch. A process has at most one mutant, for its whole life.

/// A rule that can be switched off. The names are what the simulator's command line and `MILENA_MUTANT` take.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Mutant {
    /// acks=all is answered, and the high watermark moves, with fewer in sync than `min.insync.replicas`.
    AckBelowMinIsr = 1,
    /// A follower of another leader epoch is attached.
    NoLeaderEpochFence,
    /// Records that belong to a former attachment are appended.
    StaleFrameAccepted,
    /// A replica that is neither in sync nor eligible is elected although `unclean.leader.election.enable` is off.
    UncleanWithFlagOff,
    /// A replica advertises what it has not flushed.
    AckBeforeFsync,
    /// A follower cuts its log at its high watermark instead of where its leader's history differs.
    TruncateToHighWatermark,
    /// A follower enters the ISR before it has all that the leader's epoch began with.
    ExpandWithoutEpochStart,
    /// A change of the ISR that was decided on an older partition epoch is applied.
    NoPartitionEpochCheck,
    /// The high watermark waits for the committed ISR alone, not for the members just proposed.
    NoMaximalIsr,
    /// A broker that comes back with an empty disk keeps its place in the ISR.
    WipedDiskTrusted,
    /// A refusal of an ISR change that is not known to be final takes the proposal back.
    RollbackOnStaleReply,
    /// What an attachment of a former life acknowledges counts for the present one.
    NoReplyCorrelation,
    /// `INELIGIBLE_REPLICA` takes the proposal back though an earlier attempt may have been applied.
    RollbackOnIneligible,
    /// A follower of a former incarnation of its broker is served.
    StaleIncarnation,
    /// A change of the ISR may name a broker that has been started again since it was decided.
    NoBrokerEpochCheck,
}

impl Mutant {
    /// All of them, in the order of their numbers.
    pub const ALL: [Self; 15] = [
        Self::AckBelowMinIsr,
        Self::NoLeaderEpochFence,
        Self::StaleFrameAccepted,
        Self::UncleanWithFlagOff,
        Self::AckBeforeFsync,
        Self::TruncateToHighWatermark,
        Self::ExpandWithoutEpochStart,
        Self::NoPartitionEpochCheck,
        Self::NoMaximalIsr,
        Self::WipedDiskTrusted,
        Self::RollbackOnStaleReply,
        Self::NoReplyCorrelation,
        Self::RollbackOnIneligible,
        Self::StaleIncarnation,
        Self::NoBrokerEpochCheck,
    ];

    /// Its name on a command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::AckBelowMinIsr => "ack-below-min-isr",
            Self::NoLeaderEpochFence => "no-leader-epoch-fence",
            Self::StaleFrameAccepted => "stale-frame-accepted",
            Self::UncleanWithFlagOff => "unclean-with-flag-off",
            Self::AckBeforeFsync => "ack-before-fsync",
            Self::TruncateToHighWatermark => "truncate-to-high-watermark",
            Self::ExpandWithoutEpochStart => "expand-without-epoch-start",
            Self::NoPartitionEpochCheck => "no-partition-epoch-check",
            Self::NoMaximalIsr => "no-maximal-isr",
            Self::WipedDiskTrusted => "wiped-disk-trusted",
            Self::RollbackOnStaleReply => "rollback-on-stale-reply",
            Self::NoReplyCorrelation => "no-reply-correlation",
            Self::RollbackOnIneligible => "rollback-on-ineligible",
            Self::StaleIncarnation => "stale-incarnation",
            Self::NoBrokerEpochCheck => "no-broker-epoch-check",
        }
    }

    /// The one of that name, if there is one.
    pub fn of(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|mutant| mutant.name() == name)
    }
}

/// Whether this process has that rule switched off: never, without the feature `mutants`.
#[cfg(not(feature = "mutants"))]
#[inline(always)]
pub const fn on(_: Mutant) -> bool {
    false
}

#[cfg(feature = "mutants")]
pub use switch::{on, switch_off};

#[cfg(feature = "mutants")]
mod switch {
    use super::Mutant;
    use std::sync::atomic::{AtomicU8, Ordering};

    static OFF: AtomicU8 = AtomicU8::new(0);

    /// Whether this process has that rule switched off.
    #[inline]
    pub fn on(mutant: Mutant) -> bool {
        OFF.load(Ordering::Relaxed) == mutant as u8
    }

    /// Switches that rule off, for the whole process; with `None` all rules hold again.
    pub fn switch_off(rule: Option<Mutant>) {
        OFF.store(rule.map_or(0, |mutant| mutant as u8), Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::{Mutant, on};

    #[test]
    fn each_has_a_name_of_its_own() {
        for mutant in Mutant::ALL {
            assert_eq!(Mutant::of(mutant.name()), Some(mutant));
        }
        assert_eq!(Mutant::of("none"), None);
    }

    #[test]
    fn nothing_is_switched_off_by_itself() {
        assert!(Mutant::ALL.into_iter().all(|mutant| !on(mutant)));
    }
}

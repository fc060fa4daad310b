//! Truncation by leader epoch. Never by the high watermark, which lags behind (KIP-101), and repeated until the logs
//! match (KIP-279).

use milena_types::mutants::{Mutant, on};
use milena_types::{LeaderEpoch, Offset};

/// What a follower does to its log before it attaches again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Truncation {
    /// Drop everything from this offset on; an offset at the log end still drops epochs without records.
    To(Offset),
    /// Drop everything and start anew at this offset.
    FullyAndStartAt(Offset),
}

impl Truncation {
    /// The same, from where the log really cuts, which `cut_offset` says of an offset: batches go as a whole.
    ///
    /// # Errors
    /// That of `cut_offset`.
    pub fn of_whole_batches<E>(
        self,
        cut_offset: impl FnOnce(Offset) -> Result<Offset, E>,
    ) -> Result<Self, E> {
        match self {
            Self::To(offset) => cut_offset(offset).map(Self::To),
            Self::FullyAndStartAt(_) => Ok(self),
        }
    }
}

/// The leader said that the log diverges: its largest shared epoch is `epoch`, which ends there at `end`.
///
/// `own_end` is `endOffsetFor(epoch)` in the follower's own log; `None` when that has no epoch at all.
///
/// When the logs may have parted below the leader's first offset, nobody knows where, and the log begins anew there. Kafka keeps the
/// rest, which its log start hides: until a power cut, or a crash, takes the log start back to its checkpoint, and a leader has
/// records that were never committed.
/// Source: `AbstractFetcherThread.getOffsetTruncationState`.
#[must_use]
pub fn truncation_for_divergence(
    own_end: Option<(LeaderEpoch, Offset)>,
    own_log_start: Offset,
    own_log_end: Offset,
    high_watermark: Offset,
    end: Offset,
    leader_log_start: Offset,
) -> Truncation {
    let target = match own_end {
        Some((_, own_end)) if !on(Mutant::TruncateToHighWatermark) => own_end.min(end),
        Some(_) | None => high_watermark.min(end),
    };
    let target = target.min(own_log_end).max(own_log_start);
    if target <= leader_log_start && own_log_start < leader_log_start {
        return Truncation::FullyAndStartAt(leader_log_start);
    }
    Truncation::To(target)
}

/// The leader said that the follower's log end lies outside its log.
///
/// When nothing of the own log is left it begins where the leader's does: Kafka begins at the leader's end, and joins the ISR
/// with none of the leader's records, which all would delete if it led.
/// Source: `AbstractFetcherThread.fetchOffsetAndTruncate`.
#[must_use]
pub fn truncation_out_of_range(
    own_log_start: Offset,
    own_log_end: Offset,
    leader_log_start: Offset,
    leader_log_end: Offset,
) -> Truncation {
    if own_log_end > leader_log_end && own_log_start >= leader_log_end {
        Truncation::FullyAndStartAt(leader_log_start)
    } else if own_log_end > leader_log_end {
        Truncation::To(leader_log_end)
    } else if own_log_end < leader_log_start {
        Truncation::FullyAndStartAt(leader_log_start)
    } else {
        Truncation::To(own_log_end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HW: Offset = Offset(2);

    fn diverged(own_end: Option<(i32, i64)>, own_log_end: i64, end: i64) -> Truncation {
        let own_end = own_end.map(|(epoch, end)| (LeaderEpoch(epoch), Offset(end)));
        let start = Offset(0);
        truncation_for_divergence(own_end, start, Offset(own_log_end), HW, Offset(end), start)
    }

    #[test]
    fn the_smaller_end_of_the_shared_epoch_wins() {
        assert_eq!(diverged(Some((3, 10)), 15, 8), Truncation::To(Offset(8)));
        assert_eq!(diverged(Some((3, 7)), 15, 8), Truncation::To(Offset(7)));
    }

    #[test]
    fn records_above_the_high_watermark_survive_when_the_epochs_agree() {
        // KIP-101: the follower knows 2 as committed, but shares everything up to 10.
        assert_eq!(diverged(Some((3, 10)), 12, 10), Truncation::To(Offset(10)));
    }

    #[test]
    fn a_log_without_epochs_falls_back_to_the_high_watermark() {
        assert_eq!(diverged(None, 12, 10), Truncation::To(HW));
    }

    #[test]
    fn truncation_stays_inside_the_own_log() {
        let to = truncation_for_divergence(
            Some((LeaderEpoch(1), Offset(3))),
            Offset(5),
            Offset(9),
            HW,
            Offset(4),
            Offset(0),
        );
        assert_eq!(to, Truncation::To(Offset(5)));
    }

    #[test]
    fn a_log_that_may_have_parted_below_the_leaders_begin_begins_anew() {
        // The leader's records of the next epoch begin somewhere below 28: it has deleted them.
        let parted = |own_start, own_end, end, leader_start| {
            let own = Some((LeaderEpoch(0), Offset(own_end)));
            let (end, leader_start) = (Offset(end), Offset(leader_start));
            truncation_for_divergence(own, Offset(own_start), Offset(own_end), HW, end, leader_start)
        };
        assert_eq!(parted(7, 32, 28, 28), Truncation::FullyAndStartAt(Offset(28)));
        assert_eq!(parted(7, 20, 28, 28), Truncation::FullyAndStartAt(Offset(28)));
        assert_eq!(parted(7, 32, 29, 28), Truncation::To(Offset(29)), "28 is shared");
        assert_eq!(
            parted(28, 32, 28, 28),
            Truncation::To(Offset(28)),
            "it has nothing below"
        );
        assert_eq!(parted(30, 32, 28, 28), Truncation::To(Offset(30)));
    }

    #[test]
    fn out_of_range_below_restarts_and_above_truncates() {
        let at = |own: i64| truncation_out_of_range(Offset(3), Offset(own), Offset(10), Offset(20));
        assert_eq!(at(5), Truncation::FullyAndStartAt(Offset(10)));
        assert_eq!(at(25), Truncation::To(Offset(20)));
        assert_eq!(at(15), Truncation::To(Offset(15)));
    }

    #[test]
    fn a_log_of_which_nothing_is_left_begins_where_the_leaders_does() {
        let from = |own: i64| truncation_out_of_range(Offset(own), Offset(50), Offset(10), Offset(20));
        assert_eq!(from(19), Truncation::To(Offset(20)));
        assert_eq!(from(20), Truncation::FullyAndStartAt(Offset(10)));
        assert_eq!(from(50), Truncation::FullyAndStartAt(Offset(10)));
    }
}

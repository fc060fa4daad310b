//! What a truncation takes away for ever: the end of a log that was committed, or may have been, and that the leader does
//! not have.

use super::truncation::Truncation;
use milena_types::{LeaderEpoch, Offset};

/// The end of a log as it is when its leader says that it has to go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogTail {
    /// First offset of the log.
    pub log_start: Offset,
    /// The offset after its last record.
    pub log_end: Offset,
    /// The epoch of its last record.
    pub last_epoch: Option<LeaderEpoch>,
    /// What this replica knows to be committed.
    pub high_watermark: Offset,
}

/// Records that go for ever. Exactly those of `lost_from..lost_to` do; every acknowledged one among them lies in that range,
/// and all below `committed_to` were committed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Loss {
    /// The epoch of the last of them.
    pub from_epoch: Option<LeaderEpoch>,
    /// The unclean election that they were lost in; `None`: there was none, and what is committed went all the same (a lost
    /// disk, a power cut of all replicas, a defect).
    pub unclean_epoch: Option<LeaderEpoch>,
    /// The first offset that is lost.
    pub lost_from: Offset,
    /// All below it was committed: a lower bound. At `lost_from` at least.
    pub committed_to: Offset,
    /// The offset after the last that is lost: an upper bound of what was acknowledged.
    pub lost_to: Offset,
}

/// What `truncation`, which is one of whole batches, takes away for ever, if it does. `unclean`: the leader's word which unclean
/// election came between this log's last epoch and the leader's next one.
///
/// A tail that was written in an epoch which ended with a clean election was never acknowledged above the high watermark
/// (KIP-101): it is no loss. Nor is a log whose end the leader has deleted meanwhile.
#[must_use]
pub fn loss(truncation: Truncation, tail: &LogTail, unclean: Option<LeaderEpoch>) -> Option<Loss> {
    let (lost_from, is_deleted) = match truncation {
        Truncation::To(offset) => (offset.max(tail.log_start), false),
        Truncation::FullyAndStartAt(_) => (tail.log_start, true),
    };
    let was_committed = !is_deleted && lost_from < tail.high_watermark;
    if lost_from >= tail.log_end || (unclean.is_none() && !was_committed) {
        return None;
    }
    Some(Loss {
        from_epoch: tail.last_epoch,
        unclean_epoch: unclean,
        lost_from,
        committed_to: tail.high_watermark.max(lost_from).min(tail.log_end),
        lost_to: tail.log_end,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const UNCLEAN: Option<LeaderEpoch> = Some(LeaderEpoch(6));

    fn found(
        truncation: Truncation,
        high_watermark: i64,
        unclean: Option<LeaderEpoch>,
    ) -> Option<(i64, i64, i64)> {
        let tail = LogTail {
            log_start: Offset(10),
            log_end: Offset(50),
            last_epoch: Some(LeaderEpoch(5)),
            high_watermark: Offset(high_watermark),
        };
        let loss = loss(truncation, &tail, unclean)?;
        assert_eq!((loss.from_epoch, loss.unclean_epoch), (tail.last_epoch, unclean));
        Some((loss.lost_from.0, loss.committed_to.0, loss.lost_to.0))
    }

    #[test]
    fn an_unclean_election_loses_all_that_the_leader_does_not_have() {
        let cut = |to, high_watermark| found(Truncation::To(Offset(to)), high_watermark, UNCLEAN);
        assert_eq!(cut(30, 40), Some((30, 40, 50)));
        assert_eq!(
            cut(30, 20),
            Some((30, 30, 50)),
            "nothing of it is known to be committed"
        );
        assert_eq!(cut(30, 60), Some((30, 50, 50)));
        assert_eq!(cut(5, 40), Some((10, 40, 50)), "not before the log begins");
        assert_eq!(cut(50, 40), None, "nothing goes");
        let restarted = Truncation::FullyAndStartAt(Offset(90));
        assert_eq!(found(restarted, 40, UNCLEAN), Some((10, 40, 50)));
    }

    #[test]
    fn a_clean_election_loses_only_what_should_not_have_gone() {
        let cut = |to, high_watermark| found(Truncation::To(Offset(to)), high_watermark, None);
        assert_eq!(cut(30, 30), None, "KIP-101: never acknowledged");
        assert_eq!(cut(30, 31), Some((30, 31, 50)));
    }

    #[test]
    fn what_the_leader_has_deleted_is_not_lost() {
        assert_eq!(found(Truncation::FullyAndStartAt(Offset(90)), 40, None), None);
    }
}

//! Has the leader filled a log again that was cut because it was damaged, or did it have less?

use milena_types::{LeaderEpoch, Offset, OffsetRange};

/// What was cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CutTail {
    /// Its offsets.
    pub range: OffsetRange,
    /// All below it was known to be committed.
    pub committed_to: Offset,
    /// False: there may have been more behind the range.
    pub is_end_known: bool,
    /// The leader epoch of its last record; `None`: that is not known, or cannot be compared.
    pub last_epoch: Option<LeaderEpoch>,
}

/// Whether more may come to a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Filled {
    /// It may.
    NotYet,
    /// It is in sync with its leader: it has all that is committed.
    InSync,
    /// It leads: nothing more comes.
    Leads,
}

/// The log as it is now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FilledLog {
    /// First offset.
    pub log_start: Offset,
    /// The offset after its last record.
    pub log_end: Offset,
    /// The largest epoch at or below [`CutTail::last_epoch`] in it, and where that ends; `None`: all of its epochs are older.
    pub epoch_end: Option<(LeaderEpoch, Offset)>,
    /// Whether more may come.
    pub filled: Filled,
}

/// What has become of the tail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refilled {
    /// The leader has not sent all of it yet.
    NotYet,
    /// All of it is there again, or was deleted by its age or size.
    Whole,
    /// Records are where it was, and whether they are the same, and all of them, cannot be told.
    Unsure,
    /// The leader does not have this end of it.
    Less {
        /// The first offset that is missing.
        from: Offset,
        /// Other records are in its place: that does not change any more.
        parted: bool,
    },
}

/// Compares the log with what was cut from it. Two logs that have a record of the same epoch at the same offset have the same
/// records below (KIP-101): when the newest epoch of the tail reaches its end again, all of it is the same. A length alone says
/// nothing: another leader's records may be there.
#[must_use]
pub fn refilled(tail: &CutTail, log: &FilledLog) -> Refilled {
    let OffsetRange { from, to } = tail.range;
    let whole = match tail.is_end_known {
        true => Refilled::Whole,
        false => Refilled::Unsure,
    };
    if log.log_start >= to {
        return whole;
    }
    let same_to = match (tail.last_epoch, log.epoch_end) {
        (None, _) if log.log_end >= to => return Refilled::Unsure,
        (None, _) => log.log_end,
        (Some(epoch), Some((found, end))) if found == epoch => end,
        // It has newer epochs, and not that one.
        (Some(_), Some((_, end))) if end < to => end,
        (Some(_), None) if log.log_end < to => log.log_end,
        // Records of older epochs are where the tail had newer ones.
        (Some(_), Some(_) | None) => from,
    };
    if same_to >= to {
        return whole;
    }
    let parted = same_to < log.log_end;
    let no_more = match log.filled {
        Filled::NotYet => false,
        // What was not committed may still be on its way from a leader that has it.
        Filled::InSync => same_to < tail.committed_to,
        Filled::Leads => true,
    };
    if parted || no_more {
        let from = same_to.max(from);
        return Refilled::Less { from, parted };
    }
    Refilled::NotYet
}

#[cfg(test)]
mod tests {
    use super::Filled::{InSync, Leads, NotYet};
    use super::*;

    const TAIL: CutTail = CutTail {
        range: OffsetRange {
            from: Offset(80),
            to: Offset(300),
        },
        committed_to: Offset(290),
        is_end_known: true,
        last_epoch: Some(LeaderEpoch(5)),
    };

    fn log(log_end: i64, epoch_end: Option<(i32, i64)>, filled: Filled) -> FilledLog {
        FilledLog {
            log_start: Offset(10),
            log_end: Offset(log_end),
            epoch_end: epoch_end.map(|(epoch, end)| (LeaderEpoch(epoch), Offset(end))),
            filled,
        }
    }

    fn found(log_end: i64, epoch_end: Option<(i32, i64)>, filled: Filled) -> Refilled {
        refilled(&TAIL, &log(log_end, epoch_end, filled))
    }

    fn less(from: i64, parted: bool) -> Refilled {
        Refilled::Less {
            from: Offset(from),
            parted,
        }
    }

    #[test]
    fn it_is_whole_when_its_newest_epoch_reaches_its_end_again() {
        assert_eq!(found(300, Some((5, 300)), NotYet), Refilled::Whole);
        assert_eq!(found(400, Some((5, 310)), InSync), Refilled::Whole);
        assert_eq!(found(299, Some((5, 299)), NotYet), Refilled::NotYet);
        assert_eq!(found(80, None, NotYet), Refilled::NotYet, "older epochs so far");
    }

    #[test]
    fn a_leader_that_ends_before_has_less() {
        assert_eq!(found(200, Some((5, 200)), InSync), less(200, false));
        assert_eq!(
            found(200, None, Leads),
            less(200, false),
            "it leads with older epochs"
        );
        assert_eq!(found(80, None, InSync), less(80, false), "nothing came");
    }

    #[test]
    fn what_was_not_committed_may_still_come() {
        assert_eq!(found(289, Some((5, 289)), InSync), less(289, false));
        assert_eq!(found(290, Some((5, 290)), InSync), Refilled::NotYet);
        assert_eq!(found(290, Some((5, 290)), Leads), less(290, false));
    }

    #[test]
    fn other_records_in_its_place_are_not_it() {
        assert_eq!(found(250, Some((5, 200)), NotYet), less(200, true));
        assert_eq!(
            found(400, Some((5, 299)), NotYet),
            less(299, true),
            "the end alone says nothing"
        );
        assert_eq!(found(400, Some((4, 120)), NotYet), less(120, true));
        assert_eq!(found(400, Some((4, 60)), NotYet), less(80, true));
        assert_eq!(found(400, Some((4, 350)), NotYet), less(80, true));
        assert_eq!(
            found(400, None, NotYet),
            less(80, true),
            "nobody knows what is there"
        );
    }

    #[test]
    fn what_is_deleted_anyhow_is_not_missed() {
        let log = FilledLog {
            log_start: Offset(300),
            ..log(300, None, Leads)
        };
        assert_eq!(refilled(&TAIL, &log), Refilled::Whole);
    }

    #[test]
    fn a_length_alone_says_nothing() {
        let tail = CutTail {
            last_epoch: None,
            ..TAIL
        };
        assert_eq!(refilled(&tail, &log(299, None, NotYet)), Refilled::NotYet);
        assert_eq!(
            refilled(&tail, &log(300, Some((5, 300)), NotYet)),
            Refilled::Unsure
        );
        assert_eq!(refilled(&tail, &log(400, None, InSync)), Refilled::Unsure);
        assert_eq!(
            refilled(&tail, &log(289, None, InSync)),
            less(289, false),
            "so much was there for certain"
        );
    }

    #[test]
    fn a_tail_that_may_reach_further_is_never_whole() {
        let tail = CutTail {
            is_end_known: false,
            last_epoch: None,
            ..TAIL
        };
        assert_eq!(refilled(&tail, &log(400, None, InSync)), Refilled::Unsure);
        let deleted = FilledLog {
            log_start: Offset(300),
            ..log(300, None, Leads)
        };
        assert_eq!(refilled(&tail, &deleted), Refilled::Unsure);
        assert_eq!(refilled(&tail, &log(200, None, Leads)), less(200, false));
    }
}

//! Where a follower's log begins: as its leader's does, as far as its own records allow.

use milena_types::{Offset, OffsetRange};

/// The leader's log begins at `leader_start`. Gives where this log is to begin from now on, if that changes: records below it go,
/// but the log never begins past its own end.
#[must_use]
pub fn adopted_log_start(own_start: Offset, own_end: Offset, leader_start: Offset) -> Option<Offset> {
    (leader_start > own_start && leader_start <= own_end).then_some(leader_start)
}

/// The leader's log may begin inside a batch (DeleteRecords), of which an empty log is sent the whole. Gives where such a log has
/// to begin for `batch` to continue it.
///
/// Source: `Partition.doAppendRecordsToFollowerOrFutureReplica` (`UnexpectedAppendOffsetException`).
#[must_use]
pub fn restart_for_batch(own_start: Offset, own_end: Offset, batch: OffsetRange) -> Option<Offset> {
    (own_start == own_end && batch.from < own_end && batch.to > own_end).then_some(batch.from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_leaders_log_start_is_taken_unless_records_are_missing_up_to_it() {
        let adopted = |leader| adopted_log_start(Offset(5), Offset(9), Offset(leader));
        assert_eq!(adopted(4), None);
        assert_eq!(adopted(5), None);
        assert_eq!(adopted(6), Some(Offset(6)));
        assert_eq!(adopted(9), Some(Offset(9)));
        assert_eq!(adopted(10), None);
    }

    #[test]
    fn only_an_empty_log_begins_anew_and_only_for_a_batch_around_its_end() {
        let restart = |start, from, to| {
            let batch = OffsetRange {
                from: Offset(from),
                to: Offset(to),
            };
            restart_for_batch(Offset(start), Offset(9), batch)
        };
        assert_eq!(restart(9, 7, 12), Some(Offset(7)));
        assert_eq!(restart(8, 7, 12), None, "it has records");
        assert_eq!(restart(9, 9, 12), None, "it continues the log");
        assert_eq!(restart(9, 7, 9), None, "all of it lies below");
    }
}

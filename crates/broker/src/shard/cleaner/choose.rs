//! Which log is compacted next: of those that are due the one with the largest dirty share. Source:
//! `LogCleanerManager.grabFilthiestCompactedLog`.

use milena_log::compaction::{Cleanable, CompactionRules};
use milena_types::TopicIdPartition;

/// A compacted log with something to compact.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Candidate {
    pub(super) id: TopicIdPartition,
    pub(super) cleanable: Cleanable,
    pub(super) rules: CompactionRules,
}

/// The one to compact next, if any is due.
pub(super) fn choose(candidates: &[Candidate]) -> Option<TopicIdPartition> {
    candidates
        .iter()
        .filter(|candidate| candidate.cleanable.is_due(&candidate.rules))
        .max_by(|a, b| a.cleanable.dirty_ratio().total_cmp(&b.cleanable.dirty_ratio()))
        .map(|candidate| candidate.id)
}

#[cfg(test)]
mod tests {
    use super::*;
    use milena_types::{Offset, PartitionIndex, TopicId, Uuid};

    #[test]
    fn the_dirtiest_that_is_due() {
        let candidate = |partition, clean_bytes, dirty_bytes, delay_ms| Candidate {
            id: TopicIdPartition {
                topic: TopicId(Uuid([1; 16])),
                partition: PartitionIndex(partition),
            },
            cleanable: Cleanable {
                first_dirty: Offset(0),
                upper: Offset(9),
                clean_bytes,
                dirty_bytes,
                delay_ms,
            },
            rules: CompactionRules::default(),
        };
        let chosen = |candidates: &[Candidate]| choose(candidates).map(|id| id.partition.0);
        assert_eq!(chosen(&[]), None);
        assert_eq!(chosen(&[candidate(1, 60, 40, 0)]), None);
        assert_eq!(
            chosen(&[
                candidate(1, 60, 40, 1),
                candidate(2, 10, 90, 0),
                candidate(3, 20, 80, 0)
            ]),
            Some(2)
        );
        assert_eq!(
            chosen(&[candidate(1, 60, 40, 1), candidate(2, 59, 41, 0)]),
            Some(1)
        );
    }
}

//! What the cleaner asks of a data thread.

use super::choose::Candidate;
use crate::shard::context::wall_clock;
use crate::shard::role::Role;
use crate::shard::state::Shard;
use milena_log::compaction::{CompactionId, CompactionJob};
use milena_types::{Offset, TopicIdPartition};

/// How a compaction ended, for its owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Over {
    /// The log is clean up to here.
    Clean(Offset),
    /// It was ended, or could not be finished for now.
    Abandoned,
    /// A batch of the segment with this base is not what was written.
    Corrupt(Offset),
    /// The records of a batch cannot be read.
    Unreadable,
    /// The disk could not be forced to take it.
    DiskFailed,
}

impl Shard {
    /// The partitions whose topics are compacted.
    pub(super) fn compacted_partitions(&self) -> Vec<TopicIdPartition> {
        self.cx.compacted.iter().copied().collect()
    }

    /// Those of `ids` that have something to compact.
    pub(super) fn cleanable(&mut self, ids: &[TopicIdPartition]) -> Vec<Candidate> {
        ids.iter().filter_map(|id| self.candidate(*id)).collect()
    }

    /// The directory of each partition that cannot be compacted any more, and its bytes that wait for it.
    pub(super) fn uncleanable(&mut self) -> Vec<(usize, u64)> {
        let ids: Vec<TopicIdPartition> = self.cx.uncleanable.iter().copied().collect();
        let of = |id: TopicIdPartition| {
            let bytes = self
                .measure(id)
                .map_or(0, |candidate| candidate.cleanable.dirty_bytes);
            Some((self.partitions.get(&id)?.dir, bytes))
        };
        ids.into_iter().filter_map(of).collect()
    }

    fn candidate(&mut self, id: TopicIdPartition) -> Option<Candidate> {
        if self.cx.uncleanable.contains(&id) {
            return None;
        }
        self.measure(id)
    }

    /// How much of a log could be compacted, if something.
    fn measure(&mut self, id: TopicIdPartition) -> Option<Candidate> {
        let (partition, cx) = self.partition(id).ok()?;
        if partition.moving.is_some() {
            // A copy of half of it from before and half from after could bring deleted keys back.
            return None;
        }
        let (rules, stable) = (partition.settings.compaction, partition.last_stable_offset());
        match partition.log.cleanable(&rules, stable, wall_clock()) {
            Ok(cleanable) => cleanable.map(|cleanable| Candidate { id, cleanable, rules }),
            Err(error) => {
                // As for any other reader: a segment that is missing is damage of this log only.
                partition.read_error(cx, &error.into());
                None
            }
        }
    }

    /// Hands out the job that compacts a log, if it is still there and has something to compact.
    pub(super) fn begin_compaction(&mut self, id: TopicIdPartition) -> Option<CompactionJob> {
        let candidate = self.candidate(id)?;
        let (partition, _) = self.partition(id).ok()?;
        let replicated = partition.replicated_offset();
        Some(
            partition
                .log
                .begin_compaction(&candidate.cleanable, &candidate.rules, replicated, wall_clock()),
        )
    }

    /// True when every replica's log reaches `deletes_below`, now: a replica may have come back with less.
    pub(super) fn may_commit(&mut self, id: TopicIdPartition, deletes_below: Option<Offset>) -> bool {
        self.partition(id).is_ok_and(|(partition, _)| {
            partition.moving.is_none()
                && deletes_below.is_none_or(|below| below <= partition.replicated_offset())
        })
    }

    /// Takes what a compaction has committed; false when it is not the log's any more.
    pub(super) fn swap_compacted(&mut self, id: TopicIdPartition, compaction: CompactionId) -> bool {
        let Ok((partition, cx)) = self.partition(id) else {
            return false;
        };
        match partition.log.swap_compacted(compaction, wall_clock()) {
            Ok(swapped) => swapped,
            Err(error) => {
                partition.storage_failed(cx, &error);
                false
            }
        }
    }

    /// A compaction has ended.
    pub(super) fn compaction_over(&mut self, id: TopicIdPartition, compaction: CompactionId, over: Over) {
        let Ok((partition, cx)) = self.partition(id) else {
            return;
        };
        let end = match over {
            Over::Clean(end) => Some(end),
            Over::Abandoned | Over::Corrupt(_) | Over::Unreadable | Over::DiskFailed => None,
        };
        partition.log.compaction_over(compaction, end);
        match over {
            Over::Clean(end) => {
                if let Role::Leader(role) = &mut partition.role {
                    // Who reads from the beginning sees what is left, also of what was written a moment ago.
                    role.ring.forget_below(end);
                }
                if let (Some(clean), Some((_, checkpoints))) =
                    (partition.log.clean_offset(), cx.dirs.checkpoints(partition.dir))
                {
                    checkpoints.note_cleaned(&partition.name, clean);
                }
            }
            Over::Abandoned => {}
            Over::Corrupt(base) => partition.found_damage(cx, base, "found by the cleaner"),
            Over::Unreadable => {
                cx.uncleanable.insert(id);
            }
            Over::DiskFailed => cx.dirs_failed.push(partition.dir),
        }
    }
}

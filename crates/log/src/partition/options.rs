//! How a log is opened, and what opening found.

use super::TailKeeper;
use crate::config::LogConfig;
use crate::env::Env;
use milena_types::{LeaderEpoch, Offset, Timestamp, TopicId, TopicPartition};
use std::path::PathBuf;
use std::sync::Arc;

/// What to do about damage, by where it is: below the recovery point it is certain, past it a write that was never completed
/// may be all of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CorruptionPolicy {
    /// Like `Refuse`, and nothing is cut either where more may be wrong with the tail than a write that was never completed
    /// ([`OpenError::Doubtful`](crate::OpenError::Doubtful)): for a replica whose peers may have what it lacks.
    RefuseDoubtful,
    /// Refuse to open where records are gone that were on disk: acknowledged ones would silently be gone. The tail past the
    /// recovery point ends where it is not as it was written. The default.
    #[default]
    Refuse,
    /// Cut the log at the damage and say so: for a replica that is going to be refilled by a leader.
    Truncate,
}

impl CorruptionPolicy {
    /// For a log of which there are so many replicas, this one included, and nothing was agreed about: where others may have what
    /// it lacks, doubts are refused.
    #[must_use]
    pub fn among(replicas: usize) -> Self {
        match replicas {
            0 | 1 => Self::Refuse,
            _ => Self::RefuseDoubtful,
        }
    }
}

/// Everything that opening a log needs to know.
#[derive(Clone, Debug)]
pub struct OpenOptions {
    /// File system and pool of open segments.
    pub env: Arc<Env>,
    /// The partition's directory; it need not exist.
    pub dir: PathBuf,
    /// Which partition it is.
    pub partition: TopicPartition,
    /// The topic's id; [`milena_types::Uuid::ZERO`] skips the comparison with `partition.metadata`.
    pub topic_id: TopicId,
    /// This replica counts as one that has the log, and did before it was opened: a log that says that it is of another topic is
    /// damaged there, unless that is one of the `former_topics`.
    pub counts: bool,
    /// Topics that are known to have had the name before.
    pub former_topics: Vec<TopicId>,
    /// The topic's settings.
    pub config: Arc<LogConfig>,
    /// From the checkpoint: everything below it has been flushed.
    pub recovery_point: Offset,
    /// What the checkpoint on disk may say, though it is of a former log of this name, or of the log before it was opened again.
    /// Where it is more than the log has, a log made anew is not trusted because of it. At least `recovery_point` counts.
    pub stale_offset: Offset,
    /// From the checkpoint: the first offset that may be read.
    pub log_start_offset: Offset,
    /// From the checkpoint: the high watermark. A log that ends below it lacks records that were committed.
    pub high_watermark: Offset,
    /// The directory's `cleaner-offset-checkpoint` names the log: offsets may be missing in it.
    pub compacted: bool,
    /// Kafka may have compacted it: that number is not Milena's, or the log was there before Milena.
    pub may_be_kafkas: bool,
    /// The directory was shut down cleanly: nothing is scanned, but for the last batches of producers.
    pub clean: bool,
    /// Word of the last shutdown says that the log has files: if there are none, they are lost.
    pub has_files: bool,
    /// A batch contradicted the epoch file: what the headers of all batches say counts, if they do not contradict one another.
    pub epochs_from_batches: bool,
    /// What to do about damage.
    pub corruption: CorruptionPolicy,
    /// Is told of what is cut for more than a write that was never completed, before it is.
    pub keeper: Option<Arc<dyn TailKeeper>>,
    /// The newest that the controller has given out: a batch cannot have a higher one.
    pub leader_epoch: LeaderEpoch,
    /// The clock.
    pub now: Timestamp,
}

impl OpenOptions {
    /// For a log of which no checkpoint says anything: all of it is scanned, and damage cannot be told from a torn write.
    #[must_use]
    pub fn new(
        env: Arc<Env>,
        dir: PathBuf,
        partition: TopicPartition,
        topic_id: TopicId,
        config: Arc<LogConfig>,
        now: Timestamp,
    ) -> Self {
        Self {
            env,
            dir,
            partition,
            topic_id,
            counts: false,
            former_topics: Vec::new(),
            config,
            recovery_point: Offset::ZERO,
            stale_offset: Offset::ZERO,
            log_start_offset: Offset::ZERO,
            high_watermark: Offset::ZERO,
            compacted: false,
            may_be_kafkas: false,
            clean: false,
            has_files: false,
            epochs_from_batches: false,
            corruption: CorruptionPolicy::Refuse,
            keeper: None,
            leader_epoch: LeaderEpoch(i32::MAX),
            now,
        }
    }
}

impl OpenOptions {
    /// A log start above the log's end, and above what the checkpoints say was ever flushed or committed, is no log start: those that
    /// say more are written before the one that says where the log begins.
    pub(super) fn start_is_unfounded(&self, log_end: Offset) -> bool {
        self.log_start_offset > log_end.max(self.recovery_point).max(self.high_watermark)
    }
}

/// Where and why a tail was cut off during recovery.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TailCut {
    /// The segment.
    pub path: PathBuf,
    /// Its length now.
    pub position: u64,
    /// Bytes cut, in later segments too.
    pub bytes: u64,
    /// The log end offset now.
    pub offset: Offset,
    /// Why, in words.
    pub reason: String,
    /// What makes more of it than a write that was never completed, if anything does.
    pub doubt: Option<String>,
}

/// What opening a log did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OpenReport {
    /// Segments that were scanned and whose indexes were rebuilt.
    pub segments_scanned: usize,
    /// The tail that was cut off, if any.
    pub cut: Option<TailCut>,
    /// Records below the recovery point are gone (only under [`CorruptionPolicy::Truncate`]).
    pub lost_flushed: bool,
    /// Batches whose leader epoch was damaged and put right (only under [`CorruptionPolicy::Refuse`]).
    pub epochs_mended: usize,
    /// The epoch cache was rebuilt from batch headers.
    pub epochs_rebuilt: bool,
    /// Transaction indexes that were not what was written, and were rebuilt from the log.
    pub txn_indexes_rebuilt: usize,
    /// Producer snapshots that were damaged and removed.
    pub snapshots_discarded: usize,
    /// The offset from which producers were replayed out of the log.
    pub producers_replayed_from: Option<Offset>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubts_are_refused_only_where_others_may_know_better() {
        assert_eq!(CorruptionPolicy::among(1), CorruptionPolicy::Refuse);
        assert_eq!(CorruptionPolicy::among(2), CorruptionPolicy::RefuseDoubtful);
        assert_eq!(CorruptionPolicy::among(3), CorruptionPolicy::RefuseDoubtful);
    }
}

//! Why a compaction ended early. The log is as it was, or some of its groups are compacted: both are whole.

use crate::error::LogError;
use milena_types::Offset;
use std::path::PathBuf;

/// Why a compaction ended early.
#[derive(Debug, thiserror::Error)]
pub enum CompactionError {
    /// The log was cut, closed or deleted, or the process stops: try again later, if the log is still there.
    #[error("the compaction was ended")]
    Ended,
    /// A batch is not what was written: the replica is damaged.
    #[error("{path} is corrupt at byte {position}: {error}")]
    Corrupt {
        /// The segment.
        path: PathBuf,
        /// Its base: every record below it was good.
        base: Offset,
        /// Where the batch begins.
        position: u64,
        /// What is wrong with it.
        error: milena_record::BatchError,
    },
    /// A batch is as it was written, but its records cannot be read: the partition is not compacted any more until somebody
    /// looked at it.
    #[error("{path} cannot be compacted: at byte {position}: {error}")]
    Unreadable {
        /// The segment.
        path: PathBuf,
        /// Where the batch begins.
        position: u64,
        /// What is wrong with its records.
        error: milena_record::BatchError,
    },
    /// A file could not be read or written, for want of space perhaps: try again later.
    #[error(transparent)]
    Log(#[from] LogError),
    /// A file could not be forced to the disk: the directory is to be taken offline.
    #[error("flush for compaction")]
    Sync(#[source] LogError),
}

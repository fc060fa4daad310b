//! Why a compaction ended early. The log is as it was, or some of its groups are compacted: both are whole, or become so when
//! the log is opened again.
//!
//! The owner is told of every end with `PartitionLog::compaction_over`. If the log `is_failed` afterwards, a swap may lie
//! unfinished in its directory, and the log has to be opened again, which puts it in order.

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
    /// A file could not be read or written. At a commit, the end of a swap or the mark, always for want of space, files or
    /// memory ([`LogError::is_no_space`], [`LogError::is_shortage`]), which says nothing about the disk: try again later.
    #[error(transparent)]
    Log(#[from] LogError),
    /// A file could not be forced to the disk, whatever the error's number, or the disk failed while a swap was made certain:
    /// the directory is to be taken offline.
    #[error("flush for compaction")]
    Sync(#[source] LogError),
}

impl CompactionError {
    /// Of an operation that writes and flushes: what a want of space, files or memory has not done, the disk has not. The error
    /// of a flush is never one of these: see [`crate::env`].
    pub(super) fn of_durable_write(error: LogError) -> Self {
        if error.is_no_space() || error.is_shortage() {
            Self::Log(error)
        } else {
            Self::Sync(error)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::io::Errno;
    use std::io;

    fn of(source: io::Error) -> CompactionError {
        CompactionError::of_durable_write(LogError::new("commit", "log")(source))
    }

    #[test]
    fn only_a_failed_disk_is_told_as_one() {
        for errno in [
            Errno::NOSPC,
            Errno::DQUOT,
            Errno::MFILE,
            Errno::NFILE,
            Errno::NOMEM,
        ] {
            assert!(matches!(of(errno.into()), CompactionError::Log(_)), "{errno}");
        }
        // As `env` wraps it.
        let flush = io::Error::other(io::Error::from(Errno::NOSPC));
        for error in [flush, Errno::IO.into(), Errno::ROFS.into()] {
            assert!(matches!(of(error), CompactionError::Sync(_)));
        }
    }
}

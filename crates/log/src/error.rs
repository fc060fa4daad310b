//! What can go wrong, per operation; every error maps to one of Kafka's codes.

use crate::producer::ProducerError;
use milena_record::BatchError;
use milena_types::{ErrorCode, LeaderEpoch, Offset, TopicId};
use std::fmt;
use std::io;
use std::path::PathBuf;

/// A file operation failed; the log directory is to be taken offline (KAFKA_STORAGE_ERROR).
#[derive(Debug, thiserror::Error)]
#[error("{operation} {path}")]
pub struct LogError {
    /// What was tried, as a verb: "write", "truncate".
    pub operation: &'static str,
    /// The file or directory.
    pub path: PathBuf,
    /// What the operating system said.
    #[source]
    pub source: io::Error,
}

impl OpenError {
    /// The whole log at `path` is in doubt, from `offset` on.
    #[must_use]
    pub fn doubtful(
        path: PathBuf,
        offset: Offset,
        error: impl Into<String>,
        doubt: impl Into<String>,
    ) -> Self {
        Self::Doubtful {
            path,
            position: 0,
            offset,
            error: error.into(),
            doubt: doubt.into(),
        }
    }
}

impl LogError {
    /// True when the file system, or a quota, has no space for what was to be written: the log is as before, and may be
    /// written again once there is space. A failed flush is never that, whatever its error number: see [`crate::env`].
    #[must_use]
    pub fn is_no_space(&self) -> bool {
        is_no_space(&self.source)
    }

    /// True when the process was short of file descriptors or memory: that says nothing about the disk. The log is as before,
    /// or in need of being opened again (`is_failed`). A failed flush is never that, whatever its error number.
    #[must_use]
    pub fn is_shortage(&self) -> bool {
        is_shortage(&self.source)
    }

    /// True when a log that was resumed by word of the last shutdown turns out to be another one: nothing was read or
    /// written. It is to be opened again, by its files.
    #[must_use]
    pub fn is_changed_behind(&self) -> bool {
        self.operation == "verify" && self.source.kind() == io::ErrorKind::InvalidData
    }

    /// True when the content of a file makes no sense: that says nothing about the disk, but the log is damaged.
    #[must_use]
    pub fn is_malformed(&self) -> bool {
        self.source.kind() == io::ErrorKind::InvalidData && !self.is_changed_behind()
    }

    pub(crate) fn new(operation: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self {
            operation,
            path,
            source,
        }
    }
}

/// True for "no space left" and "quota exceeded" at a write; never for the error of a flush.
#[must_use]
pub fn is_no_space(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
    )
}

/// True when the process, or the machine, has too many files open or no memory left; never for the error of a flush.
#[must_use]
pub fn is_shortage(error: &io::Error) -> bool {
    use rustix::io::Errno;
    let shortages = [Errno::MFILE, Errno::NFILE, Errno::NOMEM];
    Errno::from_io_error(error).is_some_and(|errno| shortages.contains(&errno))
}

/// Why a log could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// A file operation failed.
    #[error(transparent)]
    Log(#[from] LogError),
    /// The directory belongs to another life of the topic: it was deleted and created again while this broker was away.
    #[error("{path} belongs to topic id {found}, expected {expected}")]
    TopicIdMismatch {
        /// The partition's directory.
        path: PathBuf,
        /// The id in `partition.metadata`.
        found: TopicId,
        /// The id in the cluster's metadata.
        expected: TopicId,
    },
    /// Data that was on disk for certain is damaged. The replica must not lead until it was refilled from a leader.
    #[error(
        "{path} is corrupt at byte {position} (offset {offset}), below the recovery point {recovery_point}: {error}"
    )]
    Corrupt {
        /// The segment.
        path: PathBuf,
        /// Where the bad batch begins.
        position: u64,
        /// The offset that was expected there.
        offset: Offset,
        /// Everything below it had been flushed.
        recovery_point: Offset,
        /// What is wrong, in words.
        error: String,
    },
    /// The log would be cut past its recovery point, and more may be wrong there than a write that was never completed. Nothing
    /// was changed. Only under [`CorruptionPolicy::RefuseDoubtful`](crate::CorruptionPolicy::RefuseDoubtful).
    #[error("{path} is in doubt from byte {position} (offset {offset}) on: {error}; {doubt}")]
    Doubtful {
        /// The segment.
        path: PathBuf,
        /// Where it would be cut.
        position: u64,
        /// Where the log would end.
        offset: Offset,
        /// What is wrong, in words.
        error: String,
        /// Why that may be more than a write that was never completed.
        doubt: String,
    },
    /// The damaged end of the log was to be set aside before it is cut, and could not be. It is not cut.
    #[error("the damaged end of the log could not be set aside")]
    NotSetAside(#[source] LogError),
}

/// The records of a batch that break a rule of the topic.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RecordErrors {
    /// Position in the batch and reason of the first of them.
    pub listed: Vec<(i32, String)>,
    /// How many there are.
    pub total: usize,
}

impl fmt::Display for RecordErrors {
    /// Kafka's words. Source: `LogValidator.processRecordErrors`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "One or more records have been rejected due to {} record errors in total, and only showing the first three errors at most: [",
            self.total
        )?;
        for (at, (index, message)) in self.listed.iter().take(3).enumerate() {
            let comma = if at > 0 { ", " } else { "" };
            write!(f, "{comma}RecordError(batchIndex={index}, message='{message}')")?;
        }
        f.write_str("]")
    }
}

/// Why a leader's append was refused. Nothing was written.
#[derive(Debug, thiserror::Error)]
pub enum AppendError {
    /// The bytes are not one batch, or a rule of the format is broken.
    #[error(transparent)]
    Batch(#[from] BatchError),
    /// A rule of the topic or protocol is broken by the batch as a whole (INVALID_RECORD).
    #[error("{0}")]
    InvalidRecord(&'static str),
    /// Single records break a rule of the topic (INVALID_RECORD).
    #[error("{0}")]
    InvalidRecords(RecordErrors),
    /// Single records break a rule of the topic, that for timestamps among them (INVALID_TIMESTAMP).
    #[error("One or more records have been rejected due to invalid timestamp")]
    InvalidTimestamps(RecordErrors),
    /// The batch is above `max.message.bytes` (MESSAGE_TOO_LARGE).
    #[error("batch of {size} bytes exceeds max.message.bytes {limit}")]
    MessageTooLarge {
        /// Bytes of the batch.
        size: usize,
        /// `max.message.bytes`.
        limit: usize,
    },
    /// The append is above `segment.bytes` (RECORD_LIST_TOO_LARGE).
    #[error("append of {size} bytes exceeds segment.bytes {limit}")]
    RecordListTooLarge {
        /// Bytes of the append.
        size: usize,
        /// `segment.bytes`.
        limit: u64,
    },
    /// A rule of idempotent producers or transactions is broken.
    #[error(transparent)]
    Producer(#[from] ProducerError),
    /// A file operation failed.
    #[error(transparent)]
    Log(#[from] LogError),
}

impl AppendError {
    /// Kafka's code.
    #[must_use]
    pub fn code(&self) -> ErrorCode {
        match self {
            AppendError::Batch(error) => error.error_code(),
            AppendError::InvalidRecord(_) | AppendError::InvalidRecords(_) => ErrorCode::InvalidRecord,
            AppendError::InvalidTimestamps(_) => ErrorCode::InvalidTimestamp,
            AppendError::MessageTooLarge { .. } => ErrorCode::MessageTooLarge,
            AppendError::RecordListTooLarge { .. } => ErrorCode::RecordListTooLarge,
            AppendError::Producer(ProducerError::InvalidEpoch { .. }) => ErrorCode::InvalidProducerEpoch,
            AppendError::Producer(ProducerError::OutOfOrderSequence { .. }) => {
                ErrorCode::OutOfOrderSequenceNumber
            }
            AppendError::Producer(ProducerError::TransactionOpen { .. }) => ErrorCode::InvalidTxnState,
            AppendError::Producer(ProducerError::CoordinatorFenced { .. }) => {
                ErrorCode::TransactionCoordinatorFenced
            }
            AppendError::Log(_) => ErrorCode::KafkaStorageError,
        }
    }

    /// Single records that were refused: position in the batch and reason, for `RecordErrors` of Produce v8+.
    #[must_use]
    pub fn record_errors(&self) -> &[(i32, String)] {
        match self {
            AppendError::InvalidRecords(errors) | AppendError::InvalidTimestamps(errors) => &errors.listed,
            _ => &[],
        }
    }
}

/// Why a follower did not append. Nothing was written.
#[derive(Debug, thiserror::Error)]
pub enum FollowerAppendError {
    /// The bytes are not whole batches, or a checksum is wrong: fetch again.
    #[error(transparent)]
    Batch(#[from] BatchError),
    /// The batches do not begin where the log ends: attach again at the log end offset.
    #[error("batches begin at offset {found}, the log ends at {log_end}")]
    Position {
        /// First offset of the batches.
        found: Offset,
        /// Log end offset.
        log_end: Offset,
    },
    /// Offsets inside the batches do not increase, or leave a hole that the leader does not vouch for.
    #[error("batch at offset {found} follows offset {expected}")]
    NotContiguous {
        /// First offset of the batch.
        found: Offset,
        /// The offset after the batch before it.
        expected: Offset,
    },
    /// Leader epochs inside the batches go backwards.
    #[error("batch at offset {offset} has leader epoch {found}, below {previous}")]
    EpochWentBack {
        /// First offset of the batch.
        offset: Offset,
        /// Its epoch.
        found: LeaderEpoch,
        /// The epoch before it.
        previous: LeaderEpoch,
    },
    /// A file operation failed.
    #[error(transparent)]
    Log(#[from] LogError),
}

impl FollowerAppendError {
    /// True when the directory is to be taken offline, false when the link to the leader is to be opened again.
    #[must_use]
    pub fn is_storage(&self) -> bool {
        matches!(self, FollowerAppendError::Log(_))
    }
}

/// Why a read failed.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The offset lies below the log start or above the log end (OFFSET_OUT_OF_RANGE).
    #[error("offset {offset} is out of range [{log_start}, {log_end}]")]
    OutOfRange {
        /// What was asked.
        offset: Offset,
        /// Log start offset.
        log_start: Offset,
        /// Log end offset.
        log_end: Offset,
    },
    /// The bytes on disk are not batches any more (CORRUPT_MESSAGE is for clients' bytes; this is KAFKA_STORAGE_ERROR).
    #[error("{path} is corrupt at byte {position}: {error}")]
    Corrupt {
        /// The segment.
        path: PathBuf,
        /// Where.
        position: u64,
        /// Every record below it was good in this read; the damage lies at or behind it.
        offset: Offset,
        /// What is wrong, in words.
        error: String,
        /// That is its leader epoch, which the epoch cache contradicts: the cache may be what is wrong.
        other_epoch: bool,
    },
    /// A batch is as it was written, but its records cannot be read (CORRUPT_MESSAGE).
    #[error("{path} has a batch at byte {position} whose records cannot be read: {error}")]
    Unreadable {
        /// The segment.
        path: PathBuf,
        /// Where.
        position: u64,
        /// What is wrong.
        error: BatchError,
    },
    /// A file operation failed.
    #[error(transparent)]
    Log(#[from] LogError),
}

impl ReadError {
    /// Kafka's code.
    #[must_use]
    pub fn code(&self) -> ErrorCode {
        match self {
            ReadError::OutOfRange { .. } => ErrorCode::OffsetOutOfRange,
            ReadError::Unreadable { .. } => ErrorCode::CorruptMessage,
            ReadError::Corrupt { .. } | ReadError::Log(_) => ErrorCode::KafkaStorageError,
        }
    }
}

//! What follows from a file operation that failed.
//!
//! ```text
//! the log is not as the last shutdown left it     it is opened again, by its files
//! no space                                        the directory is full, until there is some
//! too many open files, no memory                  the request fails, its client tries again; what the broker does by
//!                                                 itself is tried again after a pause. Says nothing about the disk
//! anything else, and every flush that fails       the directory is offline
//! ```
//!
//! Clients are told KAFKA_STORAGE_ERROR: they ask for the leader, which may be another one by then, and try again. Kafka takes the
//! directory offline in all these cases (`LogDirFailureChannel`), also when the process has run out of file descriptors.

use super::context::Context;
use super::log_dirs::Distrust;
use super::mailbox::with_local;
use super::partition::Partition;
use super::replica_health::Unusable;
use milena_log::LogError;
use milena_types::{ErrorCode, TopicIdPartition, TopicPartition};
use std::time::{Duration, Instant};

/// The pause before something is tried again that the process was too short of files or memory for.
pub(super) const SHORTAGE_PAUSE: Duration = Duration::from_millis(500);
/// A shortage meets many partitions at once: between two lines about it lies at least this much time.
const SHORTAGE_LINES: Duration = Duration::from_secs(5);

/// See the module's documentation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Consequence {
    Reopen(Distrust),
    Full,
    TryAgain,
    Offline,
}

/// What follows from `error`; `log_failed`: the log takes no more until it is opened again.
pub(super) fn consequence(error: &LogError, log_failed: bool) -> Consequence {
    if error.is_changed_behind() {
        Consequence::Reopen(Distrust::ChangedBehind)
    } else if error.is_no_space() {
        Consequence::Full
    } else if !error.is_shortage() {
        Consequence::Offline
    } else if log_failed {
        Consequence::Reopen(Distrust::ChangedHere)
    } else {
        Consequence::TryAgain
    }
}

/// Says that the process is short of something, but not for every partition that it meets.
#[derive(Debug, Default)]
pub(super) struct ShortageLog {
    last: Option<Instant>,
    left_out: u64,
}

impl ShortageLog {
    pub(super) fn note(&mut self, partition: &TopicPartition, error: &(dyn std::error::Error + 'static)) {
        if let Some(left_out) = self.due(Instant::now()) {
            tracing::warn!(%partition, error, left_out, "the process is short of files or memory; tried again");
        }
    }

    /// Is it time for a line? Then how often there was none since the last one.
    fn due(&mut self, now: Instant) -> Option<u64> {
        let recent = |last: Instant| now.duration_since(last) < SHORTAGE_LINES;
        if self.last.is_some_and(recent) {
            self.left_out += 1;
            return None;
        }
        self.last = Some(now);
        Some(std::mem::take(&mut self.left_out))
    }
}

impl Context {
    /// A write into a directory has failed, not of one partition in it; handled when the present work is done.
    pub(super) fn dir_failed(&mut self, dir: usize, error: &LogError) {
        match consequence(error, false) {
            Consequence::Full => self.dirs_full.push(dir),
            Consequence::TryAgain | Consequence::Reopen(_) => {}
            Consequence::Offline => self.dirs_failed.push(dir),
        }
    }
}

impl Partition {
    /// A storage error of this partition: see the module's documentation. What the client is told.
    pub(super) fn storage_failed(&self, cx: &mut Context, error: &LogError) -> ErrorCode {
        let cause: &dyn std::error::Error = error;
        match consequence(error, self.log.is_failed()) {
            Consequence::Reopen(why) => {
                tracing::warn!(partition = %self.name, error = cause, "the log is not as it should be; opening it again");
                cx.to_reopen.push((self.id, why));
            }
            Consequence::Full => {
                tracing::warn!(partition = %self.name, error = cause, "no space");
                cx.dirs_full.push(self.dir);
            }
            Consequence::TryAgain => cx.shortages.note(&self.name, cause),
            Consequence::Offline => {
                tracing::error!(partition = %self.name, error = cause, "log directory failed");
                cx.dirs_failed.push(self.dir);
            }
        }
        ErrorCode::KafkaStorageError
    }
}

/// Asks for a flush again, after a pause.
pub(super) fn flush_later(id: TopicIdPartition) {
    tokio::task::spawn_local(async move {
        tokio::time::sleep(SHORTAGE_PAUSE).await;
        with_local(|shard| {
            if let Ok((partition, cx)) = shard.partition(id) {
                partition.queue_flush(cx);
            }
        });
    });
}

/// Opens a log that could not be opened now, after a pause.
pub(super) fn open_later(id: TopicIdPartition, pause: Duration) {
    tokio::task::spawn_local(async move {
        tokio::time::sleep(pause).await;
        with_local(|shard| {
            let waits = |(_, why): &(TopicPartition, Unusable)| *why == Unusable::NotNow;
            if shard.cx.unusable.get(&id).is_some_and(waits) {
                shard.apply_partition(id);
            }
        });
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io;

    fn error(source: io::Error) -> LogError {
        LogError {
            operation: "append to",
            path: "/logs/t-0/00000000000000000000.log".into(),
            source,
        }
    }

    #[test]
    fn only_an_error_of_the_disk_takes_the_directory_offline() {
        use rustix::io::Errno;
        for (errno, failed, expected) in [
            (Errno::MFILE, false, Consequence::TryAgain),
            (Errno::NFILE, false, Consequence::TryAgain),
            (Errno::NOMEM, false, Consequence::TryAgain),
            (Errno::MFILE, true, Consequence::Reopen(Distrust::ChangedHere)),
            (Errno::NOSPC, false, Consequence::Full),
            (Errno::DQUOT, true, Consequence::Full),
            (Errno::IO, false, Consequence::Offline),
            (Errno::ROFS, false, Consequence::Offline),
            (Errno::ACCESS, true, Consequence::Offline),
        ] {
            let found = consequence(&error(errno.into()), failed);
            assert_eq!(found, expected, "{errno} {failed}");
        }
        // What a flush failed with does not matter: see `milena_log::env`.
        let flush = io::Error::other(io::Error::from(Errno::NOMEM));
        assert_eq!(consequence(&error(flush), false), Consequence::Offline);
        let changed = LogError {
            operation: "verify",
            ..error(io::Error::new(io::ErrorKind::InvalidData, "longer"))
        };
        assert_eq!(
            consequence(&changed, false),
            Consequence::Reopen(Distrust::ChangedBehind)
        );
    }

    #[test]
    fn a_shortage_is_told_now_and_then() {
        let (mut log, start) = (ShortageLog::default(), Instant::now());
        assert_eq!(log.due(start), Some(0));
        assert_eq!(log.due(start), None);
        assert_eq!(log.due(start + SHORTAGE_LINES / 2), None);
        assert_eq!(log.due(start + SHORTAGE_LINES), Some(2));
        assert_eq!(log.due(start + 2 * SHORTAGE_LINES), Some(0));
    }
}

//! Dropping old segments, and deleting whole logs. Source: `UnifiedLog.deleteOldSegments`, `LocalLog.deleteSegmentFiles`.

use super::PartitionLog;
use super::files::SegmentMeta;
use super::flush::SmallWrite;
use crate::env::FileSystem;
use crate::error::LogError;
use crate::format::{DELETED_SUFFIX, FileKind, deleted_dir_name};
use milena_types::{Offset, Timestamp};
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

/// Why a segment was deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeletionReason {
    /// It lies below the log start offset.
    LogStart,
    /// Its largest timestamp is older than `retention.ms`.
    Time,
    /// The log is larger than `retention.bytes`.
    Size,
}

/// A segment that was deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeletedSegment {
    /// Its base offset.
    pub base_offset: Offset,
    /// Bytes of its log file.
    pub size_bytes: u64,
    /// Why.
    pub reason: DeletionReason,
}

/// Files or a directory that are out of use and may be removed on any thread.
#[derive(Clone, Debug)]
pub struct Removal {
    fs: Arc<dyn FileSystem>,
    path: PathBuf,
    is_dir: bool,
    /// What is durable before.
    after: Option<Arc<SmallWrite>>,
}

impl Removal {
    /// What is removed.
    #[must_use]
    pub fn path(&self) -> &std::path::Path {
        &self.path
    }

    /// Removes it, a directory once its new name is on disk, a segment once the epoch file says where the log begins: else it were
    /// missing. Freeing a large file may take tens of milliseconds, and the
    /// name waits for whatever else the file system is writing.
    ///
    /// # Errors
    /// The error of the operating system; what is left is removed when the directory is opened the next time.
    pub fn run(self) -> io::Result<()> {
        if let Some(write) = &self.after {
            write.run(&*self.fs)?;
        }
        if self.is_dir {
            if let Some(parent) = self.path.parent() {
                self.fs.sync_dir(parent)?;
            }
            self.fs.remove_dir_all(&self.path)
        } else {
            self.fs.remove_file(&self.path)
        }
    }

    /// The removal of a directory that an earlier run left behind.
    pub(crate) fn of_dir(fs: Arc<dyn FileSystem>, path: PathBuf) -> Self {
        Self {
            fs,
            path,
            is_dir: true,
            after: None,
        }
    }
}

impl PartitionLog {
    /// Deletes the oldest segments that time, size or log start allow, all of them below `high_watermark`.
    ///
    /// An expired active segment is closed first, so that an old log becomes empty. Files are renamed at once and handed out by
    /// [`Self::take_removals`] after `file.delete.delay.ms`.
    ///
    /// # Errors
    /// A file operation failed.
    pub fn delete_old_segments(
        &mut self,
        now: Timestamp,
        high_watermark: Offset,
    ) -> Result<Vec<DeletedSegment>, LogError> {
        let mut doomed = Vec::new();
        if self.is_compacting() {
            // The segments are in use; the next check finds them again.
            return Ok(doomed);
        }
        let mut size = self.size_bytes();
        for at in 0..self.segments.len() {
            let is_last = at + 1 == self.segments.len();
            let meta_size = self.segments[at].size;
            if self.segment_end(at) > high_watermark || (is_last && meta_size == 0) {
                break;
            }
            let Some(reason) = self.deletion_reason(at, size, now)? else {
                break;
            };
            size -= meta_size;
            doomed.push(DeletedSegment {
                base_offset: self.segments[at].base,
                size_bytes: meta_size,
                reason,
            });
        }
        if doomed.is_empty() {
            return Ok(doomed);
        }
        self.verify()?;
        if doomed.len() == self.segments.len()
            && let Err(error) = self.roll(now)
        {
            // Without space for a new segment the last one stays, and what goes makes some.
            doomed.pop();
            if doomed.is_empty() || !error.is_no_space() {
                return Err(error);
            }
        }
        self.retire_segments(&doomed, now)?;
        Ok(doomed)
    }

    /// Retires the first segments of the log, as far as it can: memory follows the names, also when one cannot be changed.
    fn retire_segments(&mut self, doomed: &[DeletedSegment], now: Timestamp) -> Result<(), LogError> {
        let (mut gone, mut result) = (0, Ok(()));
        for segment in doomed {
            result = self.retire_log(segment.base_offset, now);
            if result.is_err() {
                break;
            }
            gone += 1;
            tracing::info!(partition = %self.partition, base = segment.base_offset.0, bytes = segment.size_bytes, reason = ?segment.reason, "deleted a segment");
            result = self.retire_indexes(segment.base_offset, now);
            if result.is_err() {
                break;
            }
        }
        self.segments.drain(..gone);
        let first = self.segments.first().map_or(self.log_end, |segment| segment.base);
        self.set_log_start_offset(first);
        result.and(self.remove_snapshots(|snapshot| snapshot < first))
    }

    fn deletion_reason(
        &mut self,
        at: usize,
        size: u64,
        now: Timestamp,
    ) -> Result<Option<DeletionReason>, LogError> {
        let config = Arc::clone(&self.config);
        if self.segment_end(at) <= self.log_start {
            return Ok(Some(DeletionReason::LogStart));
        }
        if !config.delete {
            return Ok(None);
        }
        if config.retention_ms >= 0 {
            let newest = match self.remember_largest_timestamp(at)? {
                // Records without timestamps age by their file.
                Timestamp::NONE => self.modified(self.segments[at].base)?,
                timestamp => timestamp,
            };
            if now.0.saturating_sub(newest.0) > config.retention_ms {
                return Ok(Some(DeletionReason::Time));
            }
        }
        let segment_bytes = self.segments[at].size;
        let excess = u64::try_from(config.retention_bytes)
            .ok()
            .map(|limit| size.saturating_sub(limit));
        Ok(excess
            .is_some_and(|excess| excess >= segment_bytes && excess > 0)
            .then_some(DeletionReason::Size))
    }

    pub(super) fn modified(&self, base: Offset) -> Result<Timestamp, LogError> {
        let path = self.path(base, FileKind::Log);
        self.env
            .fs
            .modified(&path)
            .map(Timestamp)
            .map_err(LogError::new("stat", &path))
    }

    /// Renames a segment's files; the log first, so that a crash leaves no log without its name.
    pub(super) fn retire_files(&mut self, base: Offset, now: Timestamp) -> Result<(), LogError> {
        self.retire_log(base, now)?;
        self.retire_indexes(base, now)
    }

    /// After an error the segment is as it was; else it is the log's no more, whatever becomes of its indexes.
    fn retire_log(&mut self, base: Offset, now: Timestamp) -> Result<(), LogError> {
        self.retire_file(base, FileKind::Log, now)?;
        self.env.sealed.remove(self.pool_key(base));
        self.in_flight.unsynced_seals.retain(|seal| *seal != base);
        let aborted = |meta: &&SegmentMeta| meta.base == base && meta.aborted.entries > 0;
        self.sums_dirty |= self.segments.iter().find(aborted).is_some();
        self.in_flight.seals_submitted = self
            .in_flight
            .seals_submitted
            .min(self.in_flight.unsynced_seals.len());
        Ok(())
    }

    /// One that keeps its name is removed when the log is opened the next time.
    fn retire_indexes(&mut self, base: Offset, now: Timestamp) -> Result<(), LogError> {
        let mut result = Ok(());
        for kind in [FileKind::Index, FileKind::TimeIndex, FileKind::TxnIndex] {
            result = result.and(self.retire_file(base, kind, now));
        }
        result
    }

    fn retire_file(&mut self, base: Offset, kind: FileKind, now: Timestamp) -> Result<(), LogError> {
        let due = Timestamp(now.0.saturating_add(self.config.file_delete_delay_ms));
        let path = self.path(base, kind);
        let renamed = path.with_added_extension(DELETED_SUFFIX);
        match self.env.fs.rename(&path, &renamed) {
            Ok(()) => self.in_flight.removals.push((due, renamed)),
            Err(e) if e.kind() == io::ErrorKind::NotFound => {}
            Err(e) => return Err(LogError::new("rename", path)(e)),
        }
        Ok(())
    }

    /// Hands out the removals whose delay has passed.
    pub fn take_removals(&mut self, now: Timestamp) -> Vec<Removal> {
        if self.in_flight.removals.is_empty() {
            return Vec::new();
        }
        let (due, later): (Vec<_>, Vec<_>) = std::mem::take(&mut self.in_flight.removals)
            .into_iter()
            .partition(|(at, _)| *at <= now);
        self.in_flight.removals = later;
        let after = match due.is_empty() {
            true => None,
            false => self.epochs_write().map(Arc::new),
        };
        self.in_flight.shrink();
        let removal = |(_, path): (Timestamp, PathBuf)| Removal {
            fs: self.env.fs.clone(),
            path,
            is_dir: false,
            after: after.clone(),
        };
        due.into_iter().map(removal).collect()
    }

    /// Moves the log start forward, to the log end at most; earlier records cannot be read any more. Returns the log start.
    ///
    /// Durable once the caller has written the directory's log start checkpoint.
    pub fn set_log_start_offset(&mut self, offset: Offset) -> Offset {
        let offset = offset.min(self.log_end);
        if offset > self.log_start {
            self.log_start = offset;
            self.epochs_dirty |= self.epochs.truncate_from_start(offset);
        }
        self.log_start
    }

    /// Ends the log for ever: its directory gets another name at once and is removed when the removal runs.
    ///
    /// # Errors
    /// The directory could not be renamed.
    pub fn delete(mut self) -> Result<Option<Removal>, LogError> {
        self.active = None;
        // What a compaction has written goes with the directory.
        self.compaction = None;
        self.env.sealed.remove_log(self.log_id);
        if let Some(files) = &self.in_flight.small_files {
            files.mark_deleted();
        }
        let dir = self.dir();
        let renamed = dir.with_file_name(deleted_dir_name(&self.partition, &self.env.unique()));
        let fs = self.env.fs.clone();
        match fs.rename(&dir, &renamed) {
            // A log without a record has no directory.
            Err(error) if self.segments.is_empty() && error.kind() == io::ErrorKind::NotFound => {
                return Ok(None);
            }
            renamed => renamed.map_err(LogError::new("rename", dir))?,
        }
        Ok(Some(Removal {
            fs,
            path: renamed,
            is_dir: true,
            after: None,
        }))
    }
}

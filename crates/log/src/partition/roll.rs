//! When a segment is closed and the next one begins. Source: `LogSegment.shouldRoll`, `UnifiedLog.roll`.

use super::PartitionLog;
use super::files::SegmentMeta;
use crate::env::{OpenMode, read_small_file};
use crate::error::LogError;
use crate::format::{FileKind, PARTITION_METADATA_FILE};
use crate::segment::ActiveSegment;
use milena_record::{BatchHeader, batches};
use milena_types::{Offset, Timestamp};

/// Positions in an index are signed 32-bit numbers.
const SEGMENT_BYTES_MAX: u64 = i32::MAX as u64;

impl PartitionLog {
    /// Makes sure that the active segment is open and has room for `bytes`.
    pub(super) fn prepare_active(&mut self, bytes: &[u8], now: Timestamp) -> Result<(), LogError> {
        if self.segments.is_empty() {
            return self.create_segment(self.log_end, now);
        }
        self.open_active()?;
        let mut last: Option<BatchHeader> = None;
        for batch in batches(bytes).flatten() {
            last = Some(batch.0);
        }
        if last.is_some_and(|last| self.is_roll_due(bytes.len() as u64, &last, now)) {
            self.roll(now)?;
        }
        Ok(())
    }

    fn is_roll_due(&self, bytes: u64, last: &BatchHeader, now: Timestamp) -> bool {
        let (Some(meta), Some(active)) = (self.segments.last(), &self.active) else {
            return false;
        };
        let config = &self.config;
        meta.size > 0
            && (meta.size + bytes > config.segment_bytes.min(SEGMENT_BYTES_MAX)
                || self.is_old(Some(last.max_timestamp), now)
                || active.index.is_full(config.segment_index_bytes)
                || last.last_offset().since(meta.base) > i64::from(i32::MAX))
    }

    /// Age of the active segment: between its first record and the newest one (or the clock), by record timestamps.
    fn is_old(&self, newest: Option<Timestamp>, now: Timestamp) -> bool {
        let (Some(meta), Some(active)) = (self.segments.last(), &self.active) else {
            return false;
        };
        let limit = self.config.segment_ms.saturating_sub(self.jitter_ms(meta.base));
        let age = match active.first_timestamp.filter(|timestamp| timestamp.0 >= 0) {
            Some(first) => newest.unwrap_or(now).0.saturating_sub(first.0),
            None => now.0.saturating_sub(meta.created.unwrap_or(now).0),
        };
        age > limit
    }

    /// The same for every restart, and spread over partitions: FNV-1a of the name and the base offset.
    fn jitter_ms(&self, base: Offset) -> i64 {
        if self.config.segment_jitter_ms <= 0 {
            return 0;
        }
        let name = self.partition.to_string();
        let bytes = name.bytes().chain(base.0.to_be_bytes());
        let hash = bytes.fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3)
        });
        i64::try_from(hash >> 1).unwrap_or_default() % self.config.segment_jitter_ms
    }

    /// Closes the active segment when it is not empty and older than `segment.ms`; true when it did.
    ///
    /// # Errors
    /// A file operation failed.
    pub fn roll_if_due(&mut self, now: Timestamp) -> Result<bool, LogError> {
        let due = self.segments.last().is_some_and(|meta| meta.size > 0) && self.is_old(None, now);
        if due {
            self.roll(now)?;
        }
        Ok(due)
    }

    /// Closes the active segment and begins one at the log end.
    pub(super) fn roll(&mut self, now: Timestamp) -> Result<(), LogError> {
        self.open_active()?;
        if let (Some(mut active), Some(meta)) = (self.active.take(), self.segments.last_mut()) {
            meta.max_timestamp = Some(active.largest_timestamp());
            let sealed = active.seal();
            self.unsynced_seals.push(meta.base);
            sealed.map_err(LogError::new("write index in", &self.dir))?;
        }
        self.write_snapshot()?;
        self.create_segment(self.log_end, now)
    }

    /// Creates the files of a segment at `base`, and the directory if there is none.
    pub(super) fn create_segment(&mut self, base: Offset, now: Timestamp) -> Result<(), LogError> {
        if self.segments.is_empty() {
            self.create_dir()?;
        }
        let active = ActiveSegment::create(&self.env.fs, &self.dir, base, self.config.index_interval_bytes)
            .map_err(LogError::new("create segment", self.path(base, FileKind::Log)))?;
        self.active = Some(Box::new(active));
        let mut meta = SegmentMeta::new(base, 0);
        meta.created = Some(now);
        self.segments.push(meta);
        self.dir_dirty = true;
        Ok(())
    }

    fn create_dir(&mut self) -> Result<(), LogError> {
        let fs = self.env.fs.clone();
        fs.create_dir_all(&self.dir)
            .map_err(LogError::new("create", &self.dir))?;
        if self.stale_recovery_point > self.log_end {
            // The checkpoint still knows a former log of this name: nothing of the new one may be trusted because of it.
            self.write_recovery_floor(self.log_end)?;
        }
        if self.topic_id.0.is_zero() {
            return Ok(());
        }
        let path = self.dir.join(PARTITION_METADATA_FILE);
        let text = format!("version: 0\ntopic_id: {}", self.topic_id);
        let write = || {
            if read_small_file(&*fs, &path, 1 << 16)?.as_deref() != Some(text.as_bytes()) {
                fs.open(&path, OpenMode::Truncate)?
                    .write_all_at(text.as_bytes(), 0)?;
            }
            Ok(())
        };
        write().map_err(LogError::new("write", &path))
    }

    /// Opens the last segment for appends again, after the log was idle.
    pub(super) fn open_active(&mut self) -> Result<(), LogError> {
        let (None, Some(meta)) = (&self.active, self.segments.last()) else {
            return Ok(());
        };
        let (base, size, interval) = (meta.base, meta.size, self.config.index_interval_bytes);
        let path = self.path(base, FileKind::Log);
        let index = match self.open_segment(self.segments.len() - 1)? {
            super::files::OpenSegment::Active(_) => return Ok(()),
            super::files::OpenSegment::Sealed(sealed) => {
                ActiveSegment::builder_from(&sealed, base, size, interval)
            }
        };
        // The map of the index goes before its file may change.
        self.env.sealed.remove(self.pool_key(base));
        let active = index
            .and_then(|index| ActiveSegment::resume(&self.env.fs, &self.dir, base, size, index, false))
            .map_err(LogError::new("open segment", path))?;
        self.active = Some(Box::new(active));
        if let Some(last) = self.segments.last_mut() {
            last.max_timestamp = None;
        }
        Ok(())
    }

    /// Closes the files of a log that has nothing to flush: an idle partition holds no descriptor. True when it is idle.
    ///
    /// # Errors
    /// A file operation failed.
    pub fn release_idle(&mut self) -> Result<bool, LogError> {
        if self.has_dirty_data() || self.flushed < self.log_end {
            return Ok(self.active.is_none());
        }
        self.close_active()?;
        self.env.sealed.remove_log(self.log_id);
        Ok(true)
    }

    /// Completes the indexes and closes the files of the segment that was being written.
    pub(super) fn close_active(&mut self) -> Result<(), LogError> {
        let (Some(mut active), Some(last)) = (self.active.take(), self.segments.last_mut()) else {
            return Ok(());
        };
        last.max_timestamp = Some(active.largest_timestamp());
        let base = last.base;
        active
            .seal()
            .map_err(LogError::new("write index in", &self.dir))?;
        self.modified = self.modified(base)?;
        self.shrink();
        self.forget_epoch_file();
        Ok(())
    }
}

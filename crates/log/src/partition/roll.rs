//! When a segment is closed and the next one begins. Source: `LogSegment.shouldRoll`, `UnifiedLog.roll`.

use super::PartitionLog;
use super::files::{SegmentMeta, SmallTimestamp};
use super::open::topic_id_text;
use crate::env::{OpenMode, read_small_file};
use crate::error::LogError;
use crate::format::{FileKind, OFFSET_SPAN_MAX, PARTITION_METADATA_FILE, SEGMENT_BYTES_MAX};
use crate::segment::{ActiveSegment, SealedSegment};
use milena_record::{BatchHeader, batches};
use milena_types::{Offset, Timestamp};
use std::sync::atomic::Ordering;

/// The offsets and the largest timestamp of what is about to be appended.
pub(super) struct Span {
    first: Offset,
    last: Offset,
    max_timestamp: Timestamp,
}

impl Span {
    fn of(header: &BatchHeader) -> Self {
        Self {
            first: header.base_offset,
            last: header.last_offset(),
            max_timestamp: header.max_timestamp,
        }
    }
}

/// How many of these bytes, at least one batch, may go into one segment, and what they span; `None` without a batch.
pub(super) fn one_segment(bytes: &[u8]) -> (usize, Option<Span>) {
    let (mut span, mut len) = (None, 0);
    for (header, batch) in batches(bytes).flatten() {
        let span = span.get_or_insert(Span::of(&header));
        if len > 0 && header.last_offset().since(span.first) > OFFSET_SPAN_MAX {
            break;
        }
        span.last = header.last_offset();
        span.max_timestamp = span.max_timestamp.max(header.max_timestamp);
        len += batch.len();
    }
    (if len == 0 { bytes.len() } else { len }, span)
}

impl PartitionLog {
    /// Makes sure that the active segment is open and has room for `bytes` of batches with this span, no more offsets than an
    /// index can hold.
    pub(super) fn prepare_active(
        &mut self,
        bytes: u64,
        span: Option<Span>,
        now: Timestamp,
    ) -> Result<(), LogError> {
        if self.segments.is_empty() {
            return self.create_segment(self.base_for(span.as_ref()), now);
        }
        self.open_active()?;
        let wrong = |active: &ActiveSegment| active.index_is_wrong.load(Ordering::Relaxed);
        if self.active.as_deref().is_some_and(wrong) {
            self.rebuild_active_index()?;
        }
        if let Some(meta) = self.segments.last_mut() {
            // As in Kafka, a segment that was found on disk counts from now when its records have no timestamps.
            meta.created = meta.created.or(SmallTimestamp::new(now));
        }
        if let Some(span) = span.filter(|span| self.is_roll_due(bytes, span, now)) {
            self.roll_at(self.base_for(Some(&span)), now)?;
        }
        Ok(())
    }

    /// Base of a new segment for these offsets: the log end, unless a hole follows it that is too wide for an index.
    fn base_for(&self, span: Option<&Span>) -> Offset {
        match span {
            Some(span) if span.last.since(self.log_end) > OFFSET_SPAN_MAX => span.first.max(self.log_end),
            _ => self.log_end,
        }
    }

    fn is_roll_due(&self, bytes: u64, span: &Span, now: Timestamp) -> bool {
        let (Some(meta), Some(active)) = (self.segments.last(), &self.active) else {
            return false;
        };
        let config = &self.config;
        span.last.since(meta.base) > OFFSET_SPAN_MAX
            || (meta.size > 0
                && (meta.size + bytes > config.segment_bytes.min(SEGMENT_BYTES_MAX)
                    || self.is_old(span.max_timestamp, now)
                    || active.index.is_full(config.segment_index_bytes)))
    }

    /// Age of the active segment: between its first record and the newest of those that come now, by their timestamps; by the
    /// clock when the first one has none. A segment to which nothing is appended does not age.
    fn is_old(&self, newest: Timestamp, now: Timestamp) -> bool {
        let (Some(meta), Some(active)) = (self.segments.last(), &self.active) else {
            return false;
        };
        let limit = self.config.segment_ms.saturating_sub(self.jitter_ms(meta.base));
        let age = match active.first_timestamp.filter(|timestamp| timestamp.0 >= 0) {
            Some(first) => newest.0.saturating_sub(first.0),
            None => now
                .0
                .saturating_sub(meta.created.map_or(now, SmallTimestamp::get).0),
        };
        age > limit
    }

    /// The same for every restart, and spread over partitions: FNV-1a of the name and the base offset.
    fn jitter_ms(&self, base: Offset) -> i64 {
        let most = self.config.segment_jitter_ms.min(self.config.segment_ms);
        if most <= 0 {
            return 0;
        }
        let name = self.partition.to_string();
        let bytes = name.bytes().chain(base.0.to_be_bytes());
        let hash = bytes.fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3)
        });
        i64::try_from(hash >> 1).unwrap_or_default() % most
    }

    /// Closes the active segment and begins one at the log end. Either all of it happens or, as when no space is left, nothing.
    ///
    /// # Errors
    /// A file operation failed.
    pub fn roll(&mut self, now: Timestamp) -> Result<(), LogError> {
        self.roll_at(self.log_end, now)
    }

    /// Closes the active segment and begins one at `base`, the log end or later; an empty one makes room for it.
    fn roll_at(&mut self, base: Offset, now: Timestamp) -> Result<(), LogError> {
        self.open_active()?;
        self.save_aborts()?;
        let gives_way = |meta: &mut SegmentMeta| meta.size == 0 && meta.base < base;
        let empty = self.segments.last_mut().is_some_and(gives_way);
        if let Some(active) = self.active.as_mut().filter(|_| !empty) {
            active
                .seal()
                .map_err(LogError::new("write index in", self.dir()))?;
        }
        self.write_snapshot()?;
        let next = self.create_files(base)?;
        if let Some(empty) = self.segments.pop_if(gives_way) {
            self.active = None;
            self.env.sealed.remove(self.pool_key(empty.base));
            // Its place in the log is gone, and that of the new one not there yet.
            self.remove_segment_files(empty.base)
                .inspect_err(|_| self.failed = true)?;
        } else if let (Some(active), Some(meta)) = (&self.active, self.segments.last_mut()) {
            meta.max_timestamp = SmallTimestamp::new(active.largest_timestamp());
            self.sums_dirty |= meta.aborted.entries > 0;
            self.in_flight.unsynced_seals.push(meta.base);
        }
        self.begin_segment(base, next, now);
        Ok(())
    }

    /// Creates the files of a segment at `base`, and the directory if there is none.
    pub(super) fn create_segment(&mut self, base: Offset, now: Timestamp) -> Result<(), LogError> {
        if self.segments.is_empty() {
            self.create_dir()?;
        }
        let active = self.create_files(base)?;
        self.begin_segment(base, active, now);
        Ok(())
    }

    /// Creates a segment's files: all of them, or none. One that stayed behind would be taken for a gap after a crash, and all
    /// that follows it cut off.
    fn create_files(&mut self, base: Offset) -> Result<ActiveSegment, LogError> {
        let interval = self.config.index_interval_bytes;
        let created = ActiveSegment::create(&self.env.fs, &self.dir(), base, interval);
        created.map_err(|source| {
            if let Err(error) = self.remove_segment_files(base) {
                self.failed = true;
                tracing::error!(dir = %self.dir().display(), base = base.0, %error, "could not undo a failed roll; the log takes no more");
            }
            let error = LogError::new("create segment", self.path(base, FileKind::Log))(source);
            self.make_room(&error);
            error
        })
    }

    fn begin_segment(&mut self, base: Offset, active: ActiveSegment, now: Timestamp) {
        self.active = Some(Box::new(active));
        let mut meta = SegmentMeta::new(base, 0);
        meta.created = SmallTimestamp::new(now);
        self.segments.push(meta);
        self.dir_dirty = true;
    }

    fn create_dir(&mut self) -> Result<(), LogError> {
        let fs = self.env.fs.clone();
        // The log directory itself must be there: a disk that was taken away is not replaced by a place on another one.
        fs.create_dir(&self.dir())
            .map_err(LogError::new("create", self.dir()))?;
        if self.stale_offset > self.log_end {
            // The checkpoint still knows a former log of this name: nothing of the new one may be trusted because of it.
            self.write_recovery_floor(self.log_end)?;
        }
        self.write_topic_id()
    }

    /// Marks the directory with the topic's id, unless it is.
    pub(super) fn write_topic_id(&self) -> Result<(), LogError> {
        if self.topic_id.0.is_zero() {
            return Ok(());
        }
        let fs = &self.env.fs;
        let path = self.dir().join(PARTITION_METADATA_FILE);
        let text = topic_id_text(self.topic_id);
        let write = || {
            if read_small_file(&**fs, &path, 1 << 16)?.as_deref() != Some(text.as_bytes()) {
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
            .and_then(|index| ActiveSegment::resume(&self.env.fs, &self.dir(), base, size, index, false))
            .map_err(LogError::new("open segment", path))?;
        self.active = Some(Box::new(active));
        if let Some(last) = self.segments.last_mut() {
            last.max_timestamp = None;
        }
        Ok(())
    }

    /// Builds the indexes of the active segment again from its log, after a reader found them wrong.
    fn rebuild_active_index(&mut self) -> Result<(), LogError> {
        let Some(meta) = self.segments.last() else {
            return Ok(());
        };
        let (base, size, interval) = (meta.base, meta.size, self.config.index_interval_bytes);
        let fs = &self.env.fs;
        let build = || {
            let rebuilt = SealedSegment::rebuild(&**fs, &self.dir(), base, size, interval)?;
            let index = ActiveSegment::builder_from(&rebuilt, base, size, interval)?;
            ActiveSegment::resume(fs, &self.dir(), base, size, index, true)
        };
        let active = build().map_err(LogError::new(
            "rebuild the index of",
            self.path(base, FileKind::Log),
        ))?;
        self.active = Some(Box::new(active));
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
        // Of one without an open segment, too: a recovery or a compaction has written small files.
        self.forget_small_files();
        self.env.sealed.remove_log(self.log_id);
        Ok(true)
    }

    /// Completes the indexes and closes the files of the segment that was being written.
    pub(super) fn close_active(&mut self) -> Result<(), LogError> {
        self.save_aborts()?;
        let (Some(active), Some(last)) = (&mut self.active, self.segments.last_mut()) else {
            return Ok(());
        };
        last.max_timestamp = SmallTimestamp::new(active.largest_timestamp());
        let base = last.base;
        active
            .seal()
            .map_err(LogError::new("write index in", self.dir()))?;
        self.active = None;
        self.modified = self.modified(base)?;
        self.shrink();
        Ok(())
    }
}

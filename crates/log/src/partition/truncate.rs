//! Cutting a log's end off, as followers do that diverged from their leader. Source: `UnifiedLog.truncateTo`.
//!
//! Synchronous and durable, because what was cut must not come back after a power cut beneath what is written next:
//! first the recovery floor, then the files from the newest back, then the epochs.

use super::PartitionLog;
use crate::env::OpenMode;
use crate::error::LogError;
use crate::format::FileKind;
use crate::index::IndexBuilder;
use crate::segment::{ActiveSegment, ScanDepth, Scanner};
use milena_types::{Offset, Timestamp};

impl PartitionLog {
    /// Removes every record at or past `offset`; a batch that reaches across goes as a whole. At or past the log end only
    /// epochs go that begin there: those of a leader that was replaced before it appended anything.
    ///
    /// Afterwards the log is flushed up to its new end, and older flush tickets say nothing any more.
    ///
    /// # Errors
    /// A file operation failed; the directory is to be taken offline.
    pub fn truncate_to(&mut self, offset: Offset) -> Result<(), LogError> {
        if offset >= self.log_end {
            // Else a follower would ask with that epoch again and again. Source: `UnifiedLog.truncateTo`.
            self.epochs_dirty |= self.epochs.truncate_from_end(self.log_end);
            return Ok(());
        }
        if self.high_watermark > offset {
            tracing::warn!(partition = %self.partition, to = offset.0, high_watermark = self.high_watermark.0, log_end = self.log_end.0,
                "truncating below the high watermark");
        }
        self.verify()?;
        // It may put fewer segments in the place of some.
        self.end_compaction()?;
        match self.segment_to_cut(offset) {
            Some(at) => self.all_or_failed(|log| log.cut(at, offset)),
            None => self.truncate_fully_and_start_at(offset.max(Offset::ZERO)),
        }
    }

    /// Where [`Self::truncate_to`] really cuts: where the batch begins that reaches across `offset`, but not below the log start; the log
    /// end when no record goes.
    ///
    /// # Errors
    /// The log could not be read.
    pub fn cut_offset(&self, offset: Offset) -> Result<Offset, LogError> {
        if offset >= self.log_end {
            return Ok(self.log_end);
        }
        self.verify()?;
        let Some(at) = self.segment_to_cut(offset) else {
            return Ok(self.log_start);
        };
        let (_, end, _) = self.find_cut(at, offset)?;
        Ok(end.max(self.log_start))
    }

    /// The segment that keeps something when the log is cut at `offset`.
    pub(super) fn segment_to_cut(&self, offset: Offset) -> Option<usize> {
        self.segment_of(offset).filter(|_| offset > self.log_start)
    }

    /// A truncation that ends half-way leaves files and memory apart: only opening the log again brings them together.
    fn all_or_failed(
        &mut self,
        truncate: impl FnOnce(&mut Self) -> Result<(), LogError>,
    ) -> Result<(), LogError> {
        let generation = self.generation;
        let result = truncate(self);
        self.failed |= result.is_err() && self.generation != generation;
        result
    }

    fn cut(&mut self, at: usize, offset: Offset) -> Result<(), LogError> {
        let (base, size) = (self.segments[at].base, self.segments[at].size);
        let path = self.path(base, FileKind::Log);
        let (position, end, index) = self.find_cut(at, offset)?;
        if end < self.log_start {
            // The batch that holds the log start reaches across: nothing that may be read is left.
            return self.truncate_fully_and_start_at(self.log_start);
        }
        // A floor that is there may be lower: the checkpoint is of a longer log, and not all of this one is flushed.
        self.write_recovery_floor(end.min(self.recovery_point()))?;
        self.lower_compaction_mark(end)?;
        self.generation = self.generation.wrapping_add(1);
        self.active = None;
        self.env.sealed.remove_log(self.log_id);
        for doomed in (at + 1..self.segments.len()).rev() {
            self.remove_segment_files(self.segments[doomed].base)?;
        }
        self.segments.truncate(at + 1);
        let fs = self.env.fs.clone();
        let active = ActiveSegment::resume(&fs, &self.dir(), base, position, index, true)
            .map_err(LogError::new("truncate", &path))?;
        // Durable even when nothing is left to flush.
        active
            .file
            .sync_data()
            .map_err(LogError::new("truncate", &path))?;
        self.active = Some(Box::new(active));
        self.segments[at].size = position;
        self.segments[at].max_timestamp = None;
        self.in_flight.unsynced_seals.retain(|seal| *seal < base);
        self.in_flight.seals_submitted = 0;
        self.log_end = end;
        self.cut_txn_index(at, end)?;
        tracing::info!(partition = %self.partition, path = %path.display(), position, removed_bytes = size - position, log_end = end.0, "truncated the log");
        self.after_cut()
    }

    /// Position and offset of the first batch that reaches `offset`, and the indexes of what lies before it.
    pub(super) fn find_cut(
        &self,
        at: usize,
        offset: Offset,
    ) -> Result<(u64, Offset, IndexBuilder), LogError> {
        let meta = &self.segments[at];
        let mut index = IndexBuilder::new(meta.base, self.config.index_interval_bytes);
        let path = self.path(meta.base, FileKind::Log);
        let failed = || LogError::new("read", &path);
        let file = self.env.fs.open(&path, OpenMode::Read).map_err(failed())?;
        let mut scanner = Scanner::new(&*file, 0, meta.size, ScanDepth::Headers);
        let mut position = 0;
        let mut end = meta.base;
        while let Some(Ok(batch)) = scanner.next().map_err(failed())? {
            // A damaged batch, which is why the log is cut, may say any offset.
            let out_of_place = match self.may_have_holes() {
                true => batch.header.base_offset < end,
                false => batch.header.base_offset != end,
            };
            if out_of_place || batch.header.last_offset() >= offset {
                // Not inside a hole before the batch: no file would say so, and a restart would find less than was flushed.
                break;
            }
            index.add(&batch.header, batch.position);
            position = batch.position + batch.header.size_bytes() as u64;
            end = batch.header.next_offset();
        }
        Ok((position, end, index))
    }

    /// Epochs, producers and disk follow the new end.
    fn after_cut(&mut self) -> Result<(), LogError> {
        let end = self.log_end;
        self.high_watermark = self.high_watermark.min(end);
        self.flushed = self.flushed.min(end);
        self.submitted = self.flushed;
        self.epochs_dirty |= self.epochs.truncate_from_end(end);
        self.remove_snapshots(|snapshot| snapshot > end)?;
        self.reload_producers(end, None)?;
        self.dir_dirty = true;
        // Everything that is left becomes durable here, whatever became of older tickets.
        self.flushed = self
            .flushed
            .min(self.segments.first().map_or(end, |first| first.base));
        self.flush()
    }

    /// Removes everything and begins again at `offset`, which becomes log start and log end.
    ///
    /// # Errors
    /// A file operation failed; the directory is to be taken offline.
    pub fn truncate_fully_and_start_at(&mut self, offset: Offset) -> Result<(), LogError> {
        let with_files = !self.segments.is_empty() || offset > Offset::ZERO;
        self.all_or_failed(|log| log.restart_at(offset, with_files))
    }

    /// Begins a log that has no files yet at `offset`, with files.
    ///
    /// # Errors
    /// A file operation failed.
    pub fn begin_at(&mut self, offset: Offset) -> Result<(), LogError> {
        self.all_or_failed(|log| log.restart_at(offset, true))
    }

    fn restart_at(&mut self, offset: Offset, with_files: bool) -> Result<(), LogError> {
        tracing::info!(partition = %self.partition, log_start = self.log_start.0, log_end = self.log_end.0, offset = offset.0, "truncating the whole log");
        self.end_compaction()?;
        self.lower_compaction_mark(Offset::ZERO)?;
        let had_files = !self.segments.is_empty();
        if had_files {
            self.write_recovery_floor(Offset::ZERO)?;
        }
        self.generation = self.generation.wrapping_add(1);
        self.active = None;
        self.unverified.set(false);
        self.env.sealed.remove_log(self.log_id);
        for at in (0..self.segments.len()).rev() {
            self.remove_segment_files(self.segments[at].base)?;
        }
        self.segments.clear();
        self.in_flight.unsaved_aborts.clear();
        self.in_flight.unsynced_seals.clear();
        self.in_flight.seals_submitted = 0;
        self.remove_snapshots(|_| true)?;
        self.epochs.clear();
        self.epochs_dirty |= had_files;
        self.sums_dirty |= had_files;
        self.producers = crate::producer::ProducerState::default();
        (self.log_start, self.log_end) = (offset, offset);
        (self.flushed, self.submitted) = (offset, offset);
        self.high_watermark = offset;
        // They say where the log began, and the new segment may raise the floor to where it begins.
        self.write_epochs()?;
        if with_files {
            // An empty segment keeps the offset over a restart.
            self.create_segment(offset, Timestamp::NONE)?;
            self.segments[0].created = None;
            return self.flush();
        }
        Ok(())
    }

    pub(super) fn remove_segment_files(&self, base: Offset) -> Result<(), LogError> {
        for kind in [
            FileKind::Log,
            FileKind::Index,
            FileKind::TimeIndex,
            FileKind::TxnIndex,
        ] {
            let path = self.path(base, kind);
            self.env
                .fs
                .remove_file(&path)
                .map_err(LogError::new("remove", &path))?;
        }
        Ok(())
    }
}

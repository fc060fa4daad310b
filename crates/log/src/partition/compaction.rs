//! The log's side of compaction: what could be compacted, the job for the cleaner, and taking its result.
//!
//! Everything here runs on the owner and moves names and numbers only; the work is [`CompactionJob`]'s, on another thread.
//! Source: `LogCleanerManager.cleanableOffsets`, `LocalLog.replaceSegments`.

use super::PartitionLog;
use super::files::{SegmentMeta, SmallTimestamp};
use super::txn_index::TxnIndexSum;
use crate::compaction::{
    Cleanable, CompactionId, CompactionJob, CompactionRules, FilterRules, JobParts, LastRecord, Permit,
    Replacement, Source, Stage, forget_swap, read_mark, remove_mark,
};
use crate::error::LogError;
use crate::format::DELETED_SUFFIX;
use milena_record::{BatchHeader, HEADER_BYTES};
use milena_types::{Offset, ProducerId, Timestamp};
use std::collections::HashMap;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

/// What is known of a log's compaction.
#[derive(Debug, Default)]
pub(super) struct Compaction {
    /// The one that is under way.
    running: Option<Running>,
    /// How far one came that is over, and whose manifest may still be on disk; the log has failed then.
    unfinished: Option<Stage>,
    /// Below it the log is compacted.
    clean_upto: Option<Offset>,
    /// Why a swap was left when some of its files had their new names and others had not.
    half_swapped: Option<io::Error>,
}

/// An error that says the same.
fn same(error: &io::Error) -> io::Error {
    match error.raw_os_error() {
        Some(errno) => io::Error::from_raw_os_error(errno),
        None => io::Error::new(error.kind(), error.to_string()),
    }
}

/// The permit of the compaction under way; a log that goes away takes it along.
#[derive(Debug)]
struct Running(Arc<Permit>);

impl Drop for Running {
    fn drop(&mut self) {
        // Whatever state the files are in, opening the log puts them in order.
        self.0.end();
    }
}

impl PartitionLog {
    fn running(&self) -> Option<&Running> {
        self.compaction.as_ref()?.running.as_ref()
    }

    /// What of the log could be compacted now; `None`: nothing, or a compaction is under way.
    ///
    /// `last_stable` is the last stable offset, the high watermark at most. Whole segments only, never the active one, and
    /// only what is on disk: else a power cut could take a new value whose old one is compacted away for good.
    ///
    /// # Errors
    /// A file could not be read.
    pub fn cleanable(
        &mut self,
        rules: &CompactionRules,
        last_stable: Offset,
        now: Timestamp,
    ) -> Result<Option<Cleanable>, LogError> {
        let waits = self.is_compacting() || self.failed || !self.in_flight.unsaved_aborts.is_empty();
        if self.segments.len() < 2 || waits {
            return Ok(None);
        }
        let first_dirty = self.first_dirty_offset()?;
        let last = self.segments.len() - 1;
        let bound = last_stable.min(self.recovery_point());
        let stable = (0..last).take_while(|at| self.segment_end(*at) <= bound).count();
        let dirty_from = self.segment_of(first_dirty).unwrap_or(0);
        let end = match self.first_young(dirty_from..stable, rules, now)? {
            Some(young) => young,
            None => stable,
        };
        let upper = self.segments[end].base;
        if upper <= first_dirty {
            return Ok(None);
        }
        self.verify()?;
        let bytes = |segments: &[SegmentMeta]| segments.iter().map(|segment| segment.size).sum();
        let mut delay_ms = 0;
        if rules.max_compaction_lag_ms < i64::MAX {
            let limit = now.0.saturating_sub(rules.max_compaction_lag_ms.max(0));
            for at in dirty_from..end {
                let first = self.first_timestamp(at)?;
                if let Some(first) = first.filter(|first| first.0 > 0) {
                    delay_ms = delay_ms.max(limit.saturating_sub(first.0));
                }
            }
        }
        Ok(Some(Cleanable {
            first_dirty,
            upper,
            clean_bytes: bytes(&self.segments[..dirty_from]),
            dirty_bytes: bytes(&self.segments[dirty_from..end]),
            delay_ms,
        }))
    }

    /// The first of these segments with a record younger than `min.compaction.lag.ms`.
    fn first_young(
        &mut self,
        segments: std::ops::Range<usize>,
        rules: &CompactionRules,
        now: Timestamp,
    ) -> Result<Option<usize>, LogError> {
        if rules.min_compaction_lag_ms <= 0 {
            return Ok(None);
        }
        let limit = now.0.saturating_sub(rules.min_compaction_lag_ms);
        for at in segments {
            if self.remember_largest_timestamp(at)?.0 > limit {
                return Ok(Some(at));
            }
        }
        Ok(None)
    }

    /// Below it the log was compacted before.
    fn first_dirty_offset(&mut self) -> Result<Offset, LogError> {
        let mark = match self
            .compaction
            .as_ref()
            .and_then(|compaction| compaction.clean_upto)
        {
            Some(mark) => mark,
            None => read_mark(&*self.env.fs, &self.dir())
                .map_err(LogError::new("read the compaction mark of", self.dir()))?
                .unwrap_or(Offset::ZERO),
        };
        self.compaction.get_or_insert_default().clean_upto = Some(mark);
        if mark > self.log_end {
            tracing::warn!(partition = %self.partition, mark = mark.0, log_end = self.log_end.0, "the compaction mark lies past the log's end; all of the log counts as dirty");
            return Ok(self.log_start);
        }
        Ok(mark.max(self.log_start))
    }

    /// Below it the log was compacted, as far as this log was asked; what belongs into Kafka's `cleaner-offset-checkpoint`.
    #[must_use]
    pub fn clean_offset(&self) -> Option<Offset> {
        let clean_upto = self.compaction.as_ref()?.clean_upto;
        clean_upto.filter(|mark| *mark > Offset::ZERO)
    }

    /// The largest timestamp of the first batch of segment number `at`.
    fn first_timestamp(&self, at: usize) -> Result<Option<Timestamp>, LogError> {
        let segment = self.open_segment(at)?;
        let mut head = Vec::with_capacity(HEADER_BYTES);
        let path = self.path(self.segments[at].base, crate::format::FileKind::Log);
        segment
            .file()
            .read_at(&mut head, HEADER_BYTES, 0)
            .map_err(LogError::new("read", path))?;
        Ok(BatchHeader::parse(&head).ok().map(|header| header.max_timestamp))
    }

    /// True while a compaction is under way, or has left a swap that only opening the log completes: its segments stay where
    /// they are.
    #[must_use]
    pub fn is_compacting(&self) -> bool {
        let busy = |compaction: &Compaction| compaction.running.is_some() || compaction.unfinished.is_some();
        self.compaction.as_deref().is_some_and(busy)
    }

    /// Begins the compaction that [`Self::cleanable`] found. `replicated`: every replica's log reaches this offset.
    #[must_use]
    pub fn begin_compaction(
        &mut self,
        cleanable: &Cleanable,
        rules: &CompactionRules,
        replicated: Offset,
        now: Timestamp,
    ) -> CompactionJob {
        let permit = Arc::new(Permit::new());
        // Replaces none: `cleanable` finds nothing while one is under way.
        self.compaction.get_or_insert_default().running = Some(Running(permit.clone()));
        let sources = (0..self.segments.len())
            .map(|at| Source {
                base: self.segments[at].base,
                size: self.segments[at].size,
                end: self.segment_end(at),
                may_part: self.may_part(self.segments[at].base, self.segment_end(at)),
            })
            .filter(|source| source.end <= cleanable.upper)
            .collect();
        let aborted = self.segments.iter().filter(|segment| segment.aborted.entries > 0);
        CompactionJob::new(JobParts {
            env: self.env.clone(),
            dir: self.dir(),
            partition: self.partition.clone(),
            config: self.config.clone(),
            permit,
            sources,
            txn_indexes: aborted.map(|segment| (segment.base, segment.aborted)).collect(),
            first_dirty: cleanable.first_dirty,
            upper: cleanable.upper,
            rules: FilterRules {
                now,
                delete_retention_ms: rules.delete_retention_ms,
                replicated,
                kept_ends: [self.high_watermark, self.log_end],
                group_end: self.log_end,
                producers: self.last_records(),
                decompressed_bytes_max: self.config.decompressed_bytes_max,
                compression_level: self.config.compression_level,
            },
            has_holes: self.has_holes,
        })
    }

    /// Source: `ProducerStateManager.activeProducers`, `UnifiedLog.lastRecordsOfActiveProducers`.
    fn last_records(&self) -> HashMap<ProducerId, LastRecord> {
        let last = |entry: &crate::producer::ProducerEntry| match entry.batches().last() {
            Some(batch) => Some(LastRecord::Data(batch.last_offset)),
            None => entry.epoch.map(LastRecord::Marker),
        };
        self.producers
            .entries()
            .filter_map(|(id, entry)| Some((id, last(entry)?)))
            .collect()
    }

    /// Takes the segments of a group that this compaction has committed; false when it is not the log's any more. Readers go on in the files
    /// that they have open.
    ///
    /// # Errors
    /// A file could not be renamed; the log takes no more appends and is put in order when it is opened again.
    pub fn swap_compacted(&mut self, id: CompactionId, now: Timestamp) -> Result<bool, LogError> {
        let running = self.running().filter(|running| running.0.id() == id);
        let committed = running.and_then(|running| running.0.take_committed());
        let Some(replacement) = committed else {
            return Ok(false);
        };
        let changed = self.install(&replacement, now)?;
        let sums = if changed { self.sums_write() } else { None };
        if let Some(running) = self.running() {
            running.0.swapped(sums);
        }
        Ok(true)
    }

    /// What a segment is not opened for: it may be another one by now than the log knows. The error is that of the swap.
    pub(super) fn refuse_if_half_swapped(&self) -> io::Result<()> {
        let compaction = self.compaction.as_deref();
        match compaction.and_then(|compaction| compaction.half_swapped.as_ref()) {
            Some(error) => Err(same(error)),
            None => Ok(()),
        }
    }

    /// True when transaction indexes changed: their sums have to be on disk before the manifest goes. After an error nothing is
    /// read any more but what is open.
    fn install(&mut self, replacement: &Replacement, now: Timestamp) -> Result<bool, LogError> {
        let installed = self.install_files(replacement, now);
        if let (Err(error), Some(compaction)) = (&installed, &mut self.compaction) {
            compaction.half_swapped = Some(same(&error.source));
        }
        installed
    }

    fn install_files(&mut self, replacement: &Replacement, now: Timestamp) -> Result<bool, LogError> {
        let has_entries = |sum: &TxnIndexSum| sum.entries > 0;
        let of_old = |segment: &&SegmentMeta| replacement.old.contains(&segment.base);
        let old = self.segments.iter().filter(of_old).map(|segment| segment.aborted);
        let new = replacement.new.iter().map(|segment| segment.aborted);
        let changed = old.chain(new).any(|sum| has_entries(&sum));
        let failed = std::mem::replace(&mut self.failed, true);
        for base in &replacement.old {
            self.retire_files(*base, now)?;
        }
        replacement
            .install(&*self.env.fs, &self.dir())
            .map_err(LogError::new("rename in", self.dir()))?;
        let is_old = |segment: &SegmentMeta| replacement.old.contains(&segment.base);
        let from = self
            .segments
            .iter()
            .position(is_old)
            .unwrap_or(self.segments.len());
        let to = from
            + self.segments[from..]
                .iter()
                .take_while(|segment| is_old(segment))
                .count();
        let new = replacement.new.iter().map(|segment| SegmentMeta {
            max_timestamp: SmallTimestamp::new(segment.max_timestamp),
            aborted: segment.aborted,
            ..SegmentMeta::new(segment.base, segment.size)
        });
        let end = self.segments.get(to).map_or(self.log_end, |segment| segment.base);
        self.segments.splice(from..to, new);
        self.has_holes = true;
        self.dir_dirty = true;
        self.sums_dirty |= changed;
        // They may have a transaction open whose marker is compacted: what is left of the log says enough.
        self.remove_snapshots(|snapshot| snapshot < end)?;
        self.failed = failed;
        Ok(changed)
    }

    /// This compaction is over: clean up to `end` after the last group and [`CompactionJob::write_mark`]; `None` when it
    /// failed. False when it is not the log's any more: what it has found says nothing of this log then.
    ///
    /// If it came as far as a manifest, the log has failed ([`Self::is_failed`]) and is to be opened again, which completes the
    /// swap: what is committed must not be forgotten while the log goes on.
    pub fn compaction_over(&mut self, id: CompactionId, end: Option<Offset>) -> bool {
        let Some(compaction) = &mut self.compaction else {
            return false;
        };
        let Some(running) = compaction.running.take_if(|running| running.0.id() == id) else {
            return false;
        };
        match running.0.end() {
            Stage::Working(_) | Stage::Ended => compaction.clean_upto = end.or(compaction.clean_upto),
            left => {
                compaction.unfinished = Some(left);
                self.failed = true;
            }
        }
        true
    }

    /// Ends the compaction under way, because the log is about to be cut or closed: what is committed is completed, durably.
    ///
    /// # Errors
    /// A file operation failed. If the manifest may be on disk still, the log takes no more until it is opened again: a
    /// manifest that is left behind names segments that a log which went on would have made anew.
    pub(super) fn end_compaction(&mut self) -> Result<(), LogError> {
        let Some(compaction) = &mut self.compaction else {
            return Ok(());
        };
        let running = compaction.running.take().map(|running| running.0.end());
        let mut stage = match running.or_else(|| compaction.unfinished.take()) {
            None | Some(Stage::Ended) => return Ok(()),
            Some(Stage::Working(files)) => return self.drop_cleaned(files),
            Some(stage) => stage,
        };
        let failed = std::mem::replace(&mut self.failed, true);
        let done = self.complete_swap(&mut stage);
        match &done {
            Ok(()) => self.failed = failed,
            Err(error) => {
                if !error.is_no_space() && !error.is_shortage() {
                    // A flush that failed is never repeated.
                    stage = Stage::Torn;
                }
                self.compaction.get_or_insert_default().unfinished = Some(stage);
            }
        }
        done
    }

    /// Completes a swap from `stage` on, which says afterwards how far it came. May be repeated.
    fn complete_swap(&mut self, stage: &mut Stage) -> Result<(), LogError> {
        if let Stage::InDoubt(replacement) = stage {
            replacement
                .commit(&*self.env.fs, &self.dir())
                .map_err(LogError::new("commit the compaction of", self.dir()))?;
        }
        match std::mem::replace(stage, Stage::Torn) {
            Stage::InDoubt(replacement) | Stage::Committed(replacement) => {
                self.install(&replacement, Timestamp::NONE)?;
            }
            Stage::Torn => {
                let error = io::Error::other("a swap got stuck half-way; the log must be opened again");
                return Err(LogError::new("finish the compaction of", self.dir())(error));
            }
            Stage::Swapped(_) | Stage::Working(_) | Stage::Ended => {}
        }
        *stage = Stage::Swapped(None);
        if let Some(sums) = self.sums_write() {
            sums.run(&*self.env.fs)
                .map_err(LogError::new("write the sums of", self.dir()))?;
        }
        forget_swap(&*self.env.fs, &self.dir()).map_err(LogError::new("finish the compaction of", self.dir()))
    }

    fn drop_cleaned(&mut self, files: Vec<PathBuf>) -> Result<(), LogError> {
        let mut result = Ok(());
        for path in files {
            let renamed = path.with_added_extension(DELETED_SUFFIX);
            match self.env.fs.rename(&path, &renamed) {
                Ok(()) => self.in_flight.removals.push((Timestamp::NONE, renamed)),
                Err(e) if e.kind() == io::ErrorKind::NotFound => {}
                // It stays until the log is opened again; the others go.
                Err(e) => result = result.and(Err(LogError::new("rename", path)(e))),
            }
        }
        result
    }

    /// Before the log is cut at `end`: what comes there next is dirty, whatever was there before.
    pub(super) fn lower_compaction_mark(&mut self, end: Offset) -> Result<(), LogError> {
        if let Some(compaction) = &mut self.compaction {
            compaction.clean_upto = None;
        }
        let fs = &*self.env.fs;
        let lower = || match read_mark(fs, &self.dir())? {
            Some(mark) if mark > end => remove_mark(fs, &self.dir()),
            Some(_) | None => Ok(()),
        };
        lower().map_err(LogError::new("lower the compaction mark of", self.dir()))
    }
}

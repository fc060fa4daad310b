//! Recovery after an unclean stop.
//!
//! Scan first, change later: the segments from the recovery point on are walked without touching anything; below the
//! recovery point headers suffice, past it every checksum is compared, offsets must continue and leader epochs must not
//! go back (stale bytes of a longer former segment have older ones). What follows the first bad byte is cut off.
//! Then indexes are rebuilt from what the scan saw. Repeating all of it changes nothing. Source: `LogLoader.java`.

use super::files::SegmentMeta;
use super::{CorruptionPolicy, OpenReport, PartitionLog, TailCut};
use crate::env::{LogFile, OpenMode};
use crate::error::{LogError, OpenError};
use crate::format::FileKind;
use crate::index::IndexBuilder;
use crate::segment::{ScanDepth, Scanner};
use milena_record::BatchHeader;
use milena_types::{LeaderEpoch, Offset};
use std::io;

/// What a replay of the log brings up to date.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Replay {
    /// The producer state.
    Producers,
    /// And the transaction indexes of the segments from this number on.
    ProducersAndTxnIndex(usize),
}

/// One segment as the scan found it.
struct ScannedSegment {
    index: IndexBuilder,
    size: u64,
    end: Offset,
    stop: Option<String>,
}

/// The state that a scan carries from segment to segment.
struct Progress {
    expected: Offset,
    epoch: Option<LeaderEpoch>,
    /// Starts of epochs, in order of appearance.
    epochs: Vec<(LeaderEpoch, Offset)>,
    /// Base of the last segment.
    segment: Offset,
    /// Offsets were missing somewhere, and might be.
    saw_hole: bool,
}

impl Progress {
    fn from(base: Offset) -> Self {
        Self {
            expected: base,
            segment: base,
            epoch: None,
            epochs: Vec::new(),
            saw_hole: false,
        }
    }

    /// Says what is wrong with a batch at this place, if anything.
    fn judge(&mut self, header: &BatchHeader, holes_allowed: bool) -> Option<String> {
        let (offset, epoch) = (header.base_offset, header.partition_leader_epoch);
        if offset < self.expected || (offset > self.expected && !holes_allowed) {
            return Some(format!("batch has offset {offset}, expected {}", self.expected));
        }
        if let Some(previous) = self.epoch.filter(|previous| epoch < *previous) {
            return Some(format!(
                "batch at offset {offset} has leader epoch {epoch} after {previous}"
            ));
        }
        self.saw_hole |= offset > self.expected;
        if self.epoch != Some(epoch) {
            self.epochs.push((epoch, offset));
            self.epoch = Some(epoch);
        }
        self.expected = header.next_offset();
        None
    }
}

impl PartitionLog {
    /// Finds the end of the log, cuts what is behind it, rebuilds indexes; gives the number of the first scanned segment.
    pub(super) fn recover(
        &mut self,
        trusted: Offset,
        policy: CorruptionPolicy,
        report: &mut OpenReport,
    ) -> Result<Option<usize>, OpenError> {
        let Some(first) = self.segment_of(trusted) else {
            return Ok(None);
        };
        let mut progress = Progress::from(self.segments[first].base);
        let mut scanned = Vec::new();
        let mut stop = None;
        for meta in &self.segments[first..] {
            // A segment spans fewer offsets than an index can hold: what lies further apart is no lost tail.
            let far = self.has_holes && meta.base.since(progress.segment) > i64::from(i32::MAX);
            let may_part = progress.expected < trusted || self.compacted_by_kafka || far;
            progress.segment = meta.base;
            if may_part && meta.base > progress.expected {
                // Compaction took the end of the segment before. Milena's leaves a batch there: past the recovery point a
                // hole between segments is a lost tail.
                progress.expected = meta.base;
                progress.saw_hole = true;
            } else if meta.base != progress.expected {
                stop = Some(format!(
                    "segment {} does not follow offset {}",
                    meta.base, progress.expected
                ));
                break;
            }
            let path = self.path(meta.base, FileKind::Log);
            let segment = self
                .scan_segment(meta, trusted, &mut progress)
                .map_err(LogError::new("recover", path))?;
            let segment_stop = segment.stop.clone();
            scanned.push(segment);
            if segment_stop.is_some() {
                stop = segment_stop;
                break;
            }
        }
        report.segments_scanned = scanned.len();
        let end = progress.expected;
        report.lost_flushed |= end < trusted;
        if let Some(reason) = stop {
            self.cut_tail(
                first + scanned.len() - 1,
                scanned.last(),
                reason,
                trusted,
                policy,
                report,
            )?;
        } else if end < trusted {
            self.accept_short(end, trusted, policy)?;
        }
        for (at, segment) in scanned.into_iter().enumerate() {
            self.write_rebuilt(first + at, segment)?;
        }
        if progress.saw_hole {
            // Kafka, which may have compacted this log, leaves no such word.
            self.remember_holes()?;
        }
        self.log_end = end;
        self.flushed = trusted.min(end).max(self.segments[0].base);
        for (epoch, start) in progress.epochs {
            self.epochs.assign(epoch, start);
        }
        Ok(Some(first))
    }

    /// The log ends below its recovery point.
    fn accept_short(
        &mut self,
        end: Offset,
        trusted: Offset,
        policy: CorruptionPolicy,
    ) -> Result<(), OpenError> {
        if Self::refuse_damage(policy) {
            return Err(self.too_short(end, trusted));
        }
        tracing::error!(partition = %self.partition, recovery_point = trusted.0, log_end = end.0,
            "the log ends below its recovery point: flushed records are gone");
        Ok(self.write_recovery_floor(end)?)
    }

    fn too_short(&self, end: Offset, recovery_point: Offset) -> OpenError {
        let (base, position) = self
            .segments
            .last()
            .map_or((end, 0), |last| (last.base, last.size));
        OpenError::Corrupt {
            path: self.path(base, FileKind::Log),
            position,
            offset: end,
            recovery_point,
            error: "the log ends there".to_owned(),
        }
    }

    fn scan_segment(
        &self,
        meta: &SegmentMeta,
        trusted: Offset,
        progress: &mut Progress,
    ) -> io::Result<ScannedSegment> {
        let file = self
            .env
            .fs
            .open(&self.path(meta.base, FileKind::Log), OpenMode::Read)?;
        let mut index = IndexBuilder::new(meta.base, self.config.index_interval_bytes);
        let mut scanner = Scanner::new(&*file, 0, meta.size, ScanDepth::Headers);
        let mut size = 0;
        let mut stop = None;
        loop {
            let trust = progress.expected < trusted;
            if !trust {
                scanner.set_depth(ScanDepth::Checked);
            }
            match scanner.next()? {
                None => break,
                Some(Err(bad)) => {
                    stop = Some(bad.error.to_string());
                    break;
                }
                Some(Ok(batch)) => {
                    stop = progress.judge(&batch.header, trust || self.has_holes || self.config.compact);
                    if stop.is_some() {
                        break;
                    }
                    index.add(&batch.header, batch.position);
                    size = batch.position + batch.header.size_bytes() as u64;
                }
            }
        }
        Ok(ScannedSegment {
            index,
            size,
            end: progress.expected,
            stop,
        })
    }

    /// Cuts off everything behind segment number `at` and the bad part of it, durably.
    fn cut_tail(
        &mut self,
        at: usize,
        segment: Option<&ScannedSegment>,
        reason: String,
        trusted: Offset,
        policy: CorruptionPolicy,
        report: &mut OpenReport,
    ) -> Result<(), OpenError> {
        let Some(segment) = segment else { return Ok(()) };
        let meta = &self.segments[at];
        let path = self.path(meta.base, FileKind::Log);
        let (position, offset) = (segment.size, segment.end);
        if offset < trusted {
            if Self::refuse_damage(policy) {
                return Err(OpenError::Corrupt {
                    path,
                    position,
                    offset,
                    recovery_point: trusted,
                    error: reason,
                });
            }
            self.write_recovery_floor(offset)?;
        }
        let behind: u64 = self.segments[at + 1..].iter().map(|segment| segment.size).sum();
        let bytes = self.segments[at].size - position + behind;
        tracing::warn!(partition = %self.partition, path = %path.display(), position, bytes, log_end = offset.0, reason, lost_flushed = offset < trusted,
            "cut off a tail that was never completely written");
        for doomed in (at + 1..self.segments.len()).rev() {
            self.remove_segment_files(self.segments[doomed].base)?;
        }
        self.segments.truncate(at + 1);
        let cut = || {
            let file = self.env.fs.open(&path, OpenMode::Write)?;
            file.set_len(position)?;
            file.sync_data()?;
            self.env.fs.sync_dir(&self.dir)
        };
        cut().map_err(LogError::new("truncate", &path))?;
        self.segments[at].size = position;
        report.cut = Some(TailCut {
            path,
            position,
            bytes,
            offset,
            reason,
        });
        Ok(())
    }

    /// Writes the indexes that a scan has built, where the files differ; the next flush makes those of closed segments durable.
    fn write_rebuilt(&mut self, at: usize, mut segment: ScannedSegment) -> Result<(), LogError> {
        let base = self.segments[at].base;
        segment.index.add_time_entry();
        self.segments[at].max_timestamp = None;
        let (offsets, times) = segment.index.into_bytes();
        for (kind, bytes) in [(FileKind::Index, offsets), (FileKind::TimeIndex, times)] {
            let path = self.path(base, kind);
            self.write_when_different(&path, &bytes)
                .map_err(LogError::new("write", &path))?;
        }
        // Replay writes it again.
        self.segments[at].aborted = 0;
        let path = self.path(base, FileKind::TxnIndex);
        self.env
            .fs
            .remove_file(&path)
            .map_err(LogError::new("remove", &path))?;
        if at + 1 < self.segments.len() {
            self.unsynced_seals.push(base);
        }
        Ok(())
    }

    fn write_when_different(&self, path: &std::path::Path, bytes: &[u8]) -> io::Result<()> {
        let fs = &*self.env.fs;
        if fs.file_len(path)? == Some(bytes.len() as u64) {
            let mut found = Vec::with_capacity(bytes.len());
            fs.open(path, OpenMode::Read)?
                .read_at(&mut found, bytes.len(), 0)?;
            if found == bytes {
                return Ok(());
            }
        }
        fs.open(path, OpenMode::Truncate)?.write_all_at(bytes, 0)
    }

    /// Loads the newest snapshot at or below `newest`, completes it and replays the log from there; gives the offset where
    /// the replay began and how many damaged snapshots were removed.
    pub(super) fn reload_producers(
        &mut self,
        newest: Offset,
        replay: Replay,
    ) -> Result<(Offset, usize), LogError> {
        let (found, discarded) = self.load_snapshot(newest)?;
        if let Some(snapshot) = found {
            self.complete_windows(snapshot)?;
        }
        let from = found.unwrap_or(self.log_start).max(self.log_start);
        if from < self.log_end {
            let first_indexed = match replay {
                Replay::Producers => usize::MAX,
                Replay::ProducersAndTxnIndex(at) => at,
            };
            let mut producers = std::mem::take(&mut self.producers);
            let mut aborts = Vec::new();
            self.walk_headers(from, |at, header, batch| {
                if header.producer_id.is_some()
                    && let Some(completed) = super::producers::apply_to(&mut producers, header, batch)
                {
                    let stable = producers.last_stable_offset_after(&completed);
                    let indexed = completed.aborted && at >= first_indexed;
                    aborts.extend(indexed.then_some((at, completed, stable)));
                }
                Ok(())
            })?;
            self.producers = producers;
            for (at, completed, stable) in aborts {
                self.add_aborted(at, &completed, stable)?;
            }
        }
        self.producers.on_high_watermark(self.high_watermark);
        Ok((from, discarded))
    }

    /// Visits the header of every batch from `from` on, with its segment's number; control batches come with their bytes.
    pub(super) fn walk_headers(
        &self,
        from: Offset,
        mut visit: impl FnMut(usize, &BatchHeader, &[u8]) -> Result<(), LogError>,
    ) -> Result<(), LogError> {
        for at in self.segment_of(from).unwrap_or(0)..self.segments.len() {
            let meta = &self.segments[at];
            let path = self.path(meta.base, FileKind::Log);
            let open = self.env.fs.open(&path, OpenMode::Read);
            let file: std::sync::Arc<dyn LogFile> = open.map_err(LogError::new("read", &path))?;
            let mut scanner = Scanner::new(&*file, 0, meta.size, ScanDepth::Headers);
            while let Some(Ok(batch)) = scanner.next().map_err(LogError::new("read", &path))? {
                if batch.header.base_offset >= from {
                    visit(at, &batch.header, batch.bytes)?;
                }
            }
        }
        Ok(())
    }
}

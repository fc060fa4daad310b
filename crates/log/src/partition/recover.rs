//! Recovery after an unclean stop.
//!
//! Scan first, change later: the segments from the recovery point on are walked without touching anything. The first of them
//! is entered at a producer snapshot inside it, if there is one ([`ScanStart`]), and else at its beginning. Below the recovery point headers suffice, past it every checksum is compared, offsets must continue and leader epochs must
//! not go back (stale bytes of a longer former segment have older ones). What follows the first bad byte is cut off.
//! Then indexes are rebuilt from what the scan saw. Repeating all of it changes nothing. Source: `LogLoader.java`.

use super::doubt::{Tail, below};
use super::enter::{Entry, ScanStart};
use super::files::{OpenSegment, SegmentMeta};
use super::wrong_epoch::WrongEpoch;
use super::{AbortedTxn, CorruptionPolicy, OpenOptions, OpenReport, PartitionLog, TailCut};
use crate::env::OpenMode;
use crate::error::{LogError, OpenError};
use crate::format::{FileKind, OFFSET_SPAN_MAX};
use crate::index::IndexBuilder;
use crate::segment::{ScanDepth, Scanner};
use milena_record::BatchHeader;
use milena_types::{LeaderEpoch, Offset};
use std::collections::BTreeMap;
use std::io;
use std::sync::atomic::Ordering;

/// So many batches are given another epoch.
const MENDED_MAX: usize = 1 << 10;

/// One segment as the scan found it.
struct ScannedSegment {
    index: IndexBuilder,
    size: u64,
}

/// How far a scan goes, and how closely it looks.
#[derive(Clone, Copy)]
struct Reach {
    /// From here on checksums are compared.
    checked_from: Offset,
    /// It ends at the first batch that begins at or past it.
    until: Offset,
    /// The first segment is entered by its index, below this offset.
    enter_below: Option<Offset>,
    /// No batch has a newer leader epoch.
    newest_epoch: LeaderEpoch,
    /// One that has is given its true epoch, if that is known.
    mends: bool,
}

/// Segments as a scan found them, and why it ended before their end, if it did.
struct Scan {
    segments: Vec<ScannedSegment>,
    /// What lies below it was not looked at.
    entered: Offset,
    progress: Progress,
    stop: Option<String>,
    /// It ended at a batch with an epoch that cannot be.
    wrong_epoch: Option<WrongEpoch>,
    /// Such batches that it passed, and the epochs that they had.
    mends: Vec<(WrongEpoch, LeaderEpoch)>,
    /// It ended at several of them in a row.
    newest_is_wrong: bool,
}

impl Scan {
    /// Where it ended; `first` is the number of the segment that it began in.
    fn tail(&self, first: usize, was_truncated: bool) -> Tail {
        Tail {
            at: first + self.segments.len() - 1,
            position: self.segments.last().map_or(0, |segment| segment.size),
            expected: self.progress.expected,
            stale_below: self.progress.epoch.filter(|_| was_truncated),
        }
    }
}

/// The state that a scan carries from segment to segment.
pub(super) struct Progress {
    expected: Offset,
    /// The log is in no doubt below it. It lags behind `expected` when a batch left a hole before it: should the next one
    /// contradict, it was that batch whose base offset is wrong.
    sure: Offset,
    /// A batch began below the end of the one before it, and is not of an older epoch (stale bytes are).
    contradicted: bool,
    epoch: Option<LeaderEpoch>,
    /// Starts of epochs, in order of appearance.
    epochs: Vec<(LeaderEpoch, Offset)>,
    /// Base of the last segment.
    segment: Offset,
    /// Offsets were missing somewhere, and might be.
    saw_hole: bool,
}

impl Progress {
    /// Before the first batch of the segment at `base`, which is to have this offset.
    pub(super) fn at(base: Offset, offset: Offset) -> Self {
        Self {
            expected: offset,
            sure: offset,
            contradicted: false,
            epoch: None,
            epochs: Vec::new(),
            segment: base,
            saw_hole: false,
        }
    }

    /// Says what is wrong with a batch at this place of its segment, if anything.
    pub(super) fn judge(&mut self, header: &BatchHeader, holes_allowed: bool) -> Option<String> {
        let (offset, epoch) = (header.base_offset, header.partition_leader_epoch);
        if offset < self.expected || (offset > self.expected && !holes_allowed) {
            self.contradicted = offset < self.expected && self.epoch.is_none_or(|previous| epoch >= previous);
            return Some(format!("batch has offset {offset}, expected {}", self.expected));
        }
        if header.last_offset().since(self.segment) > OFFSET_SPAN_MAX {
            return Some(format!("batch has offset {offset}, out of the segment's range"));
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
        self.sure = if offset > self.expected {
            self.expected
        } else {
            header.next_offset()
        };
        self.expected = header.next_offset();
        None
    }

    /// The same for the beginning of a segment.
    fn enter(&mut self, base: Offset, holes_allowed: bool) -> Option<String> {
        if base < self.expected || (base > self.expected && !holes_allowed) {
            self.contradicted = base < self.expected;
            return Some(format!("segment {base} does not follow offset {}", self.expected));
        }
        if base > self.expected {
            self.sure = self.expected;
            self.saw_hole = true;
        }
        self.expected = base;
        self.segment = base;
        None
    }
}

impl PartitionLog {
    /// Finds the end of the log, cuts what is behind it, rebuilds indexes; says where it began to scan. Refused with `gap`, if
    /// nothing else is certain to be wrong.
    pub(super) fn recover(
        &mut self,
        trusted: Offset,
        opts: &OpenOptions,
        gap: Option<OpenError>,
        report: &mut OpenReport,
    ) -> Result<Option<ScanStart>, OpenError> {
        let Some(first) = self.segment_of(trusted) else {
            return gap.map_or(Ok(None), Err);
        };
        let policy = opts.corruption;
        let snapshot = self.replay_point(first, trusted, opts.now, report)?;
        let (scan, snapshot) = self.scan_to_the_end(first, trusted, snapshot, opts, report)?;
        report.segments_scanned = scan.segments.len();
        let end = scan.progress.expected;
        report.lost_flushed |= end < trusted;
        let tail = scan.tail(first, self.has_floor);
        let reason = scan.stop.as_deref().unwrap_or("the log ends here");
        if policy == CorruptionPolicy::Truncate && scan.stop.is_some() {
            self.set_aside(&tail, reason, trusted, opts)?;
        }
        if end < trusted {
            self.flushed_is_lost(&tail, reason, trusted, policy)?;
        }
        if let Some(gap) = gap {
            return Err(gap);
        }
        let doubt = match policy {
            CorruptionPolicy::Truncate => None,
            _ => self.doubt(&tail, &scan, opts)?,
        };
        if policy == CorruptionPolicy::RefuseDoubtful
            && let Some(doubt) = doubt
        {
            return Err(OpenError::Doubtful {
                path: self.path(self.segments[tail.at].base, FileKind::Log),
                position: tail.position,
                offset: end,
                error: reason.to_owned(),
                doubt,
            });
        }
        if let Some(reason) = scan.stop {
            if let Some(doubt) = &doubt {
                self.set_aside(&tail, &format!("{reason}; {doubt}"), opts.high_watermark, opts)?;
            }
            let what = words_of_cut(policy, end < trusted, doubt.is_some());
            report.cut = Some(self.cut_tail(&tail, what, reason, doubt)?);
        }
        for (at, segment) in scan.segments.into_iter().enumerate() {
            self.write_rebuilt(first + at, segment)?;
        }
        if scan.progress.saw_hole {
            // Kafka, which may have compacted this log, leaves no such word.
            self.remember_holes()?;
        }
        self.log_end = end;
        self.flushed = trusted.min(end).max(self.segments[0].base);
        for (epoch, start) in scan.progress.epochs {
            self.epochs.assign(epoch, start);
        }
        Ok(Some(ScanStart {
            at: first,
            entered: scan.entered,
            snapshot,
        }))
    }

    /// Scans from segment number `first` on, as often as doubts about what was seen ask for; gives what the last scan has found,
    /// and the snapshot that it was entered at.
    fn scan_to_the_end(
        &self,
        first: usize,
        trusted: Offset,
        snapshot: Option<Offset>,
        opts: &OpenOptions,
        report: &mut OpenReport,
    ) -> Result<(Scan, Option<Offset>), OpenError> {
        let policy = opts.corruption;
        let mut reach = Reach {
            checked_from: trusted,
            until: Offset(i64::MAX),
            enter_below: snapshot,
            newest_epoch: opts.leader_epoch,
            mends: policy == CorruptionPolicy::Refuse,
        };
        let mut scan = self.scan(first, reach)?;
        if let Some(wrong) = scan.wrong_epoch
            && scan.newest_is_wrong
            && Self::refuse_damage(policy)
        {
            // A leader of a lower epoch would push the true ones out of the cache, and the next recovery cut what it appends.
            return Err(OpenError::Corrupt {
                path: self.path(wrong.segment, FileKind::Log),
                position: wrong.position,
                offset: wrong.header.base_offset,
                recovery_point: trusted,
                error: format!("{wrong}, and so has the next: the metadata is older than the log"),
            });
        }
        if scan.progress.contradicted && scan.progress.sure < scan.progress.expected {
            let reason = scan.stop;
            reach.until = scan.progress.sure;
            scan = self.scan(first, reach)?;
            scan.stop = reason;
        }
        if scan.progress.expected < trusted && !Self::refuse_damage(policy) {
            // Where damage is certain, nothing is taken on trust.
            reach.checked_from = Offset::ZERO;
            reach.enter_below = None;
            let reason = scan.stop;
            scan = self.scan(first, reach)?;
            scan.stop = scan.stop.or(reason);
        }
        for (wrong, epoch) in &scan.mends {
            self.mend_epoch(wrong, *epoch)?;
        }
        report.epochs_mended = scan.mends.len();
        Ok((scan, reach.enter_below))
    }

    /// Walks the segments from number `first` on.
    fn scan(&self, first: usize, reach: Reach) -> Result<Scan, LogError> {
        let base = self.segments[first].base;
        let mut scan = Scan {
            segments: Vec::new(),
            entered: base,
            progress: Progress::at(base, base),
            stop: None,
            wrong_epoch: None,
            mends: Vec::new(),
            newest_is_wrong: false,
        };
        for meta in &self.segments[first..] {
            if meta.base >= reach.until && !scan.segments.is_empty() {
                break;
            }
            let may_part = self.may_part(scan.progress.segment, meta.base);
            scan.stop = scan.progress.enter(meta.base, may_part);
            if scan.stop.is_some() {
                break;
            }
            let path = self.path(meta.base, FileKind::Log);
            self.scan_segment(meta, reach, &mut scan)
                .map_err(LogError::new("recover", path))?;
            if scan.stop.is_some() {
                break;
            }
        }
        Ok(scan)
    }

    fn scan_segment(&self, meta: &SegmentMeta, reach: Reach, scan: &mut Scan) -> io::Result<()> {
        let file = self
            .env
            .fs
            .open(&self.path(meta.base, FileKind::Log), OpenMode::Read)?;
        let entered = match reach.enter_below.filter(|below| *below > meta.base) {
            Some(below) if scan.segments.is_empty() => self.entry_below(meta, &*file, below)?,
            _ => None,
        };
        let (mut index, mut size) = match entered {
            Some(Entry {
                index,
                position,
                offset,
            }) => {
                scan.progress = Progress::at(meta.base, offset);
                scan.entered = offset;
                (index, position)
            }
            None => (IndexBuilder::new(meta.base, self.config.index_interval_bytes), 0),
        };
        let mut scanner = Scanner::new(&*file, size, meta.size, ScanDepth::Headers);
        let mut checked = false;
        loop {
            if scan.progress.expected >= reach.checked_from {
                scanner.set_depth(ScanDepth::Checked);
                checked = true;
            }
            let batch = match scanner.next()? {
                None => break,
                Some(Err(bad)) => {
                    scan.stop = Some(bad.error.to_string());
                    break;
                }
                Some(Ok(batch)) => batch,
            };
            let (position, mut header) = (batch.position, batch.header);
            if !checked && header.next_offset() >= reach.checked_from {
                // What lies behind it depends on where it ends: so much of it is not taken on trust.
                scanner.go_to(position);
                scanner.set_depth(ScanDepth::Checked);
                checked = true;
                continue;
            }
            if header.base_offset >= reach.until {
                scan.stop = Some("in doubt".to_owned());
                break;
            }
            self.check_epoch((meta.base, position), &mut header, &mut scanner, reach, scan)?;
            if scan.stop.is_none() {
                scan.stop = scan.progress.judge(&header, self.may_have_holes());
            }
            if scan.stop.is_some() {
                break;
            }
            index.add(&header, position);
            size = position + header.size_bytes() as u64;
        }
        scan.segments.push(ScannedSegment { index, size });
        Ok(())
    }

    /// Gives the batch that was scanned last its true epoch, where its own cannot be, or ends the scan.
    fn check_epoch(
        &self,
        place: (Offset, u64),
        header: &mut BatchHeader,
        scanner: &mut Scanner<'_>,
        reach: Reach,
        scan: &mut Scan,
    ) -> io::Result<()> {
        let previous = scan.progress.epoch;
        let Some(wrong) = self.wrong_epoch(header, place, previous, reach.newest_epoch, scanner)? else {
            return Ok(());
        };
        if self.has_followers(&wrong, scanner)? {
            scan.newest_is_wrong = true;
        } else if reach.mends
            && scan.mends.len() < MENDED_MAX
            && let Some(epoch) = self.true_epoch(&wrong)?
        {
            header.partition_leader_epoch = epoch;
            scan.mends.push((wrong, epoch));
            return Ok(());
        }
        scan.stop = Some(wrong.to_string());
        scan.wrong_epoch = Some(wrong);
        Ok(())
    }

    /// Flushed records are gone: the log cannot be opened, or (its leader has them) says so durably.
    fn flushed_is_lost(
        &mut self,
        tail: &Tail,
        reason: &str,
        trusted: Offset,
        policy: CorruptionPolicy,
    ) -> Result<(), OpenError> {
        let path = self.path(self.segments[tail.at].base, FileKind::Log);
        let (position, offset) = (tail.position, tail.expected);
        if Self::refuse_damage(policy) {
            return Err(OpenError::Corrupt {
                path,
                position,
                offset,
                recovery_point: trusted,
                error: reason.to_owned(),
            });
        }
        tracing::error!(partition = %self.partition, path = %path.display(), position, recovery_point = trusted.0, log_end = offset.0, reason,
            "the log is damaged below its recovery point, and ends there now");
        Ok(self.write_recovery_floor(offset)?)
    }

    /// What makes more of the tail than a write that was never completed.
    fn doubt(&self, tail: &Tail, scan: &Scan, opts: &OpenOptions) -> Result<Option<String>, LogError> {
        let behind = match (&scan.wrong_epoch, &scan.stop) {
            (Some(wrong), _) => Some(wrong.to_string()),
            (None, Some(_)) => self.doubt_about(tail)?,
            (None, None) => None,
        };
        let end = match opts.start_is_unfounded(tail.expected) {
            true => tail.expected,
            false => tail.expected.max(self.log_start),
        };
        let missing = below(end, opts.high_watermark);
        if let Some(missing) = &missing {
            tracing::error!(partition = %self.partition, log_end = tail.expected.0, "records are missing at the end of the log: {missing}");
        }
        Ok(behind.or(missing))
    }

    /// Cuts it off, and everything behind it, durably.
    fn cut_tail(
        &mut self,
        tail: &Tail,
        what: &str,
        reason: String,
        doubt: Option<String>,
    ) -> Result<TailCut, LogError> {
        let Tail {
            at,
            position,
            expected: offset,
            ..
        } = *tail;
        let path = self.path(self.segments[at].base, FileKind::Log);
        let behind: u64 = self.segments[at + 1..].iter().map(|segment| segment.size).sum();
        let bytes = self.segments[at].size - position + behind;
        tracing::warn!(partition = %self.partition, path = %path.display(), position, bytes, log_end = offset.0, reason, doubt,
            "cut off {what}");
        for doomed in (at + 1..self.segments.len()).rev() {
            self.remove_segment_files(self.segments[doomed].base)?;
        }
        self.segments.truncate(at + 1);
        let cut = || {
            let file = self.env.fs.open(&path, OpenMode::Write)?;
            file.set_len(position)?;
            file.sync_data()?;
            self.env.fs.sync_dir(&self.dir())
        };
        cut().map_err(LogError::new("truncate", &path))?;
        self.segments[at].size = position;
        Ok(TailCut {
            path,
            position,
            bytes,
            offset,
            reason,
            doubt,
        })
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
        if at + 1 < self.segments.len() {
            self.in_flight.unsynced_seals.push(base);
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
        recovered: Option<ScanStart>,
    ) -> Result<(Offset, usize), LogError> {
        let (found, discarded) = self.load_snapshot(newest)?;
        if let Some(snapshot) = found {
            self.complete_windows(snapshot)?;
        }
        // Below the log start too: a marker there may end what the snapshot has open.
        let from = found.unwrap_or(self.log_start);
        let mut aborts: BTreeMap<usize, Vec<AbortedTxn>> = BTreeMap::new();
        if from < self.log_end {
            let mut producers = std::mem::take(&mut self.producers);
            let mut snapshots = Vec::new();
            let mut passed = self.segment_of(from).unwrap_or(0);
            self.walk_headers(from, usize::MAX, |at, header, batch| {
                if at > passed && recovered.is_some() {
                    // So that the next recovery need not replay the segment before. Source: `LogSegment.recover`.
                    let base = self.segments[at].base;
                    match self.write_snapshot_file(base, &producers) {
                        Ok(()) => snapshots.push(base),
                        Err(error) => tracing::warn!(partition = %self.partition, %error, "cannot write a producer snapshot"),
                    }
                }
                passed = at;
                if header.producer_id.is_some()
                    && let Some(completed) = super::producers::apply_to(&mut producers, header, batch)
                    && completed.aborted
                    && recovered.is_some()
                {
                    let stable = producers.last_stable_offset_after(&completed);
                    let aborted = AbortedTxn::of(&completed, stable);
                    aborts.entry(at).or_default().push(aborted);
                }
                Ok(())
            })?;
            self.producers = producers;
            for offset in snapshots {
                self.add_snapshot(offset);
            }
        }
        if let Some(start) = recovered {
            for at in start.at..self.segments.len() {
                // What the replay has passed it knows better.
                let known = start.snapshot.filter(|_| at == start.at);
                let replayed = aborts.remove(&at).unwrap_or_default();
                self.settle_txn_index(at, known.map(|known| known.min(from)), replayed)?;
            }
        }
        self.producers.on_high_watermark(self.high_watermark);
        Ok((from, discarded))
    }

    /// Visits the header of every batch from the one that holds `from` on, up to segment number `last`, with its segment's number; control
    /// batches come with their bytes.
    pub(super) fn walk_headers(
        &self,
        from: Offset,
        last: usize,
        mut visit: impl FnMut(usize, &BatchHeader, &[u8]) -> Result<(), LogError>,
    ) -> Result<(), LogError> {
        for at in self.segment_of(from).unwrap_or(0)..self.segments.len().min(last.saturating_add(1)) {
            let meta = &self.segments[at];
            let path = self.path(meta.base, FileKind::Log);
            let segment = self.open_segment(at)?;
            let begin = begin_of(meta, &segment, from).map_err(LogError::new("read", &path))?;
            let mut scanner = Scanner::new(&**segment.file(), begin, meta.size, ScanDepth::Headers);
            while let Some(Ok(batch)) = scanner.next().map_err(LogError::new("read", &path))? {
                if batch.header.last_offset() >= from {
                    visit(at, &batch.header, batch.bytes)?;
                }
            }
        }
        Ok(())
    }
}

/// What is cut, for the operator. `flushed`: some of it lay below the recovery point.
fn words_of_cut(policy: CorruptionPolicy, flushed: bool, doubtful: bool) -> &'static str {
    match policy {
        _ if flushed => "the damaged end of the log, and records in it that were flushed",
        _ if doubtful => "a tail that may have been completely written",
        // Nobody has looked.
        CorruptionPolicy::Truncate => "a tail that is damaged, or was never completely written",
        CorruptionPolicy::Refuse | CorruptionPolicy::RefuseDoubtful => {
            "a tail that was never completely written"
        }
    }
}

/// A position at or before the batch of a segment that holds `from`: what the index says, if the batch there is the one that
/// it means.
pub(super) fn begin_of(meta: &SegmentMeta, segment: &OpenSegment<'_>, from: Offset) -> io::Result<u64> {
    let delta = u32::try_from(from.since(meta.base).max(0)).unwrap_or(u32::MAX);
    let wrong = segment.index_is_wrong();
    let entry = segment.offsets().entry_before(delta);
    let Some(entry) = entry.filter(|_| !wrong.load(Ordering::Relaxed)) else {
        return Ok(0);
    };
    let position = u64::from(entry.position);
    let mut scanner = Scanner::new(&**segment.file(), position, meta.size, ScanDepth::Headers);
    let last = meta.base.plus(i64::from(entry.delta));
    match scanner.next()? {
        Some(Ok(batch)) if batch.header.last_offset() == last => Ok(position),
        _ => {
            wrong.store(true, Ordering::Relaxed);
            Ok(0)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_looked_at_is_said_to_be_incomplete() {
        use CorruptionPolicy::{Refuse, RefuseDoubtful, Truncate};
        let incomplete = "a tail that was never completely written";
        for policy in [Refuse, RefuseDoubtful, Truncate] {
            let words = words_of_cut(policy, true, false);
            assert!(words.contains("were flushed"), "{policy:?}: {words}");
            assert_eq!(
                words_of_cut(policy, false, false) == incomplete,
                policy != Truncate
            );
            assert_ne!(words_of_cut(policy, false, true), incomplete, "{policy:?}");
        }
    }
}

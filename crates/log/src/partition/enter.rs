//! Where a recovery begins to scan the segment that holds the recovery point.
//!
//! At the newest producer snapshot inside the segment, if there is a good one at or below the recovery point: producers and
//! transaction index are brought up to date from there, so that nothing which was not scanned goes into them. The scan
//! enters by the segment's index, if index and log agree on the place and the transaction index below the snapshot is the
//! one that was written. Else it begins at the segment's beginning.

use super::files::SegmentMeta;
use super::recover::Progress;
use super::{OpenReport, PartitionLog};
use crate::env::{LogFile, OpenMode, read_small_file};
use crate::error::LogError;
use crate::format::{FileKind, OFFSET_INDEX_ENTRY_BYTES, TIME_INDEX_ENTRY_BYTES};
use crate::index::{IndexBuilder, OffsetIndex, TimeIndex};
use crate::segment::{ScanDepth, Scanner, last_entries_fit};
use milena_record::{BatchHeader, HEADER_BYTES};
use milena_types::{Offset, Timestamp};
use std::io;

/// Index files up to this size are looked into, whatever `segment.index.bytes` says now.
const INDEX_FILE_BYTES_MIN: u32 = 64 << 20;

/// Where a recovery began to scan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ScanStart {
    /// Number of the segment.
    pub(super) at: usize,
    /// What lies below it in that segment was not looked at.
    pub(super) entered: Offset,
    /// The snapshot inside the segment from which the log may be replayed; its transaction index is right below.
    pub(super) snapshot: Option<Offset>,
}

/// A place in a segment, between two batches.
pub(super) struct Entry {
    /// The index of what lies before it.
    pub(super) index: IndexBuilder,
    pub(super) position: u64,
    pub(super) offset: Offset,
}

impl PartitionLog {
    /// The newest good snapshot inside segment number `at`, at or below `trusted`, if its transaction index is right below.
    pub(super) fn replay_point(
        &mut self,
        at: usize,
        trusted: Offset,
        now: Timestamp,
        report: &mut OpenReport,
    ) -> Result<Option<Offset>, LogError> {
        let base = self.segments[at].base;
        if !self.snapshots.iter().any(|at| *at > base && *at <= trusted) {
            return Ok(None);
        }
        let (found, discarded) = self.load_snapshot(trusted)?;
        report.snapshots_discarded += discarded;
        let Some(snapshot) = found.filter(|snapshot| *snapshot > base) else {
            return Ok(None);
        };
        let read = LogError::new("read", self.path(base, FileKind::Log));
        let fits = self
            .snapshot_fits(&self.segments[at], snapshot, now)
            .map_err(read)?;
        if !fits {
            tracing::warn!(partition = %self.partition, offset = snapshot.0, "a producer snapshot does not fit the batches right before it; its state is replayed from the log");
            return Ok(None);
        }
        Ok(self.txn_index_is_known(at, snapshot)?.then_some(snapshot))
    }

    /// Of an expired producer a snapshot need not know anything.
    pub(super) fn remembers(&self, header: &BatchHeader, now: Timestamp) -> bool {
        now.0.saturating_sub(header.max_timestamp.0) < self.config.producer_expiration_ms
    }

    /// True when a batch ends at `snapshot` or none reaches across, and the last data batch of a producer among those right
    /// below, as the index has them, is known to the producers that were loaded from it.
    fn snapshot_fits(&self, meta: &SegmentMeta, snapshot: Offset, now: Timestamp) -> io::Result<bool> {
        let path = self.path(meta.base, FileKind::Log);
        let file = self.env.fs.open(&path, OpenMode::Read)?;
        let entry = self.entry_below(meta, &*file, snapshot)?;
        let (position, offset) = entry.map_or((0, meta.base), |entry| (entry.position, entry.offset));
        let mut scanner = Scanner::new(&*file, position, meta.size, ScanDepth::Headers);
        let mut progress = Progress::at(meta.base, offset);
        let mut produced = None;
        while let Some(batch) = scanner.next()? {
            let Ok(batch) = batch else { return Ok(false) };
            let header = batch.header;
            if progress.judge(&header, self.may_have_holes()).is_some() {
                return Ok(false);
            }
            if header.base_offset >= snapshot {
                break;
            }
            if header.next_offset() > snapshot {
                return Ok(false);
            }
            if header.producer_id.is_some() && !header.is_control() {
                produced = Some(header);
            }
        }
        Ok(produced.is_none_or(|header| !self.remembers(&header, now) || self.producers.knows(&header)))
    }

    /// The index entries of a segment that lie below `end`, and the place of the batch of the last one. `None` unless the
    /// index is in order and the log has that batch in that place.
    pub(super) fn entry_below(
        &self,
        meta: &SegmentMeta,
        file: &dyn LogFile,
        end: Offset,
    ) -> io::Result<Option<Entry>> {
        let limit = self.config.segment_index_bytes.max(INDEX_FILE_BYTES_MIN) as usize;
        let read = |kind| {
            let bytes = read_small_file(&*self.env.fs, &self.path(meta.base, kind), limit);
            // A missing or giant index is no index.
            bytes.map(Option::unwrap_or_default).or_else(|e| match e.kind() {
                io::ErrorKind::InvalidData => Ok(Vec::new()),
                _ => Err(e),
            })
        };
        let (mut offsets, mut times) = (read(FileKind::Index)?, read(FileKind::TimeIndex)?);
        let below = u32::try_from(end.since(meta.base)).unwrap_or(u32::MAX);
        offsets.truncate(OffsetIndex(&offsets).below(below) * OFFSET_INDEX_ENTRY_BYTES);
        let Some(last) = OffsetIndex(&offsets).last() else {
            return Ok(None);
        };
        times.truncate(TimeIndex(&times).up_to(last.delta) * TIME_INDEX_ENTRY_BYTES);
        if !OffsetIndex(&offsets).is_sane(meta.size)
            || !TimeIndex(&times).is_sane()
            || !last_entries_fit(
                file,
                meta.base,
                meta.size,
                OffsetIndex(&offsets),
                TimeIndex(&times),
            )?
        {
            return Ok(None);
        }
        let position = u64::from(last.position);
        let mut head = Vec::with_capacity(HEADER_BYTES);
        file.read_at(&mut head, HEADER_BYTES, position)?;
        let fits = |header: &BatchHeader| position + header.size_bytes() as u64 <= meta.size;
        let Some(header) = BatchHeader::parse(&head).ok().filter(fits) else {
            return Ok(None);
        };
        let index = IndexBuilder::resume(meta.base, self.config.index_interval_bytes, offsets, times);
        Ok(Some(Entry {
            index,
            position,
            offset: header.base_offset,
        }))
    }
}

//! From timestamps to offsets, for ListOffsets. Source: `LogSegment.findOffsetByTimestamp`,
//! `UnifiedLog.fetchOffsetByTimestamp`.

use super::PartitionLog;
use super::files::{OpenSegment, SmallTimestamp};
use crate::error::{LogError, ReadError};
use crate::format::FileKind;
use crate::index::{OffsetEntry, TimeEntry};
use crate::segment::{ScanDepth, Scanner};
use bytes::Bytes;
use milena_record::{BatchHeader, Record, check_crc, records};
use milena_types::{LeaderEpoch, Offset, Timestamp};
use std::path::Path;
use std::sync::atomic::Ordering;

/// A record found by its timestamp.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimestampOffset {
    /// Its offset.
    pub offset: Offset,
    /// Its timestamp.
    pub timestamp: Timestamp,
    /// The leader epoch of its batch.
    pub leader_epoch: LeaderEpoch,
}

impl PartitionLog {
    /// The first record below `upper` whose timestamp is `timestamp` or later.
    ///
    /// Reads and, if need be, decompresses one batch. Timestamps need not be in order: records are found as Kafka finds them.
    ///
    /// # Errors
    /// `Corrupt` or `Log`.
    pub fn offset_for_timestamp(
        &self,
        timestamp: Timestamp,
        upper: Offset,
    ) -> Result<Option<TimestampOffset>, ReadError> {
        for at in self.segment_of(self.log_start).unwrap_or(0)..self.segments.len() {
            if self.largest_timestamp(at)? < timestamp {
                continue;
            }
            if let Some(found) = self.find_in_segment(at, timestamp)? {
                return Ok(Some(found).filter(|found| found.offset < upper));
            }
        }
        Ok(None)
    }

    /// The first record that has the largest timestamp of the log; `None` for an empty log, or when it is not below `upper`.
    ///
    /// # Errors
    /// `Corrupt` or `Log`.
    pub fn offset_of_max_timestamp(&self, upper: Offset) -> Result<Option<TimestampOffset>, ReadError> {
        let mut best: Option<(Timestamp, usize)> = None;
        for at in 0..self.segments.len() {
            let largest = self.largest_visible_timestamp(at)?;
            if largest > best.map_or(Timestamp::NONE, |(timestamp, _)| timestamp) {
                best = Some((largest, at));
            }
        }
        let Some((timestamp, at)) = best else {
            return Ok(None);
        };
        Ok(self
            .find_in_segment(at, timestamp)?
            .filter(|found| found.offset < upper))
    }

    /// Like [`Self::largest_timestamp`], and remembered while nothing is appended: a log that is asked again and again, as
    /// retention asks, is opened once.
    pub(super) fn remember_largest_timestamp(&mut self, at: usize) -> Result<Timestamp, LogError> {
        let largest = self.largest_timestamp(at)?;
        if self.active.is_none() || at + 1 < self.segments.len() {
            self.segments[at].max_timestamp = SmallTimestamp::new(largest);
        }
        Ok(largest)
    }

    /// The largest timestamp in segment number `at`; [`Timestamp::NONE`] when no record has one.
    pub(super) fn largest_timestamp(&self, at: usize) -> Result<Timestamp, LogError> {
        let meta = &self.segments[at];
        if let Some(known) = meta.max_timestamp {
            return Ok(known.get());
        }
        let segment = self.open_segment(at)?;
        if let OpenSegment::Active(active) = &segment {
            return Ok(active.largest_timestamp());
        }
        // The last entry of a time index is the largest timestamp, unless the process died before it was written: look at
        // what follows the last offset entry too.
        let from = segment
            .offsets()
            .last()
            .map_or(0, |entry| u64::from(entry.position));
        let largest = segment
            .times()
            .last()
            .map_or(Timestamp::NONE, |entry| entry.timestamp);
        self.largest_from(&segment, at, (from, meta.base), largest)
    }

    /// Like [`Self::largest_timestamp`], without the records below the log start.
    fn largest_visible_timestamp(&self, at: usize) -> Result<Timestamp, ReadError> {
        let meta = &self.segments[at];
        if meta.base >= self.log_start {
            return Ok(self.largest_timestamp(at)?);
        }
        let segment = self.open_segment(at)?;
        let first = u32::try_from(self.log_start.since(meta.base)).unwrap_or(u32::MAX);
        let start = u64::from(segment.offsets().position_before(first));
        let parted = self.largest_of_parted(&segment, at, start)?;
        Ok(self.largest_from(&segment, at, (start, self.log_start), parted)?)
    }

    /// The largest timestamp in the batch that the log start parts, where it does; from a position that is not behind it.
    fn largest_of_parted(
        &self,
        segment: &OpenSegment<'_>,
        at: usize,
        start: u64,
    ) -> Result<Timestamp, ReadError> {
        let meta = &self.segments[at];
        let path = self.path(meta.base, FileKind::Log);
        let mut scanner = Scanner::new(&**segment.file(), start, meta.size, ScanDepth::Headers);
        while let Some(Ok(batch)) = scanner.next().map_err(LogError::new("read", &path))? {
            let header = batch.header;
            if header.base_offset >= self.log_start {
                break;
            }
            if header.last_offset() >= self.log_start && header.records_count > 0 {
                let records = self.visible_records(segment, &path, batch.position, &header)?;
                let timestamps = records.map(|record| record.timestamp);
                return Ok(timestamps.max().unwrap_or(Timestamp::NONE));
            }
        }
        Ok(Timestamp::NONE)
    }

    /// The largest timestamp of the batches from a position and an offset on, or `largest` when they have none that is larger.
    fn largest_from(
        &self,
        segment: &OpenSegment<'_>,
        at: usize,
        (start, first): (u64, Offset),
        mut largest: Timestamp,
    ) -> Result<Timestamp, LogError> {
        let meta = &self.segments[at];
        let mut scanner = Scanner::new(&**segment.file(), start, meta.size, ScanDepth::Headers);
        let failed = LogError::new("read", self.path(meta.base, FileKind::Log));
        let mut scan = || {
            while let Some(Ok(batch)) = scanner.next()? {
                if batch.header.base_offset >= first && batch.header.records_count > 0 {
                    largest = largest.max(batch.header.max_timestamp);
                }
            }
            Ok(())
        };
        scan().map_err(failed)?;
        Ok(largest)
    }

    fn find_in_segment(&self, at: usize, timestamp: Timestamp) -> Result<Option<TimestampOffset>, ReadError> {
        let segment = self.open_segment(at)?;
        let hint = if segment.index_is_wrong().load(Ordering::Relaxed) {
            Hint::default()
        } else {
            self.hint(at, &segment, timestamp)
        };
        if let Some(found) = self.search_segment(at, &segment, timestamp, hint)? {
            return Ok(found);
        }
        if !segment.index_is_wrong().swap(true, Ordering::Relaxed) {
            tracing::warn!(path = %self.path(self.segments[at].base, FileKind::Log).display(), timestamp = timestamp.0, "an entry of an index does not fit the log; searching without the indexes, which are built again");
        }
        Ok(self
            .search_segment(at, &segment, timestamp, Hint::default())?
            .flatten())
    }

    /// Where the indexes say that a search for `timestamp` may begin.
    fn hint(&self, at: usize, segment: &OpenSegment<'_>, timestamp: Timestamp) -> Hint {
        let meta = &self.segments[at];
        let first = u32::try_from(self.log_start.since(meta.base).max(0)).unwrap_or(u32::MAX);
        let too_early = segment
            .times()
            .last_before(timestamp)
            .filter(|entry| entry.delta >= first);
        let from = too_early.map_or(first, |entry| entry.delta);
        Hint {
            too_early,
            start: segment.offsets().entry_before(from),
        }
    }

    /// Walks a segment from where a hint says; `None` when the batches that the hint names are not as it says.
    fn search_segment(
        &self,
        at: usize,
        segment: &OpenSegment<'_>,
        timestamp: Timestamp,
        mut hint: Hint,
    ) -> Result<Option<Option<TimestampOffset>>, ReadError> {
        let meta = &self.segments[at];
        let path = self.path(meta.base, FileKind::Log);
        let start = hint.start.map_or(0, |entry| u64::from(entry.position));
        let mut scanner = Scanner::new(&**segment.file(), start, meta.size, ScanDepth::Headers);
        loop {
            let next = scanner.next().map_err(LogError::new("read", &path))?;
            let (position, header) = match next {
                Some(Ok(batch)) => (batch.position, batch.header),
                _ if hint.start.is_some() || hint.too_early.is_some() => return Ok(None),
                None => return Ok(Some(None)),
                Some(Err(stop)) => {
                    return Err(ReadError::Corrupt {
                        path,
                        position: stop.position,
                        offset: meta.base,
                        error: stop.error.to_string(),
                        other_epoch: false,
                    });
                }
            };
            if !hint.agrees(&header, meta.base) {
                return Ok(None);
            }
            if header.max_timestamp < timestamp || header.last_offset() < self.log_start {
                continue;
            }
            if let Some(found) = self.find_in_batch(segment, &path, position, &header, timestamp)? {
                return Ok(Some(Some(found)));
            }
        }
    }

    fn find_in_batch(
        &self,
        segment: &OpenSegment<'_>,
        path: &Path,
        position: u64,
        header: &BatchHeader,
        timestamp: Timestamp,
    ) -> Result<Option<TimestampOffset>, ReadError> {
        let mut records = self.visible_records(segment, path, position, header)?;
        let found = records.find(|record| record.timestamp >= timestamp);
        Ok(found.map(|record| TimestampOffset {
            offset: record.offset,
            timestamp: record.timestamp,
            leader_epoch: header.partition_leader_epoch,
        }))
    }

    /// The records of a batch that are not below the log start.
    fn visible_records(
        &self,
        segment: &OpenSegment<'_>,
        path: &Path,
        position: u64,
        header: &BatchHeader,
    ) -> Result<impl Iterator<Item = Record>, ReadError> {
        let mut bytes = Vec::new();
        let read = segment.file().read_at(&mut bytes, header.size_bytes(), position);
        read.map_err(LogError::new("read", path))?;
        if let Err(error) = check_crc(&bytes) {
            return Err(ReadError::Corrupt {
                path: path.to_owned(),
                position,
                offset: self.segments[self.segment_of(header.base_offset).unwrap_or(0)].base,
                error: error.to_string(),
                other_epoch: false,
            });
        }
        let records = records(&Bytes::from(bytes), self.config.decompressed_bytes_max);
        let records = records.map_err(|error| ReadError::Unreadable {
            path: path.to_owned(),
            position,
            error,
        })?;
        let log_start = self.log_start;
        Ok(records
            .into_iter()
            .filter(move |record| record.offset >= log_start))
    }
}

/// What the indexes say of the batches where a search begins; believed when the batches say the same.
#[derive(Clone, Copy, Debug, Default)]
struct Hint {
    /// The first batch.
    start: Option<OffsetEntry>,
    /// No record up to the batch with this timestamp is later.
    too_early: Option<TimeEntry>,
}

impl Hint {
    /// Compares the next batch of the walk with what is left to compare.
    fn agrees(&mut self, header: &BatchHeader, base: Offset) -> bool {
        let last = header.last_offset();
        if let Some(entry) = self.start.take()
            && last != base.plus(i64::from(entry.delta))
        {
            return false;
        }
        match self.too_early {
            Some(entry) if last >= base.plus(i64::from(entry.delta)) => {
                self.too_early = None;
                entry.is_of(header, base)
            }
            _ => true,
        }
    }
}

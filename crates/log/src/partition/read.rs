//! Reading whole batches from an offset on.
//!
//! The owner plans (index lookups in memory), anybody runs the plan (file IO): cold reads may leave the owner's thread. A
//! plan holds its file open, so that retention and deletion do not disturb it. Source: `LocalLog.read`, `LogSegment.read`.
//!
//! Nothing is believed that the batches themselves do not say: the batch that an index entry points to must end at the
//! entry's offset, else the read begins at the start of the segment and the index is built again; offsets must follow one
//! another and leader epochs be those of the epoch cache, for both lie outside the checksum; every batch that is handed out
//! has a good checksum; a segment that ends too early is damaged, unless the log has holes.

use super::PartitionLog;
use crate::env::LogFile;
use crate::error::{LogError, ReadError};
use crate::format::FileKind;
use crate::segment::{ScanDepth, Scanner};
use bytes::Bytes;
use milena_record::{BatchError, BatchHeader, batches, check_crc};
use milena_types::{LeaderEpoch, Offset};
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Batches that were read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadResult {
    /// Whole batches, back to back; the first one holds the offset that was asked, or is the first one after it.
    pub records: Bytes,
    /// Where the next read goes on; the offset that was asked when nothing was read.
    pub next_offset: Offset,
    /// First offset that may be read.
    pub log_start_offset: Offset,
    /// The offset after the last record.
    pub log_end_offset: Offset,
}

/// A read that is decided but not done: one segment, one range of bytes.
#[derive(Debug)]
pub struct ReadPlan {
    file: Arc<dyn LogFile>,
    path: PathBuf,
    /// A position at or before the first batch, as the index says.
    start: u64,
    /// What the index says of the batch there: its last offset.
    indexed: Option<Offset>,
    /// Set when the index is not right.
    index_is_wrong: Arc<AtomicBool>,
    /// No batch is wanted that begins at or past it, as the index says.
    end: u64,
    /// Bytes of the segment.
    size: u64,
    /// Offsets may be missing between batches.
    holes: bool,
    /// And behind the last one.
    may_part: bool,
    /// Epochs that records of the segment may have, as the epoch cache knows.
    epochs: RangeInclusive<LeaderEpoch>,
    from: Offset,
    upper: Offset,
    bytes_max: usize,
    min_one: bool,
    base: Offset,
    segment_end: Offset,
    log_start: Offset,
    log_end: Offset,
}

/// Reads that find only batches without records, before one is given.
const PASSED_OVER_MAX: usize = 256;

impl ReadResult {
    /// There are batches, and none of them has a record.
    #[must_use]
    pub fn is_without_records(&self) -> bool {
        let mut headers = batches(&self.records).map_while(|batch| batch.ok().map(|(header, _)| header));
        !self.records.is_empty() && headers.all(|header| header.records_count == 0)
    }
}

/// What a search for the first batch found.
enum Search {
    Found(u64, BatchHeader),
    Nothing,
    WrongIndex,
}

const HOLE: BatchError = BatchError::Invalid("its offset does not follow the one before it");
const OTHER_EPOCH: BatchError = BatchError::Invalid("its leader epoch is none of its segment");
pub(crate) const EARLY_END: BatchError = BatchError::Invalid("the segment ends before the next one begins");

impl ReadPlan {
    /// Reads. Blocks on the disk; may run on any thread.
    ///
    /// Without records and with `next_offset` past the offset that was asked, the rest of the segment is a hole that
    /// compaction left: plan again from there.
    ///
    /// # Errors
    /// `Corrupt` or `Log`.
    pub fn run(&self) -> Result<ReadResult, ReadError> {
        let Some((position, first)) = self.find_first()? else {
            let next = self.segment_end.min(self.upper).max(self.from);
            if !self.may_part && self.from < self.segment_end {
                return Err(self.corrupt(self.size, self.from, &EARLY_END));
            }
            return Ok(self.result(Bytes::new(), next));
        };
        let wanted = if self.min_one {
            self.bytes_max.max(first.size_bytes())
        } else {
            self.bytes_max
        };
        if first.next_offset() > self.upper || first.size_bytes() > wanted {
            return Ok(self.result(Bytes::new(), self.from));
        }
        // Wherever the index says that the wanted batches end, this one is wanted.
        let left = usize::try_from(self.end.saturating_sub(position)).unwrap_or(usize::MAX);
        let left = left.max(first.size_bytes());
        let mut buffer = Vec::new();
        self.file
            .read_at(&mut buffer, wanted.min(left), position)
            .map_err(|e| self.io(e))?;
        let (len, next_offset) = self.whole_batches(&buffer, position)?;
        buffer.truncate(len);
        Ok(self.result(Bytes::from(buffer), next_offset))
    }

    /// The first batch that holds or follows the offset that was asked.
    fn find_first(&self) -> Result<Option<(u64, BatchHeader)>, ReadError> {
        let mut search = self.search(self.start, self.indexed)?;
        if matches!(search, Search::WrongIndex) {
            if !self.index_is_wrong.swap(true, Ordering::Relaxed) {
                tracing::warn!(path = %self.path.display(), position = self.start, "an entry of the offset index does not point to its batch; reading without the index, which is built again");
            }
            search = self.search(0, None)?;
        }
        match search {
            Search::Found(position, header) => Ok(Some((position, header))),
            Search::Nothing | Search::WrongIndex => Ok(None),
        }
    }

    /// Looks from `start` on; the batch there must end at `indexed`.
    fn search(&self, start: u64, mut indexed: Option<Offset>) -> Result<Search, ReadError> {
        let mut scanner = Scanner::new(&*self.file, start, self.size, ScanDepth::Headers);
        let mut expected = indexed.is_none().then_some(self.base);
        loop {
            let batch = match scanner.next().map_err(|e| self.io(e))? {
                Some(Ok(batch)) => batch,
                _ if indexed.is_some() => return Ok(Search::WrongIndex),
                None => return Ok(Search::Nothing),
                Some(Err(stop)) => {
                    return Err(self.corrupt(stop.position, expected.unwrap_or(self.base), &stop.error));
                }
            };
            let (position, header) = (batch.position, batch.header);
            if indexed.take().is_some_and(|last| header.last_offset() != last) {
                return Ok(Search::WrongIndex);
            }
            if !self.follows(&header, expected) {
                return Err(self.corrupt(position, expected.unwrap_or(self.base), &HOLE));
            }
            if header.last_offset() >= self.from {
                return Ok(Search::Found(position, header));
            }
            expected = Some(header.next_offset());
        }
    }

    /// Is this batch where it belongs, behind the offset `expected`?
    fn follows(&self, header: &BatchHeader, expected: Option<Offset>) -> bool {
        let starts = match expected {
            Some(expected) if self.holes => header.base_offset >= expected,
            Some(expected) => header.base_offset == expected,
            None => header.base_offset >= self.base,
        };
        starts && header.next_offset() <= self.segment_end
    }

    /// How many bytes of `buffer` are whole batches below the upper bound, and the offset after them. Damage behind the
    /// first batch only ends them: the next read meets it.
    fn whole_batches(&self, buffer: &[u8], position: u64) -> Result<(usize, Offset), ReadError> {
        let (mut len, mut next) = (0, self.from);
        let mut expected = None;
        for batch in batches(buffer) {
            let error = match batch {
                Ok((header, _)) if !self.follows(&header, expected) => HOLE,
                Ok((header, bytes))
                    if header.next_offset() <= self.upper
                        && let Err(error) = check_crc(bytes) =>
                {
                    error
                }
                Ok((header, _)) if !self.epochs.contains(&header.partition_leader_epoch) => OTHER_EPOCH,
                Ok((header, bytes)) if header.next_offset() <= self.upper => {
                    len += bytes.len();
                    next = header.next_offset();
                    expected = Some(next);
                    continue;
                }
                Ok(_) | Err(BatchError::Truncated { .. }) => break,
                Err(error) => error,
            };
            if len > 0 {
                break;
            }
            return Err(self.corrupt(position, self.from, &error));
        }
        Ok((len, next))
    }

    fn result(&self, records: Bytes, next_offset: Offset) -> ReadResult {
        ReadResult {
            records,
            next_offset,
            log_start_offset: self.log_start,
            log_end_offset: self.log_end,
        }
    }

    fn io(&self, source: std::io::Error) -> ReadError {
        LogError {
            operation: "read",
            path: self.path.clone(),
            source,
        }
        .into()
    }

    /// `offset`: every record below it was good in this read.
    fn corrupt(&self, position: u64, offset: Offset, error: &BatchError) -> ReadError {
        ReadError::Corrupt {
            path: self.path.clone(),
            position,
            offset: offset.min(self.from).max(self.base),
            error: error.to_string(),
            other_epoch: *error == OTHER_EPOCH,
        }
    }
}

impl PartitionLog {
    /// Reads whole batches from the one that holds `from` on, all of them below `upper` (high watermark, last stable offset
    /// or log end), of together at most `bytes_max`; with `min_one` at least one batch whatever its size.
    ///
    /// # Errors
    /// `OutOfRange` below the log start and above the log end; `Corrupt`; `Log`.
    pub fn read(
        &self,
        from: Offset,
        bytes_max: usize,
        upper: Offset,
        min_one: bool,
    ) -> Result<ReadResult, ReadError> {
        let mut at = from;
        loop {
            let Some(plan) = self.plan_read(at, bytes_max, upper, min_one)? else {
                let next_offset = at;
                let (log_start_offset, log_end_offset) = (self.log_start, self.log_end);
                return Ok(ReadResult {
                    records: Bytes::new(),
                    next_offset,
                    log_start_offset,
                    log_end_offset,
                });
            };
            let result = plan.run()?;
            if !result.records.is_empty() || result.next_offset <= at {
                return Ok(result);
            }
            at = result.next_offset;
        }
    }

    /// Like [`Self::read`], for consumers: begins with the first batch that has a record. Compaction leaves batches without; a client
    /// that gets nothing else takes its buffer for too small (librdkafka). They are given where nothing else follows, so that the
    /// client comes past them, or when it is more than a few.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub fn read_records(
        &self,
        from: Offset,
        bytes_max: usize,
        upper: Offset,
        min_one: bool,
    ) -> Result<ReadResult, ReadError> {
        let mut read = self.read(from, bytes_max, upper, min_one)?;
        for _ in 0..PASSED_OVER_MAX {
            if !read.is_without_records() || read.next_offset >= upper {
                break;
            }
            let next = self.read(read.next_offset, bytes_max, upper, min_one)?;
            if next.records.is_empty() {
                break;
            }
            read = next;
        }
        Ok(read)
    }

    /// Decides on a read without doing it; `None` when there is nothing to read below `upper`. Parameters as for
    /// [`Self::read`].
    ///
    /// # Errors
    /// `OutOfRange`, or `Log` when the segment cannot be opened.
    pub fn plan_read(
        &self,
        from: Offset,
        bytes_max: usize,
        upper: Offset,
        min_one: bool,
    ) -> Result<Option<ReadPlan>, ReadError> {
        if from < self.log_start || from > self.log_end {
            let (log_start, log_end) = (self.log_start, self.log_end);
            return Err(ReadError::OutOfRange {
                offset: from,
                log_start,
                log_end,
            });
        }
        let upper = upper.min(self.log_end);
        let Some(at) = self.segment_of(from).filter(|_| from < upper) else {
            return Ok(None);
        };
        let meta = &self.segments[at];
        let segment = self.open_segment(at)?;
        let delta = |offset: Offset| u32::try_from(offset.since(meta.base).max(0)).unwrap_or(u32::MAX);
        let wrong = segment.index_is_wrong();
        let entry = segment.offsets().entry_before(delta(from));
        let entry = entry.filter(|_| !wrong.load(Ordering::Relaxed));
        let end = segment.offsets().position_after(delta(upper));
        let epoch_at = |offset| self.epochs.epoch_for_offset(offset);
        let oldest = epoch_at(meta.base.max(self.log_start)).unwrap_or(LeaderEpoch(i32::MIN));
        let newest = epoch_at(self.segment_end(at).plus(-1)).unwrap_or(LeaderEpoch(i32::MAX));
        Ok(Some(ReadPlan {
            file: segment.file().clone(),
            path: self.path(meta.base, FileKind::Log),
            start: entry.map_or(0, |entry| u64::from(entry.position)),
            indexed: entry.map(|entry| meta.base.plus(i64::from(entry.delta))),
            index_is_wrong: Arc::clone(wrong),
            end: end.map_or(meta.size, u64::from).min(meta.size),
            size: meta.size,
            holes: self.may_have_holes(),
            may_part: self.may_part(meta.base, self.segment_end(at)),
            epochs: oldest..=newest,
            base: meta.base,
            from,
            upper,
            bytes_max,
            min_one,
            segment_end: self.segment_end(at),
            log_start: self.log_start,
            log_end: self.log_end,
        }))
    }
}

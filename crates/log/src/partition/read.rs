//! Reading whole batches from an offset on.
//!
//! The owner plans (index lookups in memory), anybody runs the plan (file IO): cold reads may leave the owner's thread. A
//! plan holds its file open, so that retention and deletion do not disturb it. Source: `LocalLog.read`, `LogSegment.read`.
//!
//! Nothing leaves the log unchecked: every batch that is handed out has a good checksum and follows the one before it (offsets
//! and leader epochs lie outside the checksum), and a segment must reach to the next one, unless the log may have holes.

use super::PartitionLog;
use crate::env::LogFile;
use crate::error::{LogError, ReadError};
use crate::format::FileKind;
use crate::segment::{ScanDepth, Scanner};
use bytes::Bytes;
use milena_record::{BatchError, BatchHeader, batches, crc_is_valid};
use milena_types::{LeaderEpoch, Offset};
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::sync::Arc;

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
    /// A position at or before the first batch.
    start: u64,
    /// No byte at or past it is looked at.
    end: u64,
    /// Bytes of the whole segment; `end` may lie before it.
    size: u64,
    /// Offsets may be missing between batches.
    holes: bool,
    base: Offset,
    /// Epochs that records of the segment may have, as the epoch cache knows.
    epochs: RangeInclusive<LeaderEpoch>,
    from: Offset,
    upper: Offset,
    bytes_max: usize,
    min_one: bool,
    segment_end: Offset,
    log_start: Offset,
    log_end: Offset,
}

impl ReadPlan {
    /// Reads. Blocks on the disk; may run on any thread.
    ///
    /// Without records and with `next_offset` past the offset that was asked, the rest of the segment is a hole that
    /// compaction left: plan again from there.
    ///
    /// # Errors
    /// `Corrupt` or `Log`.
    pub fn run(&self) -> Result<ReadResult, ReadError> {
        match self.read_range(self.start, self.end) {
            Err(ReadError::Corrupt { .. }) if self.start > 0 || self.end < self.size => {
                // The index may be what is wrong.
                let result = self.read_range(0, self.size);
                if result.is_ok() {
                    tracing::warn!(path = %self.path.display(), offset = self.from.0, "the index of a segment is wrong; it was read without it");
                }
                result
            }
            result => result,
        }
    }

    fn read_range(&self, start: u64, end: u64) -> Result<ReadResult, ReadError> {
        let Some((position, first)) = self.find_first(start, end)? else {
            if end < self.size {
                // The batches before the bound that the index gave end too early: the next one says whether that is right.
                return self.read_range(start, self.size);
            }
            let next = self.segment_end.min(self.upper).max(self.from);
            return Ok(self.result(Bytes::new(), next));
        };
        let wanted = if self.min_one {
            self.bytes_max.max(first.size_bytes())
        } else {
            self.bytes_max
        };
        if first.next_offset() > self.segment_end {
            let reason = format!(
                "batch ends at {}, its segment at {}",
                first.next_offset(),
                self.segment_end
            );
            return Err(self.corrupt(position, first.base_offset.max(self.base), reason));
        }
        if first.next_offset() > self.upper || first.size_bytes() > wanted {
            return Ok(self.result(Bytes::new(), self.from));
        }
        let left = usize::try_from(end - position).unwrap_or(usize::MAX);
        let mut buffer = Vec::new();
        self.file
            .read_at(&mut buffer, wanted.min(left), position)
            .map_err(|e| self.io(e))?;
        let (len, next_offset) = self.whole_batches(&buffer, position)?;
        buffer.truncate(len);
        Ok(self.result(Bytes::from(buffer), next_offset))
    }

    /// The first batch that holds or follows the offset that was asked.
    fn find_first(&self, start: u64, end: u64) -> Result<Option<(u64, BatchHeader)>, ReadError> {
        let mut scanner = Scanner::new(&*self.file, start, end, ScanDepth::Headers);
        // Where the next batch begins; unknown in the middle of a segment.
        let mut expected = (start == 0).then_some(self.base);
        let mut position = start;
        loop {
            let known = expected.unwrap_or(self.base);
            let (at, header) = match scanner.next().map_err(|e| self.io(e))? {
                None if end < self.size || self.holes || known >= self.segment_end.min(self.upper) => {
                    return Ok(None);
                }
                None => return Err(self.corrupt(position, known, gap_before(self.segment_end, known))),
                Some(Err(stop)) => return Err(self.corrupt(stop.position, known, stop.error.to_string())),
                Some(Ok(batch)) => (batch.position, batch.header),
            };
            let found = header.last_offset() >= self.from;
            let gap = match expected {
                Some(expected) => header.base_offset != expected,
                None => found && header.base_offset > self.from,
            };
            if gap && !self.holes {
                return Err(self.corrupt(at, known, gap_before(header.base_offset, known)));
            }
            if found {
                return Ok(Some((at, header)));
            }
            expected = Some(header.next_offset());
            position = at + header.size_bytes() as u64;
        }
    }

    /// How many bytes of `buffer` are whole batches below the upper bound, and the offset after them.
    fn whole_batches(&self, buffer: &[u8], position: u64) -> Result<(usize, Offset), ReadError> {
        let (mut len, mut next) = (0, self.from);
        for batch in batches(buffer) {
            let corrupt = |error: String| self.corrupt(position + len as u64, next, error);
            match batch {
                Ok((header, bytes)) if header.next_offset() <= self.upper => {
                    if len > 0 && header.base_offset != next && !self.holes {
                        return Err(corrupt(gap_before(header.base_offset, next)));
                    }
                    if !self.epochs.contains(&header.partition_leader_epoch) {
                        let epoch = header.partition_leader_epoch;
                        return Err(corrupt(format!(
                            "batch has leader epoch {epoch}, not one of {:?}",
                            self.epochs
                        )));
                    }
                    if !crc_is_valid(bytes) {
                        let actual = milena_record::crc32c(bytes.get(21..).unwrap_or_default());
                        let expected = header.crc;
                        return Err(corrupt(BatchError::Crc { expected, actual }.to_string()));
                    }
                    len += bytes.len();
                    next = header.next_offset();
                }
                Ok(_) | Err(BatchError::Truncated { .. }) => break,
                Err(error) => return Err(corrupt(error.to_string())),
            }
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

    fn corrupt(&self, position: u64, offset: Offset, error: String) -> ReadError {
        ReadError::Corrupt {
            path: self.path.clone(),
            position,
            offset,
            error,
        }
    }
}

/// What is wrong where records are missing.
fn gap_before(found: Offset, expected: Offset) -> String {
    format!("offset {found} follows where {expected} is expected")
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
        let start = u64::from(segment.offsets().position_before(delta(from)));
        let end = segment
            .offsets()
            .position_after(delta(upper))
            .map_or(meta.size, u64::from)
            .min(meta.size);
        // The index bounds the batches that end below `upper`; the first batch may be needed whole to say "nothing".
        let end = if end <= start { meta.size } else { end };
        let epoch_at = |offset| self.epochs.epoch_for_offset(offset);
        let oldest = epoch_at(meta.base.max(self.log_start)).unwrap_or(LeaderEpoch(i32::MIN));
        let newest = epoch_at(self.segment_end(at).plus(-1)).unwrap_or(LeaderEpoch(i32::MAX));
        Ok(Some(ReadPlan {
            file: segment.file().clone(),
            path: self.path(meta.base, FileKind::Log),
            start,
            end,
            size: meta.size,
            holes: self.has_holes || self.config.compact,
            base: meta.base,
            epochs: oldest..=newest,
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

//! Is the tail that a recovery would cut more than a write that was never completed?
//!
//! ```text
//!   … good batches │ what cannot be taken │ what lies behind it, in this segment and in later ones
//!                  └ cut                    └ whole batches of this log?
//! ```
//!
//! A process that dies while it writes leaves the beginning of one batch, and nothing behind it. A batch that is as long as it
//! says, whole batches behind, a later segment of which only the index is there, or an end below the high watermark may be that
//! too once the power was cut, but also damage to records that were acknowledged: only another replica can tell. Stale bytes of
//! a longer former segment, which have an older leader epoch, are no reason where a truncation has left word of itself (the
//! recovery floor): epochs are outside the checksum. What stays unseen is damage to the length or the magic of the very last
//! batch; a record that was not completed may hold what looks like a batch that follows.

use super::listing::Listing;
use super::{CorruptionPolicy, OpenOptions, PartitionLog};
use crate::env::{LogFile, OpenMode};
use crate::error::{LogError, OpenError};
use crate::format::{FileKind, OFFSET_SPAN_MAX};
use crate::segment::{ScanDepth, Scanner};
use milena_record::{BatchHeader, HEADER_BYTES};
use milena_types::{LeaderEpoch, Offset};
use std::io;

const CHUNK_BYTES: usize = 256 << 10;
/// So many places that look like a batch are compared with their checksum; more of them are a doubt of their own. A record may
/// hold what looks like batches.
const SUSPECTS_MAX: usize = 64;
/// No batch that is longer is looked for, unless `max.message.bytes` allows it.
const BATCH_BYTES_MAX: usize = 16 << 20;

/// Where a recovery would cut, and what would be the last before it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tail {
    /// The number of its segment.
    pub(super) at: usize,
    pub(super) position: u64,
    /// The offset that should follow.
    pub(super) expected: Offset,
    /// What has an older leader epoch is stale. `None`: nothing can be.
    pub(super) stale_below: Option<LeaderEpoch>,
}

impl Tail {
    /// Not stale.
    fn is_recent(&self, header: &BatchHeader) -> bool {
        self.stale_below
            .is_none_or(|epoch| header.partition_leader_epoch >= epoch)
    }

    fn may_follow(&self, header: &BatchHeader, bytes_max: usize) -> bool {
        let distance = header.base_offset.since(self.expected);
        (0..=OFFSET_SPAN_MAX).contains(&distance)
            && header.records_count <= header.last_offset_delta.saturating_add(1)
            && header.size_bytes() <= bytes_max
            && self.is_recent(header)
    }
}

/// Why a log that ends at `end` may lack records.
pub(super) fn below(end: Offset, high_watermark: Offset) -> Option<String> {
    (end < high_watermark).then(|| format!("the high watermark was {high_watermark}"))
}

impl PartitionLog {
    /// Why the log is not to be opened when segments may be lost, and another replica may have them. A truncation
    /// leaves the same for a while, and word of itself.
    pub(super) fn doubtful_gap(&self, opts: &OpenOptions, listing: &Listing) -> Option<OpenError> {
        if opts.corruption != CorruptionPolicy::RefuseDoubtful || self.has_floor {
            return None;
        }
        let start = opts.log_start_offset.max(Offset::ZERO);
        if self.segments.is_empty() {
            let doubt = below(start, opts.high_watermark)?;
            return Some(OpenError::doubtful(
                opts.dir.clone(),
                start,
                "no segment is there",
                doubt,
            ));
        }
        let base = listing.without_log().filter(|base| *base >= start).min()?;
        let path = self.path(base, FileKind::Log);
        Some(OpenError::doubtful(
            path,
            base,
            "the segment is missing",
            "its index is there".to_owned(),
        ))
    }

    /// For whole batches that may follow a cut.
    pub(super) fn batch_search(&self, tail: &Tail) -> Search {
        Search {
            tail: *tail,
            bytes_max: self.config.max_message_bytes.max(BATCH_BYTES_MAX),
            suspects: 0,
        }
    }

    /// Why the tail may have been completely written, if it may.
    pub(super) fn doubt_about(&self, tail: &Tail) -> Result<Option<String>, LogError> {
        let later = self.segments.get(tail.at + 1..).unwrap_or_default();
        if !self.has_floor
            && let Some(next) = later.iter().find(|segment| segment.size > 0)
        {
            return Ok(Some(format!("segment {} follows", next.base)));
        }
        let mut search = self.batch_search(tail);
        for (number, meta) in self.segments[tail.at..].iter().enumerate() {
            let path = self.path(meta.base, FileKind::Log);
            let mut look = || {
                let file = self.env.fs.open(&path, OpenMode::Read)?;
                if number == 0 && is_complete(&*file, tail, meta.size)? {
                    return Ok(Some("it is as long as it says".to_owned()));
                }
                let from = if number == 0 { tail.position } else { 0 };
                let whole = search.batch_from(&*file, from, meta.size)?;
                Ok(whole.map(|at| {
                    format!(
                        "{}, byte {at}, looks like a batch that follows it",
                        path.display()
                    )
                }))
            };
            let doubt = look().map_err(LogError::new("read", &path))?;
            if doubt.is_some() {
                return Ok(doubt);
            }
        }
        Ok(None)
    }
}

/// True when the batch at the cut ends within the file.
fn is_complete(file: &dyn LogFile, tail: &Tail, end: u64) -> io::Result<bool> {
    let mut head = Vec::with_capacity(HEADER_BYTES);
    file.read_at(&mut head, HEADER_BYTES, tail.position)?;
    Ok(BatchHeader::parse(&head).is_ok_and(|header| {
        let size = header.size_bytes() as u64;
        tail.is_recent(&header) && tail.position.saturating_add(size) <= end
    }))
}

/// Looks for whole batches that may follow a cut, wherever they begin.
pub(super) struct Search {
    pub(super) tail: Tail,
    /// No batch is longer.
    bytes_max: usize,
    suspects: usize,
}

impl Search {
    /// It gives places that it has not looked at closely.
    pub(super) fn is_exhausted(&self) -> bool {
        self.suspects > SUSPECTS_MAX
    }

    /// The first one in `[from, end)`.
    pub(super) fn batch_from(&mut self, file: &dyn LogFile, from: u64, end: u64) -> io::Result<Option<u64>> {
        let mut buffer = Vec::with_capacity(CHUNK_BYTES);
        let mut start = from;
        while end.saturating_sub(start) >= HEADER_BYTES as u64 {
            let wanted = usize::try_from(end - start).unwrap_or(usize::MAX);
            buffer.clear();
            file.read_at(&mut buffer, wanted.min(CHUNK_BYTES), start)?;
            for (position, head) in (start..).zip(buffer.windows(HEADER_BYTES)) {
                if let Ok(header) = BatchHeader::parse(head)
                    && self.tail.may_follow(&header, self.bytes_max)
                    && position.saturating_add(header.size_bytes() as u64) <= end
                    && self.is_whole(file, position, end)?
                {
                    return Ok(Some(position));
                }
            }
            if buffer.len() < HEADER_BYTES {
                break;
            }
            start += (buffer.len() - HEADER_BYTES + 1) as u64;
        }
        Ok(None)
    }

    fn is_whole(&mut self, file: &dyn LogFile, position: u64, end: u64) -> io::Result<bool> {
        self.suspects += 1;
        let mut scanner = Scanner::new(file, position, end, ScanDepth::Checked);
        Ok(self.is_exhausted() || matches!(scanner.next()?, Some(Ok(_))))
    }
}

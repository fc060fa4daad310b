//! Is the tail that a recovery would cut more than a write that was never completed?
//!
//! ```text
//!   … good batches │ what cannot be taken │ what lies behind it, in this segment and in later ones
//!                  └ cut                    └ whole batches of this log?
//! ```
//!
//! A process that dies while it writes leaves the beginning of one batch, and nothing behind it. A batch that is as long as it
//! says, whole batches behind, or an end below the high watermark may be that too once the power was cut, but also damage to
//! records that were acknowledged: only another replica can tell. Stale bytes of a longer former segment, which have an older
//! leader epoch, are no reason. What stays unseen is damage to the length or the magic of the very last batch.

use super::PartitionLog;
use crate::env::{LogFile, OpenMode};
use crate::error::LogError;
use crate::format::FileKind;
use crate::segment::{ScanDepth, Scanner};
use milena_record::{BatchHeader, HEADER_BYTES};
use milena_types::{LeaderEpoch, Offset};
use std::io;

const CHUNK_BYTES: usize = 256 << 10;
/// So many places that look like a batch are compared with their checksum; more of them are a doubt of their own. A record may
/// hold what looks like batches.
const SUSPECTS_MAX: usize = 64;

/// Where a recovery would cut, and what would be the last before it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tail {
    /// The number of its segment.
    pub(super) at: usize,
    pub(super) position: u64,
    /// The offset that should follow.
    pub(super) expected: Offset,
    /// The leader epoch of the batch before.
    pub(super) epoch: Option<LeaderEpoch>,
}

impl Tail {
    /// Not stale.
    fn is_recent(&self, header: &BatchHeader) -> bool {
        self.epoch
            .is_none_or(|epoch| header.partition_leader_epoch >= epoch)
    }

    fn may_follow(&self, header: &BatchHeader) -> bool {
        header.base_offset >= self.expected && self.is_recent(header)
    }
}

impl PartitionLog {
    /// Why the tail may have been completely written, if it may.
    pub(super) fn doubt_about(&self, tail: &Tail) -> Result<Option<String>, LogError> {
        let mut from = tail.position;
        for meta in &self.segments[tail.at..] {
            let path = self.path(meta.base, FileKind::Log);
            let look = || {
                let file = self.env.fs.open(&path, OpenMode::Read)?;
                if from == tail.position && is_complete(&*file, tail, meta.size)? {
                    return Ok(Some("it is as long as it says".to_owned()));
                }
                let whole = whole_batch_from(&*file, from, meta.size, tail)?;
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
            from = 0;
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

/// The first whole batch in `[from, end)` that may follow, wherever it begins.
fn whole_batch_from(file: &dyn LogFile, from: u64, end: u64, tail: &Tail) -> io::Result<Option<u64>> {
    let mut suspects = 0;
    let mut buffer = Vec::with_capacity(CHUNK_BYTES);
    let mut start = from;
    while end.saturating_sub(start) >= HEADER_BYTES as u64 {
        let wanted = usize::try_from(end - start).unwrap_or(usize::MAX);
        buffer.clear();
        file.read_at(&mut buffer, wanted.min(CHUNK_BYTES), start)?;
        for (position, head) in (start..).zip(buffer.windows(HEADER_BYTES)) {
            let Ok(header) = BatchHeader::parse(head) else {
                continue;
            };
            if !tail.may_follow(&header) || position.saturating_add(header.size_bytes() as u64) > end {
                continue;
            }
            suspects += 1;
            let mut scanner = Scanner::new(file, position, end, ScanDepth::Checked);
            if suspects > SUSPECTS_MAX || matches!(scanner.next()?, Some(Ok(_))) {
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

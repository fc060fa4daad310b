//! The part that leader and follower appends share: write, index, account.

use super::PartitionLog;
use super::roll::one_segment;
use crate::error::LogError;
use crate::format::FileKind;
use milena_record::{BatchHeader, batches};
use milena_types::Timestamp;
use std::io;

impl PartitionLog {
    /// Writes batches that were checked and stamped, and takes note of them.
    ///
    /// All of `bytes` are in the page cache when this returns, or the log is as before; batches whose offsets lie too far
    /// apart for one segment (a follower's, in a compacted log) are written one segment after the other.
    pub(super) fn write_batches(&mut self, bytes: &[u8], now: Timestamp) -> Result<(), LogError> {
        let mut rest = bytes;
        while !rest.is_empty() {
            let (len, span) = one_segment(rest);
            let (part, after) = rest.split_at(len);
            self.prepare_active(len as u64, span, now)?;
            self.write_part(part)?;
            rest = after;
        }
        Ok(())
    }

    /// Writes batches that the active segment has room for.
    fn write_part(&mut self, bytes: &[u8]) -> Result<(), LogError> {
        let at = self.segments.len() - 1;
        let (base, start) = (self.segments[at].base, self.segments[at].size);
        let path = self.path(base, FileKind::Log);
        let Some(active) = self.active.as_mut() else {
            return Err(LogError::new("append to", path)(io::Error::other(
                "no active segment",
            )));
        };
        if let Err(source) = active.write(bytes, start) {
            // A torn batch must not stay behind the next one, nor at the end of the segment when the next one begins another:
            // recovery does not look there again.
            let undone = active.file.set_len(start).and_then(|()| active.file.sync_data());
            let Err(error) = undone else {
                return Err(LogError::new("append to", path)(source));
            };
            self.failed = true;
            tracing::error!(path = %path.display(), error = %source, "could not undo a failed append; the log takes no more");
            // What is on the disk is in doubt, which the first error does not say.
            return Err(LogError::new("undo an append to", path)(error));
        }
        self.segments[at].size = start + bytes.len() as u64;
        let mut position = start;
        for (header, batch) in batches(bytes).flatten() {
            self.note_batch(&header, batch, position);
            position += header.size_bytes() as u64;
        }
        self.bytes_since_snapshot += bytes.len() as u64;
        // The records are in the log now, whatever becomes of their indexes: without space or files these wait in memory.
        let saved = self.save_aborts().and_then(|()| self.save_index_when_due());
        self.snapshot_when_due();
        match saved {
            Err(error) if error.is_no_space() || error.is_shortage() => Ok(()),
            saved => saved,
        }
    }

    /// Takes note of one batch that is in the file at `position` now.
    fn note_batch(&mut self, header: &BatchHeader, batch: &[u8], position: u64) {
        self.assign_epoch(header.partition_leader_epoch, header.base_offset);
        if let Some(active) = self.active.as_mut() {
            active.note(header, position);
        }
        self.log_end = header.next_offset();
        if header.producer_id.is_some()
            && let Some(completed) = self.note_producer(header, batch)
        {
            self.note_completed_txn(&completed);
        }
    }

    fn save_index_when_due(&mut self) -> Result<(), LogError> {
        match self.active.as_mut() {
            Some(active) if active.index_is_due() => active
                .save_indexes()
                .map_err(LogError::new("write index in", self.dir())),
            _ => Ok(()),
        }
    }
}

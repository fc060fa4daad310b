//! Aborted transactions and the last stable offset.
//!
//! Entry of a `.txnindex` file, 34 bytes: `i16 version = 0 | i64 producer id | i64 first offset | i64 last offset |
//! i64 last stable offset`. It lies in the segment of the abort marker. Source: `TransactionIndex.java`, `AbortedTxn.java`.

use super::PartitionLog;
use super::files::SegmentMeta;
use crate::env::{FileSystem, OpenMode, read_small_file};
use crate::error::LogError;
use crate::format::{FileKind, TXN_INDEX_ENTRY_BYTES as ENTRY, be_bytes, file_path};
use crate::producer::CompletedTxn;
use milena_types::{Offset, ProducerId};
use std::io;
use std::path::Path;

/// Eight million aborted transactions in one segment.
const TXN_INDEX_BYTES_MAX: usize = 256 << 20;

/// An aborted transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AbortedTxn {
    /// Its producer.
    pub producer_id: ProducerId,
    /// Offset of its first record.
    pub first_offset: Offset,
    /// Offset of its marker.
    pub last_offset: Offset,
    /// Below it every transaction was decided when this one was.
    pub last_stable_offset: Offset,
}

impl AbortedTxn {
    pub(crate) fn encode(&self) -> [u8; ENTRY] {
        let mut bytes = [0; ENTRY];
        let fields = [
            self.producer_id.0,
            self.first_offset.0,
            self.last_offset.0,
            self.last_stable_offset.0,
        ];
        for (field, place) in fields.iter().zip(bytes[2..].chunks_exact_mut(8)) {
            place.copy_from_slice(&field.to_be_bytes());
        }
        bytes
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let version = i16::from_be_bytes(be_bytes(bytes, 0)?);
        let field = |at| be_bytes(bytes, at).map(i64::from_be_bytes);
        // Higher versions append fields; there is none yet.
        (version >= 0).then_some(Self {
            producer_id: ProducerId(field(2)?),
            first_offset: Offset(field(10)?),
            last_offset: Offset(field(18)?),
            last_stable_offset: Offset(field(26)?),
        })
    }
}

/// The transaction index of the segment at `base`; a missing file is an empty one.
pub(crate) fn read_txn_index(
    fs: &dyn FileSystem,
    dir: &Path,
    base: Offset,
) -> Result<Vec<AbortedTxn>, LogError> {
    let path = file_path(dir, base, FileKind::TxnIndex);
    let bytes = read_small_file(fs, &path, TXN_INDEX_BYTES_MAX).map_err(LogError::new("read", &path))?;
    Ok(bytes
        .unwrap_or_default()
        .chunks_exact(ENTRY)
        .map_while(AbortedTxn::decode)
        .collect())
}

impl PartitionLog {
    /// First offset of a transaction that is open, or whose marker lies at or above the high watermark.
    ///
    /// The last stable offset is the smaller of this and the high watermark. Source: `UnifiedLog.fetchLastStableOffset`.
    #[must_use]
    pub fn first_unstable_offset(&self) -> Option<Offset> {
        self.producers
            .first_unstable_offset()
            .map(|offset| offset.max(self.log_start))
    }

    /// Tells the log how far all in-sync replicas are; it never goes back, except with a truncation.
    pub fn on_high_watermark(&mut self, high_watermark: Offset) {
        if high_watermark > self.high_watermark {
            self.high_watermark = high_watermark;
            self.producers.on_high_watermark(high_watermark);
        }
    }

    /// Transactions that were aborted and have a record in `[from, upper)`: what a read_committed fetch of that range carries.
    ///
    /// # Errors
    /// A transaction index could not be read.
    pub fn aborted_transactions(&self, from: Offset, upper: Offset) -> Result<Vec<AbortedTxn>, LogError> {
        let mut found = Vec::new();
        for at in self.segment_of(from).unwrap_or(0)..self.segments.len() {
            if self.segments[at].aborted == 0 {
                continue;
            }
            // Entries that wait for space come after all of these.
            for aborted in read_txn_index(&*self.env.fs, &self.dir, self.segments[at].base)? {
                if aborted.last_offset >= from && aborted.first_offset < upper {
                    found.push(aborted);
                }
                if aborted.last_stable_offset >= upper {
                    return Ok(found);
                }
            }
        }
        let unsaved = self.unsaved_aborts.iter().copied();
        found.extend(unsaved.filter(|aborted| aborted.last_offset >= from && aborted.first_offset < upper));
        Ok(found)
    }

    /// Takes note of an abort for the transaction index of the last segment; commits leave no trace there.
    pub(super) fn note_completed_txn(&mut self, completed: &CompletedTxn) {
        if completed.aborted {
            let last_stable_offset = self.producers.last_stable_offset_after(completed);
            self.unsaved_aborts.push(entry(completed, last_stable_offset));
        }
    }

    /// Writes the aborts that wait into the transaction index of the last segment. What cannot be written goes on waiting.
    pub(super) fn save_aborts(&mut self) -> Result<(), LogError> {
        let last = self.segments.len().saturating_sub(1);
        while let Some(entry) = self.unsaved_aborts.first().copied() {
            self.add_entry(last, &entry)?;
            self.unsaved_aborts.remove(0);
        }
        Ok(())
    }

    /// Adds an abort to the index of segment number `at`.
    pub(super) fn add_aborted(
        &mut self,
        at: usize,
        completed: &CompletedTxn,
        last_stable_offset: Offset,
    ) -> Result<(), LogError> {
        self.add_entry(at, &entry(completed, last_stable_offset))
    }

    fn add_entry(&mut self, at: usize, entry: &AbortedTxn) -> Result<(), LogError> {
        let path = self.path(self.segments[at].base, FileKind::TxnIndex);
        let meta: &mut SegmentMeta = &mut self.segments[at];
        let position = u64::from(meta.aborted) * ENTRY as u64;
        let fs = &self.env.fs;
        let write = || -> io::Result<()> {
            fs.open(&path, OpenMode::Write)?
                .write_all_at(&entry.encode(), position)
        };
        write().map_err(LogError::new("write", &path))?;
        meta.aborted += 1;
        self.dir_dirty = true;
        Ok(())
    }

    /// True when the transaction index of segment number `at` can be what appends wrote: markers in order, all of the segment.
    pub(super) fn txn_index_is_sane(&self, at: usize) -> Result<bool, LogError> {
        let meta = &self.segments[at];
        if meta.aborted == 0 {
            return Ok(true);
        }
        let entries = read_txn_index(&*self.env.fs, &self.dir, meta.base)?;
        let inside = |aborted: &AbortedTxn| {
            aborted.last_offset >= meta.base && aborted.first_offset <= aborted.last_offset
        };
        Ok(entries.len() == meta.aborted as usize
            && entries.iter().all(inside)
            && entries.is_sorted_by(|a, b| a.last_offset < b.last_offset))
    }

    /// Keeps only the entries of a segment's transaction index whose marker lies below `end`.
    pub(super) fn cut_txn_index(&mut self, at: usize, end: Offset) -> Result<(), LogError> {
        let base = self.segments[at].base;
        self.unsaved_aborts.retain(|aborted| aborted.last_offset < end);
        if self.segments[at].aborted == 0 {
            return Ok(());
        }
        let kept = read_txn_index(&*self.env.fs, &self.dir, base)?
            .iter()
            .take_while(|aborted| aborted.last_offset < end)
            .count();
        let path = self.path(base, FileKind::TxnIndex);
        let fs = &self.env.fs;
        let cut = || -> io::Result<()> {
            if kept == 0 {
                fs.remove_file(&path)?;
                return fs.sync_dir(&self.dir);
            }
            let file = fs.open(&path, OpenMode::Write)?;
            file.set_len((kept * ENTRY) as u64)?;
            file.sync_data()
        };
        cut().map_err(LogError::new("truncate", &path))?;
        self.segments[at].aborted = u32::try_from(kept).unwrap_or(u32::MAX);
        Ok(())
    }
}

fn entry(completed: &CompletedTxn, last_stable_offset: Offset) -> AbortedTxn {
    AbortedTxn {
        producer_id: completed.producer_id,
        first_offset: completed.first_offset,
        last_offset: completed.last_offset,
        last_stable_offset,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_have_kafkas_bytes() {
        let aborted = AbortedTxn {
            producer_id: ProducerId(1),
            first_offset: Offset(2),
            last_offset: Offset(3),
            last_stable_offset: Offset(4),
        };
        let bytes = aborted.encode();
        assert_eq!(bytes[..3], [0, 0, 0]);
        assert_eq!((bytes[9], bytes[17], bytes[25], bytes[33]), (1, 2, 3, 4));
        assert_eq!(AbortedTxn::decode(&bytes), Some(aborted));
        assert_eq!(AbortedTxn::decode(&bytes[..33]), None);
    }
}

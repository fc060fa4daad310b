//! The `.txnindex` of a segment: the transactions whose abort marker lies in it.
//!
//! Entry, 34 bytes: `i16 version = 0 | i64 producer id | i64 first offset | i64 last offset | i64 last stable offset`.
//! The file has no checksum and is missing where nothing was aborted, so that nothing in it tells a wrong one; the log
//! keeps the number and checksum of the entries ([`TxnIndexSum`]) and believes no file that differs. Source:
//! `TransactionIndex.java`, `AbortedTxn.java`.

use super::{AbortedTxn, PartitionLog};
use crate::env::{FileSystem, OpenMode, read_small_file};
use crate::error::LogError;
use crate::format::{FileKind, TXN_INDEX_ENTRY_BYTES as ENTRY, be_bytes, file_path};
use milena_record::crc32c;
use milena_types::{Offset, ProducerId};
use std::io;
use std::path::Path;

/// Eight million aborted transactions in one segment.
const TXN_INDEX_BYTES_MAX: usize = 256 << 20;

/// What a transaction index holds: enough to know whether a file is the right one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct TxnIndexSum {
    /// How many entries.
    pub(crate) entries: u32,
    /// CRC-32C of the sum before the last entry and that entry, 0 without entries.
    pub(crate) crc: u32,
}

impl TxnIndexSum {
    fn add(&mut self, entry: &[u8; ENTRY]) {
        let mut bytes = [0; 4 + ENTRY];
        bytes[..4].copy_from_slice(&self.crc.to_be_bytes());
        bytes[4..].copy_from_slice(entry);
        self.crc = crc32c(&bytes);
        self.entries += 1;
    }

    /// The sum of a file's content.
    pub(crate) fn of(bytes: &[u8]) -> Self {
        let mut sum = Self::default();
        bytes.as_chunks().0.iter().for_each(|entry| sum.add(entry));
        sum
    }

    pub(super) fn bytes(self) -> u64 {
        u64::from(self.entries) * ENTRY as u64
    }
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

    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
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

fn index_bytes(fs: &dyn FileSystem, path: &Path) -> Result<Vec<u8>, LogError> {
    let bytes = read_small_file(fs, path, TXN_INDEX_BYTES_MAX).map_err(LogError::new("read", path))?;
    Ok(bytes.unwrap_or_default())
}

/// The entries of the transaction index of the segment at `base` that `sum` tells of; any thread may ask.
///
/// # Errors
/// The file could not be read, or is not what was written: nobody must take aborted records for committed ones.
pub(crate) fn read_txn_index(
    fs: &dyn FileSystem,
    dir: &Path,
    base: Offset,
    sum: TxnIndexSum,
) -> Result<Vec<AbortedTxn>, LogError> {
    let path = file_path(dir, base, FileKind::TxnIndex);
    let bytes = index_bytes(fs, &path)?;
    let good = bytes.get(..usize::try_from(sum.bytes()).unwrap_or(usize::MAX));
    let Some(good) = good.filter(|bytes| TxnIndexSum::of(bytes) == sum) else {
        let error = io::Error::new(
            io::ErrorKind::InvalidData,
            "the transaction index is not what was written; opening the log again rebuilds it",
        );
        return Err(LogError::new("read", path)(error));
    };
    Ok(good.chunks_exact(ENTRY).map_while(AbortedTxn::decode).collect())
}

fn encode(entries: &[AbortedTxn]) -> Vec<u8> {
    entries.iter().flat_map(AbortedTxn::encode).collect()
}

impl PartitionLog {
    /// The content of a segment's transaction index, whatever it is.
    pub(super) fn txn_index_bytes(&self, base: Offset) -> Result<Vec<u8>, LogError> {
        index_bytes(&*self.env.fs, &self.path(base, FileKind::TxnIndex))
    }

    /// The entries of the index of segment number `at`.
    ///
    /// # Errors
    /// As of [`read_txn_index`].
    pub(super) fn read_txn_index(&self, at: usize) -> Result<Vec<AbortedTxn>, LogError> {
        let (base, sum) = (self.segments[at].base, self.segments[at].aborted);
        read_txn_index(&*self.env.fs, &self.dir(), base, sum)
    }

    /// Adds an entry to the index of the last segment, number `last`.
    pub(super) fn add_aborted(&mut self, last: usize, aborted: &AbortedTxn) -> Result<(), LogError> {
        let path = self.path(self.segments[last].base, FileKind::TxnIndex);
        let sum = &mut self.segments[last].aborted;
        let (entry, position) = (aborted.encode(), sum.bytes());
        let fs = &self.env.fs;
        let write = || fs.open(&path, OpenMode::Write)?.write_all_at(&entry, position);
        write().map_err(LogError::new("write", &path))?;
        sum.add(&entry);
        self.dir_dirty = true;
        Ok(())
    }

    /// What a recovery found to be the index of segment number `at`: the entries of the file whose marker lies below `end`,
    /// which are known to be right (none of them for `None`), and then `replayed`. A file that says otherwise is replaced,
    /// durably: the recovery point may be ahead of the marker already, and nobody looks there again.
    pub(super) fn settle_txn_index(
        &mut self,
        at: usize,
        end: Option<Offset>,
        replayed: Vec<AbortedTxn>,
    ) -> Result<(), LogError> {
        if self.segments[at].aborted.entries == 0 && replayed.is_empty() {
            return Ok(());
        }
        let bytes = self.txn_index_bytes(self.segments[at].base)?;
        let mut entries: Vec<AbortedTxn> = bytes
            .chunks_exact(ENTRY)
            .map_while(AbortedTxn::decode)
            .take_while(|aborted| end.is_some_and(|end| aborted.last_offset < end))
            .collect();
        entries.extend(replayed);
        if encode(&entries) == bytes {
            self.segments[at].aborted = TxnIndexSum::of(&bytes);
            self.sums_dirty |= at + 1 < self.segments.len();
            return Ok(());
        }
        self.replace_txn_index(at, &entries)?;
        let sync = self.env.fs.sync_dir(&self.dir());
        sync.map_err(|e| LogError::new("flush", self.dir())(e))
    }

    /// Replaces the index of segment number `at`.
    pub(super) fn replace_txn_index(&mut self, at: usize, entries: &[AbortedTxn]) -> Result<(), LogError> {
        let path = self.path(self.segments[at].base, FileKind::TxnIndex);
        let bytes = encode(entries);
        let fs = &self.env.fs;
        let write = || -> io::Result<()> {
            if bytes.is_empty() {
                return fs.remove_file(&path);
            }
            let file = fs.open(&path, OpenMode::Truncate)?;
            file.write_all_at(&bytes, 0)?;
            file.sync_data()
        };
        write().map_err(LogError::new("write", &path))?;
        self.segments[at].aborted = TxnIndexSum::of(&bytes);
        (self.dir_dirty, self.sums_dirty) = (true, true);
        Ok(())
    }

    /// Keeps only the entries of a segment's transaction index whose marker lies below `end`.
    pub(super) fn cut_txn_index(&mut self, at: usize, end: Offset) -> Result<(), LogError> {
        self.in_flight
            .unsaved_aborts
            .retain(|aborted| aborted.last_offset < end);
        if self.segments[at].aborted.entries == 0 {
            return Ok(());
        }
        let mut entries = self.read_txn_index(at)?;
        entries.retain(|aborted| aborted.last_offset < end);
        self.replace_txn_index(at, &entries)
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

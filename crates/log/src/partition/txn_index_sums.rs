//! `txn-index-checkpoint`: one line `base offset entries crc` per transaction index, so that a wrong one is known.
//!
//! Kafka trusts the transaction indexes of segments below the recovery point. A reader that does not hear of an aborted
//! transaction takes its records for committed ones, so Milena compares them when a log is opened, and rebuilds from the
//! log those that are not what was written. The file follows with the next flush after a segment is closed. Where it is
//! missing (Kafka wrote the log), or Kafka has gone on with the log since, order and ranges are all that is looked at, or
//! the indexes are built again.

use super::files::SegmentMeta;
use super::txn_index::TxnIndexSum;
use super::{AbortedTxn, PartitionLog};
use crate::checkpoint::text;
use crate::durable_file::replace_file;
use crate::env::{FileSystem, read_small_file};
use crate::error::LogError;
use crate::format::{FileKind, TXN_INDEX_ENTRY_BYTES as ENTRY, TXN_INDEX_SUMS_FILE};
use milena_types::Offset;
use std::collections::BTreeMap;
use std::io;
use std::path::Path;

/// Files above this size are not ours.
const SUMS_BYTES_MAX: usize = 64 << 20;

/// What the file says.
enum Sums {
    Missing,
    Damaged,
    /// By base offset; a segment that is not in it has no entry.
    Known(BTreeMap<Offset, TxnIndexSum>),
}

impl Sums {
    fn read(fs: &dyn FileSystem, dir: &Path) -> io::Result<Self> {
        let path = dir.join(TXN_INDEX_SUMS_FILE);
        let bytes = match read_small_file(fs, &path, SUMS_BYTES_MAX) {
            Err(error) if error.kind() == io::ErrorKind::InvalidData => Some(Vec::new()),
            read => read?,
        };
        Ok(
            match bytes.as_deref().map(|bytes| text::parse(bytes, parse_sum)) {
                None => Self::Missing,
                Some(Ok(sums)) => Self::Known(BTreeMap::from_iter(sums)),
                Some(Err(error)) => {
                    tracing::warn!(path = %path.display(), %error, "ignoring damaged sums of the transaction indexes");
                    Self::Damaged
                }
            },
        )
    }
}

fn encode_sums(sums: impl Iterator<Item = (Offset, TxnIndexSum)>) -> String {
    let lines: Vec<String> = sums
        .filter(|(_, sum)| sum.entries > 0)
        .map(|(base, sum)| format!("{base} {} {:08x}", sum.entries, sum.crc))
        .collect();
    text::encode(lines.into_iter())
}

/// A swap that a crash interrupted is completed: the sums follow, durably. A missing or damaged file stays as it is.
pub(crate) fn replace_sums(
    fs: &dyn FileSystem,
    dir: &Path,
    old: &[Offset],
    new: impl Iterator<Item = (Offset, TxnIndexSum)>,
) -> io::Result<()> {
    let Sums::Known(mut sums) = Sums::read(fs, dir)? else {
        return Ok(());
    };
    let before = encode_sums(sums.clone().into_iter());
    for base in old {
        sums.remove(base);
    }
    sums.extend(new);
    let text = encode_sums(sums.into_iter());
    if text == before {
        return Ok(());
    }
    replace_file(fs, &dir.join(TXN_INDEX_SUMS_FILE), text.as_bytes())
}

fn parse_sum(line: &str) -> Option<(Offset, TxnIndexSum)> {
    let mut words = line.split(' ');
    let base = Offset(words.next()?.parse().ok()?);
    let entries = words.next()?.parse().ok()?;
    let crc = u32::from_str_radix(words.next()?, 16).ok()?;
    words
        .next()
        .is_none()
        .then_some((base, TxnIndexSum { entries, crc }))
}

impl PartitionLog {
    /// The file's text.
    pub(super) fn txn_index_sums(&self) -> String {
        let sum = |meta: &SegmentMeta| (meta.base, meta.aborted);
        encode_sums(self.segments.iter().map(sum))
    }

    /// True when the entries of the index of segment number `at` whose marker lies below `end`, a snapshot inside the
    /// segment, are what was written. The sums follow each snapshot, so that they know at least these.
    pub(super) fn txn_index_is_known(&self, at: usize, end: Offset) -> Result<bool, LogError> {
        let base = self.segments[at].base;
        let bytes = self.txn_index_bytes(base)?;
        let sums =
            Sums::read(&*self.env.fs, &self.dir()).map_err(LogError::new("read sums in", self.dir()))?;
        let written = match sums {
            Sums::Missing => return Ok(bytes.is_empty()),
            Sums::Damaged => return Ok(false),
            Sums::Known(sums) => sums.get(&base).copied().unwrap_or_default(),
        };
        let split = usize::try_from(written.bytes()).unwrap_or(usize::MAX);
        let Some((known, more)) = bytes.split_at_checked(split) else {
            return Ok(false);
        };
        let next = more.chunks_exact(ENTRY).next().map(AbortedTxn::decode);
        let ends = next.is_none_or(|next| next.is_some_and(|next| next.last_offset >= end));
        Ok(ends && TxnIndexSum::of(known) == written)
    }

    /// Compares the transaction indexes of the segments below number `end`, which were not scanned, with what was written,
    /// and rebuilds the wrong ones; gives how many. `has_sums`: the file of sums is in the directory.
    pub(super) fn check_txn_indexes(&mut self, end: usize, has_sums: bool) -> Result<usize, LogError> {
        let read = || match has_sums {
            true => Sums::read(&*self.env.fs, &self.dir()),
            false => Ok(Sums::Missing),
        };
        let sums = match read() {
            Ok(Sums::Known(sums)) => Some(sums),
            Ok(Sums::Missing | Sums::Damaged) => None,
            Err(error) => return Err(LogError::new("read sums in", self.dir())(error)),
        };
        let mut rebuilt = 0;
        for at in 0..end.min(self.segments.len()) {
            let base = self.segments[at].base;
            let written = sums
                .as_ref()
                .map(|sums| sums.get(&base).copied().unwrap_or_default());
            let found = self.segments[at].aborted.entries > 0;
            if !found && written.is_none_or(|sum| sum.entries == 0) {
                continue;
            }
            let bytes = self.txn_index_bytes(base)?;
            let sum = TxnIndexSum::of(&bytes);
            let right = match written {
                Some(written) => sum == written && bytes.len().is_multiple_of(ENTRY),
                None => self.is_plausible(at, &bytes),
            };
            self.segments[at].aborted = sum;
            if !right {
                tracing::warn!(path = %self.path(base, FileKind::TxnIndex).display(), entries = sum.entries, expected = written.map(|sum| sum.entries),
                    "a transaction index is not what was written; rebuilding it from the log");
                let entries = self.aborted_in(at)?;
                self.replace_txn_index(at, &entries)?;
                rebuilt += 1;
            }
            self.sums_dirty |= written.is_none();
        }
        Ok(rebuilt)
    }

    /// Could this be the index of segment number `at`?
    fn is_plausible(&self, at: usize, bytes: &[u8]) -> bool {
        let range = self.segments[at].base..self.segment_end(at);
        let mut previous = None;
        bytes.len().is_multiple_of(ENTRY)
            && bytes.chunks_exact(ENTRY).all(|entry| {
                let Some(aborted) = AbortedTxn::decode(entry) else {
                    return false;
                };
                let last = aborted.last_offset;
                let grows = previous.replace(last).is_none_or(|previous| previous < last);
                grows && range.contains(&last) && aborted.first_offset < last
            })
    }

    /// The transactions that were aborted in segment number `at`, out of the log.
    fn aborted_in(&mut self, at: usize) -> Result<Vec<AbortedTxn>, LogError> {
        let base = self.segments[at].base;
        let (found, _) = self.load_snapshot(base)?;
        let first = self.segments[0].base;
        let mut producers = std::mem::take(&mut self.producers);
        let mut aborts = Vec::new();
        self.walk_headers(found.unwrap_or(first).max(first), at, |segment, header, batch| {
            if header.producer_id.is_some()
                && let Some(completed) = super::producers::apply_to(&mut producers, header, batch)
                && completed.aborted
                && segment == at
            {
                let stable = producers.last_stable_offset_after(&completed);
                aborts.push(AbortedTxn::of(&completed, stable));
            }
            Ok(())
        })?;
        Ok(aborts)
    }
}

//! The file that makes the swap of a group of segments atomic: `compaction-swap` in the partition's directory.
//!
//! ```text
//! 0                            version
//! 3                            number of lines that follow
//! old <base>                   a segment that goes
//! new <base> <aborted> <crc>   a segment that comes, how many entries its transaction index has, and their sum
//! ```
//! While it exists, opening the log completes the swap. Milena's own, Kafka ignores it: the suffix `.swap` of the new files
//! tells Kafka the same.

use crate::checkpoint::text;
use crate::durable_file::replace_file;
use crate::env::{FileSystem, read_small_file};
use crate::format::{FileKind, file_path};
use crate::partition::TxnIndexSum;
use milena_types::{Offset, Timestamp};
use std::io;
use std::path::{Path, PathBuf};

/// Name of the file.
pub(crate) const FILE: &str = "compaction-swap";
/// Suffix of the files of a new segment while it is being written.
pub(crate) const CLEANED_SUFFIX: &str = "cleaned";
/// Suffix of the files of a new segment that is complete.
pub(crate) const SWAP_SUFFIX: &str = "swap";
/// The files of a segment, in the order in which they are renamed: a log is never without its indexes.
pub(super) const SEGMENT_FILES: [FileKind; 4] = [
    FileKind::Index,
    FileKind::TimeIndex,
    FileKind::TxnIndex,
    FileKind::Log,
];

const BYTES_MAX: usize = 16 << 20;

/// A segment that comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NewSegment {
    pub(crate) base: Offset,
    /// Bytes of its log.
    pub(crate) size: u64,
    pub(crate) max_timestamp: Timestamp,
    /// What is in its transaction index.
    pub(crate) aborted: TxnIndexSum,
}

/// Some neighbouring segments, and what takes their place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Replacement {
    pub(crate) old: Vec<Offset>,
    /// At least one; the first has the base of the first old one.
    pub(crate) new: Vec<NewSegment>,
}

impl Replacement {
    fn encode(&self) -> String {
        let old = self.old.iter().map(|base| format!("old {base}"));
        let new = self.new.iter().map(|NewSegment { base, aborted, .. }| {
            format!("new {base} {} {:08x}", aborted.entries, aborted.crc)
        });
        text::encode(old.chain(new).collect::<Vec<_>>().into_iter())
    }

    /// Sizes and timestamps are not in the file.
    fn parse(bytes: &[u8]) -> io::Result<Self> {
        let lines = text::parse(bytes, |line| {
            let words: Vec<&str> = line.split(' ').collect();
            match words[..] {
                ["old", base] => Some((Offset(base.parse().ok()?), None)),
                ["new", base, entries, crc] => {
                    let (entries, crc) = (entries.parse().ok()?, u32::from_str_radix(crc, 16).ok()?);
                    Some((Offset(base.parse().ok()?), Some(TxnIndexSum { entries, crc })))
                }
                _ => None,
            }
        })
        .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
        let mut replacement = Self {
            old: Vec::new(),
            new: Vec::new(),
        };
        for (base, aborted) in lines {
            match aborted {
                None => replacement.old.push(base),
                Some(aborted) => replacement.new.push(NewSegment {
                    base,
                    size: 0,
                    max_timestamp: Timestamp::NONE,
                    aborted,
                }),
            }
        }
        Ok(replacement)
    }

    /// The segments that leave no successor of their base.
    pub(crate) fn vanishing(&self) -> impl Iterator<Item = Offset> + '_ {
        let stays = |base: &Offset| self.new.iter().any(|segment| segment.base == *base);
        self.old.iter().copied().filter(move |base| !stays(base))
    }

    /// Gives the new files their final names, from whichever suffix they have; those that have them already stay. The old
    /// files of the same bases are gone then.
    pub(crate) fn install(&self, fs: &dyn FileSystem, dir: &Path) -> io::Result<()> {
        for segment in &self.new {
            for kind in SEGMENT_FILES {
                let path = file_path(dir, segment.base, kind);
                if kind == FileKind::TxnIndex && segment.aborted.entries == 0 {
                    fs.remove_file(&path)?;
                    continue;
                }
                for suffix in [SWAP_SUFFIX, CLEANED_SUFFIX] {
                    let from = path.with_added_extension(suffix);
                    if fs.file_len(&from)?.is_some() {
                        fs.rename(&from, &path)?;
                    }
                }
            }
        }
        Ok(())
    }

    /// Makes the swap certain, durably: the manifest first, then the names that Kafka understands. May be repeated.
    pub(crate) fn commit(&self, fs: &dyn FileSystem, dir: &Path) -> io::Result<()> {
        // The new files must be found if the manifest is.
        fs.sync_dir(dir)?;
        replace_file(fs, &path(dir), self.encode().as_bytes())?;
        // Kafka drops every complete segment above an incomplete one, so the last goes first.
        for segment in self.new.iter().rev() {
            for kind in SEGMENT_FILES {
                if kind == FileKind::TxnIndex && segment.aborted.entries == 0 {
                    // One that is there is of a compaction that could not remove it.
                    continue;
                }
                let from = file_path(dir, segment.base, kind).with_added_extension(CLEANED_SUFFIX);
                if fs.file_len(&from)?.is_some() {
                    let to = file_path(dir, segment.base, kind).with_added_extension(SWAP_SUFFIX);
                    fs.rename(&from, &to)?;
                }
            }
        }
        fs.sync_dir(dir)
    }
}

fn path(dir: &Path) -> PathBuf {
    dir.join(FILE)
}

/// False when a commit has failed before the manifest was there.
pub(super) fn may_be_there(fs: &dyn FileSystem, dir: &Path) -> bool {
    !matches!(fs.file_len(&path(dir)), Ok(None))
}

/// The swap that a crash has interrupted, if there is one.
pub(super) fn read(fs: &dyn FileSystem, dir: &Path) -> io::Result<Option<Replacement>> {
    read_small_file(fs, &path(dir), BYTES_MAX)?
        .map(|bytes| Replacement::parse(&bytes))
        .transpose()
}

/// The swap is complete and on disk: forgets it, durably, for what it says of old segments must not be applied to later ones.
pub(crate) fn remove(fs: &dyn FileSystem, dir: &Path) -> io::Result<()> {
    fs.sync_dir(dir)?;
    fs.remove_file(&path(dir))?;
    fs.sync_dir(dir)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_reads_back() {
        let segment = |base, entries| NewSegment {
            base: Offset(base),
            size: 0,
            max_timestamp: Timestamp::NONE,
            aborted: TxnIndexSum {
                entries,
                crc: 10 * entries,
            },
        };
        let replacement = Replacement {
            old: vec![Offset(0), Offset(10), Offset(25)],
            new: vec![segment(0, 0), segment(17, 3)],
        };
        assert_eq!(
            replacement.encode(),
            "0\n5\nold 0\nold 10\nold 25\nnew 0 0 00000000\nnew 17 3 0000001e\n"
        );
        assert_eq!(
            Replacement::parse(replacement.encode().as_bytes()).unwrap(),
            replacement
        );
        assert_eq!(
            replacement.vanishing().collect::<Vec<_>>(),
            [Offset(10), Offset(25)]
        );
        for bad in [
            "",
            "0\n2\nold 1\n",
            "0\n1\nnew 1\n",
            "0\n1\nnew 1 2\n",
            "1\n0\n",
            "0\n1\nold x\n",
        ] {
            assert!(Replacement::parse(bad.as_bytes()).is_err(), "{bad:?}");
        }
    }
}

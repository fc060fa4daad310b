//! How far a log is compacted: `compaction-mark` in the partition's directory, one number.
//!
//! Kafka keeps this in `cleaner-offset-checkpoint` of the whole directory, by name. A log that is deleted and created again
//! can meet the number of its former life there, take dirty records for clean ones, and drop a tombstone before the value
//! that it deletes. This file goes with the log; without it all of the log counts as dirty, which costs one pass.

use crate::durable_file::replace_file;
use crate::env::{FileSystem, read_small_file};
use milena_types::Offset;
use std::io;
use std::path::Path;

/// Name of the file; Milena's own, Kafka ignores it.
pub(crate) const FILE: &str = "compaction-mark";

/// The mark of the log in `dir`; none, or a damaged one, is `None`.
pub(crate) fn read_mark(fs: &dyn FileSystem, dir: &Path) -> io::Result<Option<Offset>> {
    let bytes = read_small_file(fs, &dir.join(FILE), 1 << 10)?;
    let parse = |bytes: Vec<u8>| String::from_utf8(bytes).ok()?.strip_suffix('\n')?.parse().ok();
    Ok(bytes
        .and_then(parse)
        .map(Offset)
        .filter(|mark| *mark >= Offset::ZERO))
}

/// Writes the mark durably. Every swap below it must be on disk.
pub(super) fn write_mark(fs: &dyn FileSystem, dir: &Path, mark: Offset) -> io::Result<()> {
    replace_file(fs, &dir.join(FILE), format!("{mark}\n").as_bytes())
}

/// Removes the mark durably, as whoever cuts the log below it must before.
pub(crate) fn remove_mark(fs: &dyn FileSystem, dir: &Path) -> io::Result<()> {
    fs.remove_file(&dir.join(FILE))?;
    fs.sync_dir(dir)
}

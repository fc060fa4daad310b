//! Completing, when a log is opened, the swap that a crash interrupted: Milena's by its manifest, Kafka's by its file names.
//!
//! Repeating it changes nothing. Source for Kafka's: `LogLoader.load`, `LogLoader.removeTempFilesAndCollectSwapFiles`.

use super::manifest::{self, CLEANED_SUFFIX, SEGMENT_FILES, SWAP_SUFFIX};
use crate::durable_file::replace_file;
use crate::env::FileSystem;
use crate::format::{FileKind, HOLES_FILE, PARTED_FILE, file_path, parse_file_name};
use crate::partition::replace_sums;
use crate::segment::end_of;
use milena_types::Offset;
use std::io;
use std::path::Path;

/// True for a name that only an unfinished swap leaves behind.
pub(crate) fn is_unfinished_swap(name: &str) -> bool {
    name == manifest::FILE || name.ends_with(".log.swap")
}

/// Completes what is to be completed in the log's directory `dir`, durably.
pub(crate) fn resume_swap(fs: &dyn FileSystem, dir: &Path) -> io::Result<()> {
    if let Some(replacement) = manifest::read(fs, dir)? {
        tracing::info!(dir = %dir.display(), old = ?replacement.old, "completing the compaction that a crash interrupted");
        // It may be in the page cache only, and must not come after what follows from it.
        fs.sync_dir(dir)?;
        replacement.install(fs, dir)?;
        for base in replacement.vanishing() {
            remove_segment(fs, dir, base)?;
        }
        remove_snapshots(fs, dir, &replacement)?;
        // While the manifest is there, the sums may be of the old segments.
        let sums = replacement
            .new
            .iter()
            .map(|segment| (segment.base, segment.aborted));
        replace_sums(fs, dir, &replacement.old, sums)?;
        manifest::remove(fs, dir)?;
    }
    resume_of_kafka(fs, dir)
}

/// Snapshots of what was compacted may have a transaction open whose marker is gone.
fn remove_snapshots(fs: &dyn FileSystem, dir: &Path, replacement: &manifest::Replacement) -> io::Result<()> {
    let names = fs.read_dir(dir)?;
    let files: Vec<(Offset, FileKind)> = names
        .iter()
        .filter_map(|(name, _)| parse_file_name(name))
        .collect();
    let last = replacement
        .old
        .iter()
        .chain(replacement.new.iter().map(|new| &new.base))
        .max();
    let beyond = files
        .iter()
        .filter(|(base, kind)| *kind == FileKind::Log && Some(base) > last);
    let end = beyond.map(|(base, _)| *base).min();
    for (at, kind) in files {
        if kind == FileKind::Snapshot && end.is_none_or(|end| at < end) {
            fs.remove_file(&file_path(dir, at, kind))?;
        }
    }
    Ok(())
}

fn remove_segment(fs: &dyn FileSystem, dir: &Path, base: Offset) -> io::Result<()> {
    for kind in FileKind::ALL {
        fs.remove_file(&file_path(dir, base, kind))?;
    }
    Ok(())
}

/// A complete `.swap` takes the place of the segments that begin in its range; one at or above a `.cleaned` file is of a
/// swap that was never decided, and its originals are all there.
fn resume_of_kafka(fs: &dyn FileSystem, dir: &Path) -> io::Result<()> {
    let names = fs.read_dir(dir)?;
    let bases = |suffix: &str| -> Vec<Offset> {
        let base = |(name, _): &(String, bool)| {
            let name = name.strip_suffix(suffix)?.strip_suffix('.')?;
            parse_file_name(name).filter(|(_, kind)| *kind == FileKind::Log)
        };
        let mut bases: Vec<Offset> = names.iter().filter_map(base).map(|(base, _)| base).collect();
        bases.sort_unstable();
        bases
    };
    let undecided = bases(CLEANED_SUFFIX).first().copied();
    let complete: Vec<Offset> = bases(SWAP_SUFFIX)
        .into_iter()
        .filter(|base| undecided.is_none_or(|undecided| *base < undecided))
        .collect();
    for base in &complete {
        let log = file_path(dir, *base, FileKind::Log).with_added_extension(SWAP_SUFFIX);
        let end = end_of(fs, &log, *base)?;
        tracing::info!(dir = %dir.display(), base = base.0, end = end.0, "completing the swap of a segment that Kafka left unfinished");
        let covered = names
            .iter()
            .filter_map(|(name, _)| parse_file_name(name))
            .filter(|(other, kind)| *kind == FileKind::Log && other > base && *other < end);
        for (other, _) in covered {
            remove_segment(fs, dir, other)?;
        }
        for kind in SEGMENT_FILES {
            let path = file_path(dir, *base, kind);
            let swap = path.with_added_extension(SWAP_SUFFIX);
            match fs.file_len(&swap)? {
                Some(_) => fs.rename(&swap, &path)?,
                // Indexes of the old file would be wrong; they are built again.
                None => fs.remove_file(&path)?,
            }
        }
    }
    if complete.is_empty() {
        return Ok(());
    }
    // Recovery takes a hole for damage unless the log says that it has some. Kafka's segments need not reach the next one.
    replace_file(fs, &dir.join(PARTED_FILE), b"")?;
    replace_file(fs, &dir.join(HOLES_FILE), b"")
}

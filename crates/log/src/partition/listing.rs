//! What lies in a partition's directory, by the names alone.

use super::OpenOptions;
use crate::compaction::{MARK_FILE, is_unfinished_swap, resume_swap};
use crate::env::FileSystem;
use crate::error::LogError;
use crate::format::{
    DELETED_SUFFIX, EPOCH_CHECKPOINT_FILE, FileKind, HOLES_FILE, PARTED_FILE, PARTITION_METADATA_FILE,
    RECOVERY_FLOOR_FILE, TXN_INDEX_SUMS_FILE, is_temporary, parse_file_name,
};
use milena_types::Offset;
use std::collections::BTreeSet;
use std::io;
use std::path::Path;

/// What a partition's directory holds.
#[derive(Debug, Default)]
pub(super) struct Listing {
    pub(super) logs: BTreeSet<Offset>,
    pub(super) others: Vec<(Offset, FileKind)>,
    pub(super) snapshots: BTreeSet<Offset>,
    pub(super) strays: Vec<String>,
    pub(super) has_holes: bool,
    pub(super) is_parted: bool,
    pub(super) has_floor: bool,
    pub(super) unfinished_swap: bool,
    pub(super) has_mark: bool,
    /// Holds what is written after a log's first segment was.
    pub(super) had_log: bool,
    pub(super) has_sums: bool,
}

impl Listing {
    /// Offsets of segments that have an index and no log. One that was deleted is there under its new name until its
    /// indexes are gone.
    pub(super) fn without_log(&self) -> impl Iterator<Item = Offset> {
        let gone = |base: &Offset| {
            let deleted = format!("{base:020}.log.{DELETED_SUFFIX}", base = base.0);
            !self.logs.contains(base) && !self.strays.contains(&deleted)
        };
        let indexes = |(base, kind): &(Offset, FileKind)| {
            matches!(kind, FileKind::Index | FileKind::TimeIndex).then_some(*base)
        };
        self.others.iter().filter_map(indexes).filter(gone)
    }

    /// Segments that are out of use, by their new names.
    pub(super) fn retired(&self) -> impl Iterator<Item = &String> {
        self.strays.iter().filter(|name| retired_base(name).is_some())
    }

    /// Whether a deletion has taken the segment that held the offset, and all before it.
    pub(super) fn has_retired(&self, offset: Offset) -> bool {
        self.retired().any(|name| retired_base(name) <= Some(offset))
    }
}

/// Of a segment's log that was given the name of a deleted one.
pub(super) fn retired_base(name: &str) -> Option<Offset> {
    let former = name.strip_suffix(DELETED_SUFFIX)?.strip_suffix('.')?;
    match parse_file_name(former) {
        Some((base, FileKind::Log)) => Some(base),
        _ => None,
    }
}

/// Lists a partition's directory; `None` when there is none.
pub(super) fn list(fs: &dyn FileSystem, dir: &Path) -> io::Result<Option<Listing>> {
    let names = match fs.read_dir(dir) {
        Ok(names) => names,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(e),
    };
    let mut listing = Listing::default();
    for (name, _) in names.into_iter().filter(|(_, is_dir)| !is_dir) {
        listing.unfinished_swap |= is_unfinished_swap(&name);
        match parse_file_name(&name) {
            Some((base, FileKind::Log)) => {
                listing.logs.insert(base);
            }
            Some((base, FileKind::Snapshot)) => {
                listing.snapshots.insert(base);
            }
            Some(other) => listing.others.push(other),
            // Half-written small files, retired segments, and what a compaction left unfinished.
            None if is_temporary(&name)
                || [".deleted", ".cleaned", ".swap"]
                    .iter()
                    .any(|end| name.ends_with(end)) =>
            {
                listing.strays.push(name)
            }
            None => {
                listing.has_holes |= name == HOLES_FILE;
                listing.is_parted |= name == PARTED_FILE;
                listing.has_mark |= name == MARK_FILE;
                listing.has_floor |= name == RECOVERY_FLOOR_FILE;
                listing.had_log |= name == EPOCH_CHECKPOINT_FILE || name == PARTITION_METADATA_FILE;
                listing.has_sums |= name == TXN_INDEX_SUMS_FILE;
            }
        }
    }
    Ok(Some(listing))
}

/// Lists the directory; a compaction's swap that a crash interrupted is completed before.
pub(super) fn list_in_order(opts: &OpenOptions) -> Result<Option<Listing>, LogError> {
    let list = || list(&*opts.env.fs, &opts.dir).map_err(LogError::new("list", &opts.dir));
    let listing = list()?;
    if !listing.as_ref().is_some_and(|listing| listing.unfinished_swap) {
        return Ok(listing);
    }
    resume_swap(&*opts.env.fs, &opts.dir).map_err(LogError::new("complete the compaction of", &opts.dir))?;
    list()
}

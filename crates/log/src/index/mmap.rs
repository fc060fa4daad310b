//! The bytes of a sealed segment's index file, mapped read-only when that is worth a map.
//!
//! The only `unsafe` of the workspace. Maps are few: they live in the bounded pool of open sealed segments.

use crate::env::LogFile;
use std::io;

/// Files below this size are read instead of mapped: a map costs a page table entry and a slot of `max_map_count`.
const MAP_BYTES_MIN: u64 = 16 * 1024;

/// The content of an index file.
#[derive(Debug)]
pub(crate) enum IndexBytes {
    /// In memory: small, rebuilt, or on a file system without maps.
    Loaded(Vec<u8>),
    /// Mapped.
    Mapped(memmap2::Mmap),
}

impl IndexBytes {
    /// Takes the whole content of `file`.
    pub(crate) fn open(file: &dyn LogFile) -> io::Result<Self> {
        let len = file.len()?;
        if let (Some(real), true) = (file.std_file(), len >= MAP_BYTES_MIN) {
            return Ok(IndexBytes::Mapped(map(real)?));
        }
        let len = usize::try_from(len).map_err(io::Error::other)?;
        let mut bytes = Vec::with_capacity(len);
        file.read_at(&mut bytes, len, 0)?;
        Ok(IndexBytes::Loaded(bytes))
    }

    pub(crate) fn as_slice(&self) -> &[u8] {
        match self {
            IndexBytes::Loaded(bytes) => bytes,
            IndexBytes::Mapped(map) => map,
        }
    }
}

#[expect(unsafe_code, reason = "memory mapping is unsafe by nature; see SAFETY")]
fn map(file: &std::fs::File) -> io::Result<memmap2::Mmap> {
    // SAFETY: a map is undefined behaviour when the file shrinks or changes beneath it. Index files of sealed segments are
    // never written in place: they are replaced by rename (the map keeps the old inode) or unlinked (likewise). The index of
    // a segment that becomes active again after a truncation is dropped from the pool before its file is touched, on the
    // one thread that owns the log, and no slice of a map outlives a call on that thread. The log directory's `.lock` keeps
    // other Milena and Kafka processes away; an operator who edits the files of a live broker is outside the contract.
    unsafe { memmap2::Mmap::map(file) }
}

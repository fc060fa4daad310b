//! The small files of a log that flushers and the owner replace, each with the state that it knows.

use crate::durable_file::replace_file;
use crate::env::FileSystem;
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

/// One file: never is an older state written over a newer one. Where it is, its writers know.
#[derive(Debug, Default)]
pub(super) struct VersionedFile {
    /// Version that is in the file, and the newest one that was handed out.
    versions: Mutex<(u64, u64)>,
}

impl VersionedFile {
    pub(super) fn next_version(&self) -> u64 {
        let mut versions = self.versions.lock().unwrap_or_else(PoisonError::into_inner);
        versions.1 += 1;
        versions.1
    }

    /// Replaces the content durably, unless a newer version is there.
    pub(super) fn write(&self, fs: &dyn FileSystem, path: &Path, version: u64, text: &str) -> io::Result<()> {
        let mut versions = self.versions.lock().unwrap_or_else(PoisonError::into_inner);
        if version > versions.0 {
            replace_file(fs, path, text.as_bytes())?;
            versions.0 = version;
        }
        Ok(())
    }
}

/// The small files that go with the log: made when the first ticket is taken.
#[derive(Debug, Default)]
pub(super) struct SmallFiles {
    pub(super) epochs: VersionedFile,
    /// Sums of the transaction indexes.
    pub(super) sums: VersionedFile,
    /// The log was deleted: a flush that finds its files gone has nothing to do.
    deleted: AtomicBool,
}

impl SmallFiles {
    pub(super) fn mark_deleted(&self) {
        self.deleted.store(true, Ordering::Release);
    }

    pub(super) fn is_deleted(&self) -> bool {
        self.deleted.load(Ordering::Acquire)
    }
}

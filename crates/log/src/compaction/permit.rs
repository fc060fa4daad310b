//! What ties a running compaction to the life of its log.
//!
//! The cleaner creates and renames files only under the permit's lock and while it is live. The owner ends it under the same
//! lock before it cuts, closes or deletes the log; from then on the cleaner touches no name. So no file can appear in a
//! directory that belongs to another log by then, and no swap can be half committed when the owner goes on.

use super::error::CompactionError;
use super::manifest::Replacement;
use crate::partition::SmallWrite;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// How far a compaction is; the second sentence says what is left to do for the owner who ends it there.
#[derive(Debug)]
pub(crate) enum Stage {
    /// Files are being written; their names. They are of no use any more.
    Working(Vec<PathBuf>),
    /// A commit has failed that may have come as far as the manifest. It must be repeated, and then the swap completed.
    InDoubt(Replacement),
    /// The manifest is on disk, the log does not know yet. The swap must be completed.
    Committed(Replacement),
    /// The log is swapping the segments, or could not, or a flush has failed. Only opening the log puts it in order.
    Torn,
    /// The log has swapped the segments, the manifest is still there, and has to be until the sums of the transaction indexes
    /// are those of the new segments. It must be removed once these and the directory are on disk.
    Swapped(Option<SmallWrite>),
    /// Over.
    Ended,
}

/// The permit of one compaction, shared by the log's owner and the cleaner.
#[derive(Debug)]
pub(crate) struct Permit {
    id: CompactionId,
    stage: Mutex<Stage>,
}

/// Tells a compaction from every other one of this process: what a job says counts only while it is the log's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CompactionId(u64);

static NEXT_ID: AtomicU64 = AtomicU64::new(1);

impl Permit {
    pub(crate) fn new() -> Self {
        Self {
            id: CompactionId(NEXT_ID.fetch_add(1, Ordering::Relaxed)),
            stage: Mutex::new(Stage::Working(Vec::new())),
        }
    }

    pub(crate) fn id(&self) -> CompactionId {
        self.id
    }

    fn lock(&self) -> MutexGuard<'_, Stage> {
        self.stage.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Fails once the owner has ended it.
    pub(super) fn check(&self) -> Result<(), CompactionError> {
        match *self.lock() {
            Stage::Ended => Err(CompactionError::Ended),
            Stage::Working(_) | Stage::InDoubt(_) | Stage::Committed(_) | Stage::Torn | Stage::Swapped(_) => {
                Ok(())
            }
        }
    }

    /// Does something with names that the owner must not interrupt.
    pub(super) fn with_names<T>(
        &self,
        act: impl FnOnce(&mut Vec<PathBuf>) -> Result<T, CompactionError>,
    ) -> Result<T, CompactionError> {
        match &mut *self.lock() {
            Stage::Working(files) => act(files),
            Stage::InDoubt(_) | Stage::Committed(_) | Stage::Torn | Stage::Swapped(_) | Stage::Ended => {
                Err(CompactionError::Ended)
            }
        }
    }

    /// Commits a swap: `write` makes it certain on disk. If that fails and `is_in_doubt`, the new files must stay: the manifest
    /// may name them. A flush that failed is never repeated.
    pub(super) fn commit(
        &self,
        replacement: Replacement,
        write: impl FnOnce(&Replacement) -> Result<(), CompactionError>,
        is_in_doubt: impl FnOnce() -> bool,
    ) -> Result<(), CompactionError> {
        let mut stage = self.lock();
        let Stage::Working(_) = &*stage else {
            return Err(CompactionError::Ended);
        };
        let written = write(&replacement);
        if written.is_ok() {
            *stage = Stage::Committed(replacement);
        } else if is_in_doubt() {
            *stage = match written {
                Err(CompactionError::Sync(_)) => Stage::Torn,
                _ => Stage::InDoubt(replacement),
            };
        }
        written
    }

    /// The owner takes a committed swap to complete it, and says so by [`Self::swapped`].
    pub(crate) fn take_committed(&self) -> Option<Replacement> {
        let mut stage = self.lock();
        match std::mem::replace(&mut *stage, Stage::Torn) {
            Stage::Committed(replacement) => Some(replacement),
            other => {
                *stage = other;
                None
            }
        }
    }

    /// The owner has swapped what it took: `sums` are to be written before the manifest may go.
    pub(crate) fn swapped(&self, sums: Option<SmallWrite>) {
        let mut stage = self.lock();
        if let Stage::Torn = *stage {
            *stage = Stage::Swapped(sums);
        }
    }

    /// After a swap: `remove` writes the sums and forgets the manifest, then the next group may begin.
    pub(super) fn finish(
        &self,
        remove: impl FnOnce(Option<&SmallWrite>) -> Result<(), CompactionError>,
    ) -> Result<(), CompactionError> {
        let mut stage = self.lock();
        let Stage::Swapped(sums) = &*stage else {
            return Err(CompactionError::Ended);
        };
        let removed = remove(sums.as_ref());
        match removed {
            Ok(()) => *stage = Stage::Working(Vec::new()),
            Err(CompactionError::Sync(_)) => *stage = Stage::Torn,
            Err(_) => {}
        }
        removed
    }

    /// Ends the compaction: nothing is written under this permit any more. Waits for a commit that is under way. Says how far
    /// it was.
    pub(crate) fn end(&self) -> Stage {
        std::mem::replace(&mut *self.lock(), Stage::Ended)
    }
}

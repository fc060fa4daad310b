//! What ties a running compaction to the life of its log.
//!
//! The cleaner creates and renames files only under the permit's lock and while it is live. The owner ends it under the same
//! lock before it cuts, closes or deletes the log; from then on the cleaner touches no name. So no file can appear in a
//! directory that belongs to another log by then, and no swap can be half committed when the owner goes on.

use super::error::CompactionError;
use super::manifest::Replacement;
use crate::partition::SumsWrite;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

#[derive(Debug)]
enum State {
    /// Files are being written; their names.
    Working(Vec<PathBuf>),
    /// The manifest is on disk, the log does not know yet.
    Committed(Replacement),
    /// The log has swapped the segments, the manifest is still there, and has to be until the sums of the transaction indexes
    /// are those of the new segments.
    Swapped(Option<SumsWrite>),
    /// Over.
    Ended,
}

/// How far a compaction was when its owner ended it.
#[derive(Debug)]
pub(crate) enum Ended {
    /// These files are of no use.
    Working(Vec<PathBuf>),
    /// The swap must be completed.
    Committed(Replacement),
    /// The manifest must be removed once the sums and the directory are on disk.
    Swapped,
    /// It was over.
    Over,
}

/// The permit of one compaction, shared by the log's owner and the cleaner.
#[derive(Debug)]
pub(crate) struct Permit {
    id: CompactionId,
    state: Mutex<State>,
}

/// Tells a compaction from every other one of this process: what a job says counts only while it is the log's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CompactionId(u64);

static NEXT_ID: AtomicU64 = AtomicU64::new(1);

impl Permit {
    pub(crate) fn new() -> Self {
        Self {
            id: CompactionId(NEXT_ID.fetch_add(1, Ordering::Relaxed)),
            state: Mutex::new(State::Working(Vec::new())),
        }
    }

    pub(crate) fn id(&self) -> CompactionId {
        self.id
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Fails once the owner has ended it.
    pub(super) fn check(&self) -> Result<(), CompactionError> {
        match *self.lock() {
            State::Ended => Err(CompactionError::Ended),
            State::Working(_) | State::Committed(_) | State::Swapped(_) => Ok(()),
        }
    }

    /// Does something with names that the owner must not interrupt.
    pub(super) fn with_names<T>(
        &self,
        act: impl FnOnce(&mut Vec<PathBuf>) -> Result<T, CompactionError>,
    ) -> Result<T, CompactionError> {
        match &mut *self.lock() {
            State::Working(files) => act(files),
            State::Committed(_) | State::Swapped(_) | State::Ended => Err(CompactionError::Ended),
        }
    }

    /// Commits a swap: `write` makes it certain on disk. If it fails, the swap may be certain or not: the log must be
    /// opened again.
    pub(super) fn commit(
        &self,
        replacement: Replacement,
        write: impl FnOnce(&Replacement) -> Result<(), CompactionError>,
    ) -> Result<(), CompactionError> {
        let mut state = self.lock();
        let State::Working(_) = &*state else {
            return Err(CompactionError::Ended);
        };
        write(&replacement)?;
        *state = State::Committed(replacement);
        Ok(())
    }

    /// The owner takes a committed swap to complete it.
    pub(crate) fn take_committed(&self) -> Option<Replacement> {
        let mut state = self.lock();
        match std::mem::replace(&mut *state, State::Swapped(None)) {
            State::Committed(replacement) => Some(replacement),
            other => {
                *state = other;
                None
            }
        }
    }

    /// The owner has swapped: this is to be written before the manifest may go.
    pub(crate) fn write_before_finish(&self, sums: Option<SumsWrite>) {
        if let State::Swapped(write) = &mut *self.lock() {
            *write = sums;
        }
    }

    /// After a swap: `remove` writes the sums and forgets the manifest, then the next group may begin.
    pub(super) fn finish(
        &self,
        remove: impl FnOnce(Option<&SumsWrite>) -> Result<(), CompactionError>,
    ) -> Result<(), CompactionError> {
        let mut state = self.lock();
        let State::Swapped(sums) = &*state else {
            return Err(CompactionError::Ended);
        };
        remove(sums.as_ref())?;
        *state = State::Working(Vec::new());
        Ok(())
    }

    /// Ends the compaction: nothing is written under this permit any more. Waits for a commit that is under way.
    pub(crate) fn end(&self) -> Ended {
        match std::mem::replace(&mut *self.lock(), State::Ended) {
            State::Working(files) => Ended::Working(files),
            State::Committed(replacement) => Ended::Committed(replacement),
            State::Swapped(_) => Ended::Swapped,
            State::Ended => Ended::Over,
        }
    }
}

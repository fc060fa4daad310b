//! The copies that a refill still waits for: they are the last to go when room is made for another one, and not without a word.

use super::damage::these_records;
use milena_log::quarantine::Quarantined;
use milena_types::{OffsetRange, TopicPartition};
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// All of a broker, by their directories.
#[derive(Debug, Default)]
pub(in crate::shard) struct Awaited(Mutex<HashMap<PathBuf, Contents>>);

/// What a copy holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Contents {
    pub(super) name: TopicPartition,
    pub(super) range: OffsetRange,
    pub(super) is_end_known: bool,
}

/// A copy is awaited for as long as this is there.
#[derive(Debug)]
pub(super) struct Waiting {
    all: Arc<Awaited>,
    path: PathBuf,
}

impl Waiting {
    /// For the copy in directory `path`.
    pub(super) fn new(all: &Arc<Awaited>, path: &Path, contents: Contents) -> Self {
        all.lock().insert(path.to_owned(), contents);
        Self {
            all: Arc::clone(all),
            path: path.to_owned(),
        }
    }

    /// It was not removed.
    pub(super) fn is_there(&self) -> bool {
        self.all.contains(&self.path)
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.all.lock().remove(&self.path);
    }
}

impl Awaited {
    fn lock(&self) -> MutexGuard<'_, HashMap<PathBuf, Contents>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.lock().is_empty()
    }

    pub(super) fn contains(&self, path: &Path) -> bool {
        self.lock().contains_key(path)
    }

    /// A copy was removed: says so when it was awaited, and is true then.
    pub(super) fn tell_removed(&self, gone: &Quarantined) -> bool {
        let Some(contents) = self.lock().remove(&gone.path) else {
            return false;
        };
        let OffsetRange { from, to } = contents.range;
        let these = these_records(contents.is_end_known);
        tracing::error!(target: "milena::unclean", partition = %contents.name, from = from.0, to = to.0, path = %gone.path.display(), bytes = gone.bytes,
            "the only copy of {these} that is known leaves the quarantine, and the leader has not filled all of them in again");
        true
    }
}

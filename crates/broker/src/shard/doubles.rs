//! Partitions of which two log directories have a log, and nothing says for certain which is newer.

use milena_log::{CorruptionPolicy, OpenError};
use milena_types::{Offset, TopicPartition};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Each with where its logs are, in words.
#[derive(Debug, Default)]
pub(super) struct Doubles(Mutex<BTreeMap<TopicPartition, String>>);

impl Doubles {
    pub(super) fn new(found: BTreeMap<TopicPartition, String>) -> Self {
        Self(Mutex::new(found))
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<TopicPartition, String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// True when it is one of them.
    pub(super) fn contains(&self, name: &TopicPartition) -> bool {
        self.lock().contains_key(name)
    }

    /// Its log is about to be opened, in the directory at `path`: what it holds may be old, and other replicas may have more.
    ///
    /// # Errors
    /// `Doubtful`, while it is not agreed that what this replica has counts no more, and where others may have it.
    pub(super) fn check(
        &self,
        name: &TopicPartition,
        path: PathBuf,
        corruption: CorruptionPolicy,
    ) -> Result<(), OpenError> {
        match self.lock().get(name) {
            Some(places) if corruption == CorruptionPolicy::RefuseDoubtful => {
                let error = format!("the partition lies in {places}");
                let doubt = "nothing says which is newer";
                Err(OpenError::doubtful(path, Offset::ZERO, error, doubt))
            }
            _ => Ok(()),
        }
    }

    /// Its log is open all the same, and grows from now on.
    pub(super) fn settled(&self, name: &TopicPartition) {
        self.lock().remove(name);
    }
}

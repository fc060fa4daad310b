//! Opening the store, and what it is made of.

use super::backend::Database;
use super::log_store::LogStore;
use super::marker::JoinMarker;
use super::rocks::RocksOwner;
use super::state_machine::StateMachine;
use crate::publish::CommittedLog;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

/// Bounds on what RocksDB takes.
#[derive(Clone, Debug)]
pub struct StoreOptions {
    /// The memtable of the log, in bytes.
    pub write_buffer_bytes: usize,
    /// The block cache, in bytes.
    pub block_cache_bytes: usize,
    /// Flush and compaction threads.
    pub background_jobs: i32,
    /// False skips every sync of the WAL: for tests that measure something else, never for a cluster.
    pub sync: bool,
}

impl Default for StoreOptions {
    fn default() -> Self {
        Self {
            write_buffer_bytes: 4 << 20,
            block_cache_bytes: 2 << 20,
            background_jobs: 2,
            sync: true,
        }
    }
}

/// The database cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The directory cannot be made.
    #[error("cannot create {}: {source}", path.display())]
    Directory {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// RocksDB refuses: locked by another process, damaged, no permission.
    #[error("cannot open {}: {source}", path.display())]
    Open {
        /// Which.
        path: PathBuf,
        /// Why.
        source: rocksdb::Error,
    },
    /// The flusher thread cannot be started.
    #[error("cannot start the flusher thread: {0}")]
    Thread(io::Error),
    /// The last snapshot or the log cannot be read.
    #[error("metadata in {} is damaged: {source}", path.display())]
    Damaged {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// An open store.
pub(crate) struct Store {
    // Dropped first: the owner looks whether anybody else uses the database.
    pub(super) database: Database,
    /// Closes RocksDB, where the store is on it.
    _owner: Option<RocksOwner>,
}

impl Store {
    /// Opens the database in `path`, creating it when it does not exist. Blocking, as is its drop: what came from
    /// [`Store::log`] and [`Store::state_machine`] should be gone by then.
    ///
    /// # Errors
    /// See [`StoreError`]; a database that another process holds is `Open`.
    pub(crate) fn open(path: &Path, options: &StoreOptions) -> Result<Self, StoreError> {
        let owner = RocksOwner::open(path, options)?;
        Ok(Self {
            database: Database::new(owner.backend()),
            _owner: Some(owner),
        })
    }

    /// A store on a simulated disk.
    #[cfg(test)]
    pub(crate) fn in_memory(backend: super::memory::MemoryBackend) -> Self {
        Self {
            database: Database::new(backend),
            _owner: None,
        }
    }

    /// Raft's log in this database.
    pub(crate) fn log(&self) -> LogStore {
        LogStore::new(self.database.clone())
    }

    /// The state machine, with the image of the last snapshot.
    ///
    /// # Errors
    /// `InvalidData` when the snapshot cannot be read.
    pub(crate) fn state_machine(&self, committed: Arc<CommittedLog>) -> io::Result<StateMachine> {
        StateMachine::open(self.database.clone(), committed)
    }

    /// How many syncs there were.
    pub(crate) fn syncs(&self) -> Arc<AtomicU64> {
        self.database.syncs()
    }

    /// The mark of a voter that is being restored.
    pub(crate) fn marker(&self) -> JoinMarker {
        JoinMarker::new(self.database.clone())
    }
}

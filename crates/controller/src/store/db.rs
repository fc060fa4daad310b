//! Opening and closing the database, with bounds on its memory and threads.

use super::flusher::Flusher;
use super::keys::{LOG, SNAPSHOT, STATE};
use super::log_store::LogStore;
use super::marker::JoinMarker;
use super::state_machine::StateMachine;
use crate::publish::CommittedLog;
use rocksdb::{
    BlockBasedOptions, Cache, ColumnFamily, ColumnFamilyDescriptor, DB, DBCompressionType, LogLevel, Options,
};
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

/// RocksDB's errors as io errors, which raft takes as fatal.
pub(super) fn io_error(error: rocksdb::Error) -> io::Error {
    io::Error::other(error)
}

/// The shared database with its column families.
#[derive(Clone)]
pub(super) struct Database(pub(super) Arc<DB>);

impl Database {
    pub(super) fn family(&self, name: &str) -> io::Result<&ColumnFamily> {
        self.0
            .cf_handle(name)
            .ok_or_else(|| io::Error::other(format!("column family {name} is missing")))
    }
}

/// An open database and its flusher thread.
pub(crate) struct Store {
    pub(super) database: Database,
    flusher: Flusher,
}

impl Store {
    /// Opens the database in `path`, creating it when it does not exist. Blocking.
    ///
    /// # Errors
    /// See [`StoreError`]; a database that another process holds is `Open`.
    pub(crate) fn open(path: &Path, options: &StoreOptions) -> Result<Self, StoreError> {
        std::fs::create_dir_all(path).map_err(|source| StoreError::Directory {
            path: path.to_owned(),
            source,
        })?;
        let cache = Cache::new_lru_cache(options.block_cache_bytes);
        let families = [
            (LOG, options.write_buffer_bytes),
            (STATE, 64 << 10),
            (SNAPSHOT, options.write_buffer_bytes),
        ]
        .map(|(name, buffer)| ColumnFamilyDescriptor::new(name, family_options(buffer, &cache)));
        let db = DB::open_cf_descriptors(&database_options(options), path, families).map_err(|source| {
            StoreError::Open {
                path: path.to_owned(),
                source,
            }
        })?;
        let database = Database(Arc::new(db));
        let flusher = Flusher::start(database.clone(), options.sync).map_err(StoreError::Thread)?;
        Ok(Self { database, flusher })
    }

    /// Raft's log in this database.
    pub(crate) fn log(&self) -> LogStore {
        LogStore::new(self.database.clone(), self.flusher.handle())
    }

    /// The state machine, with the image of the last snapshot.
    ///
    /// # Errors
    /// `InvalidData` when the snapshot cannot be read.
    pub(crate) fn state_machine(&self, committed: Arc<CommittedLog>) -> io::Result<StateMachine> {
        StateMachine::open(self.database.clone(), self.flusher.handle(), committed)
    }

    /// How many syncs of the WAL there were.
    pub(crate) fn syncs(&self) -> Arc<AtomicU64> {
        self.flusher.handle().syncs()
    }

    /// The mark of a voter that is being restored.
    pub(crate) fn marker(&self) -> JoinMarker {
        JoinMarker::new(self.database.clone(), self.flusher.handle())
    }
}

impl Drop for Store {
    /// Stops the flusher and closes the database. What came from [`Store::log`] and [`Store::state_machine`] should
    /// be gone: RocksDB's threads must not outlive `main`. Blocking.
    fn drop(&mut self) {
        self.flusher.stop();
        if let Err(error) = self.database.0.flush_wal(true) {
            tracing::error!(%error, "the metadata log could not be synced at shutdown");
        }
        if Arc::strong_count(&self.database.0) > 1 {
            tracing::warn!("the metadata database is still in use at shutdown");
        }
        self.database.0.cancel_all_background_work(true);
    }
}

fn database_options(options: &StoreOptions) -> Options {
    let mut db = Options::default();
    db.create_if_missing(true);
    db.create_missing_column_families(true);
    db.set_max_background_jobs(options.background_jobs);
    db.set_db_write_buffer_size(2 * options.write_buffer_bytes);
    db.set_max_total_wal_size(4 * options.write_buffer_bytes as u64);
    db.set_max_open_files(64);
    db.set_keep_log_file_num(2);
    db.set_max_log_file_size(1 << 20);
    db.set_log_level(LogLevel::Warn);
    // No periodic statistics, no periodic persistence of them: an idle controller wakes nobody.
    db.set_stats_dump_period_sec(0);
    db.set_stats_persist_period_sec(0);
    db
}

fn family_options(write_buffer_bytes: usize, cache: &Cache) -> Options {
    let mut table = BlockBasedOptions::default();
    table.set_block_cache(cache);
    let mut family = Options::default();
    family.set_block_based_table_factory(&table);
    family.set_compression_type(DBCompressionType::None);
    family.set_write_buffer_size(write_buffer_bytes);
    family.set_max_write_buffer_number(2);
    family.set_target_file_size_base(8 << 20);
    family
}

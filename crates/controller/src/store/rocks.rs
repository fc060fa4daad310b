//! RocksDB as the backend, with bounds on its memory and threads.

use super::backend::{Backend, Batch, Change, Pair, SeePair, SeeValue};
use super::db::{StoreError, StoreOptions};
use super::flusher::{FlushHandle, Flusher};
use super::keys::Family;
use crate::raft::types::TypeConfig;
use futures::FutureExt;
use futures::future::BoxFuture;
use openraft::storage::IOFlushed;
use rocksdb::{
    BlockBasedOptions, Cache, ColumnFamily, ColumnFamilyDescriptor, DB, DBCompressionType, IteratorMode,
    LogLevel, Options, ReadOptions, WriteBatch,
};
use std::io;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

/// RocksDB's errors as io errors, which raft takes as fatal.
pub(super) fn io_error(error: rocksdb::Error) -> io::Error {
    io::Error::other(error)
}

/// The database in use.
pub(super) struct RocksBackend {
    db: Arc<DB>,
    flusher: FlushHandle,
}

/// Keeps the database open, and closes it.
pub(super) struct RocksOwner {
    db: Arc<DB>,
    flusher: Flusher,
}

impl RocksOwner {
    /// Opens the database in `path`, creating it when it does not exist. Blocking.
    pub(super) fn open(path: &Path, options: &StoreOptions) -> Result<Self, StoreError> {
        std::fs::create_dir_all(path).map_err(|source| StoreError::Directory {
            path: path.to_owned(),
            source,
        })?;
        let cache = Cache::new_lru_cache(options.block_cache_bytes);
        let families = [
            (Family::Log, options.write_buffer_bytes),
            (Family::State, 64 << 10),
            (Family::Snapshot, options.write_buffer_bytes),
        ]
        .map(|(family, buffer)| ColumnFamilyDescriptor::new(family.name(), family_options(buffer, &cache)));
        let db = DB::open_cf_descriptors(&database_options(options), path, families).map_err(|source| {
            StoreError::Open {
                path: path.to_owned(),
                source,
            }
        })?;
        let db = Arc::new(db);
        let flusher = Flusher::start(Arc::clone(&db), options.sync).map_err(StoreError::Thread)?;
        Ok(Self { db, flusher })
    }

    pub(super) fn backend(&self) -> RocksBackend {
        RocksBackend {
            db: Arc::clone(&self.db),
            flusher: self.flusher.handle(),
        }
    }
}

impl Drop for RocksOwner {
    /// Stops the flusher and closes the database. Its backends should be gone: RocksDB's threads must not outlive
    /// `main`. Blocking.
    fn drop(&mut self) {
        self.flusher.stop();
        if let Err(error) = self.db.flush_wal(true) {
            tracing::error!(%error, "the metadata log could not be synced at shutdown");
        }
        if Arc::strong_count(&self.db) > 1 {
            tracing::warn!("the metadata database is still in use at shutdown");
        }
        self.db.cancel_all_background_work(true);
    }
}

impl RocksBackend {
    fn family(&self, family: Family) -> io::Result<&ColumnFamily> {
        let name = family.name();
        self.db
            .cf_handle(name)
            .ok_or_else(|| io::Error::other(format!("column family {name} is missing")))
    }
}

impl Backend for RocksBackend {
    fn get(&self, family: Family, key: &[u8], see: &mut SeeValue<'_>) -> io::Result<bool> {
        let value = self
            .db
            .get_pinned_cf(self.family(family)?, key)
            .map_err(io_error)?;
        match value {
            Some(value) => see(&value).map(|()| true),
            None => Ok(false),
        }
    }

    fn scan(
        &self,
        family: Family,
        from: &[u8],
        below: Option<&[u8]>,
        see: &mut SeePair<'_>,
    ) -> io::Result<()> {
        let mut options = ReadOptions::default();
        if let Some(below) = below {
            options.set_iterate_upper_bound(below);
        }
        let mut iterator = self.db.raw_iterator_cf_opt(self.family(family)?, options);
        iterator.seek(from);
        while let Some((key, value)) = iterator.item() {
            if see(key, value)? == ControlFlow::Break(()) {
                return Ok(());
            }
            iterator.next();
        }
        iterator.status().map_err(io_error)
    }

    fn last(&self, family: Family) -> io::Result<Option<Pair>> {
        let mut pairs = self.db.iterator_cf(self.family(family)?, IteratorMode::End);
        pairs.next().transpose().map_err(io_error)
    }

    fn write(&self, batch: Batch) -> io::Result<()> {
        let mut all = WriteBatch::default();
        for change in batch.0 {
            match change {
                Change::Put(family, key, value) => all.put_cf(self.family(family)?, key, value),
                Change::Delete(family, key) => all.delete_cf(self.family(family)?, key),
                Change::DeleteRange(family, from, below) => {
                    all.delete_range_cf(self.family(family)?, from, below);
                }
            }
        }
        self.db.write(all).map_err(io_error)
    }

    fn after_sync(&self, callback: IOFlushed<TypeConfig>) {
        self.flusher.after_sync(callback);
    }

    fn sync(&self) -> BoxFuture<'_, io::Result<()>> {
        self.flusher.sync().boxed()
    }

    fn syncs(&self) -> Arc<AtomicU64> {
        self.flusher.syncs()
    }

    fn is_slow(&self) -> bool {
        true
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

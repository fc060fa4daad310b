//! The seam under the store: an ordered map in three families with atomic batches and group commit.
//!
//! Writes are readable at once and durable, in the order in which they were made, after a sync that began later. A crash may
//! keep any prefix of what was not synced. RocksDB is one; a simulated disk is another.

use super::keys::{Family, StateKey};
use crate::raft::codec;
use crate::raft::types::TypeConfig;
use bytes::Bytes;
use futures::future::BoxFuture;
use openraft::storage::IOFlushed;
use serde::de::DeserializeOwned;
use std::io;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

/// Sees one key and its value, and says whether to go on.
pub(super) type SeePair<'a> = dyn FnMut(&[u8], &[u8]) -> io::Result<ControlFlow<()>> + 'a;
/// Sees a value.
pub(super) type SeeValue<'a> = dyn FnMut(&[u8]) -> io::Result<()> + 'a;

/// A key and its value.
pub(super) type Pair = (Box<[u8]>, Box<[u8]>);

/// What raft's log, vote, snapshot and marker are kept in.
pub(super) trait Backend: Send + Sync {
    /// Shows the value of `key`; false when there is none.
    fn get(&self, family: Family, key: &[u8], see: &mut SeeValue<'_>) -> io::Result<bool>;
    /// Shows what lies in `[from, below)`, in the order of the keys.
    fn scan(
        &self,
        family: Family,
        from: &[u8],
        below: Option<&[u8]>,
        see: &mut SeePair<'_>,
    ) -> io::Result<()>;
    /// The pair with the largest key.
    fn last(&self, family: Family) -> io::Result<Option<Pair>>;
    /// Makes all of these changes, or none.
    fn write(&self, batch: Batch) -> io::Result<()>;
    /// Completes `callback` once everything written before this call is durable.
    fn after_sync(&self, callback: IOFlushed<TypeConfig>);
    /// Returns once everything written before this call is durable.
    ///
    /// # Errors
    /// The sync failed, or nobody syncs any more: nothing can be promised.
    fn sync(&self) -> BoxFuture<'_, io::Result<()>>;
    /// How many syncs there were; goes on counting.
    fn syncs(&self) -> Arc<AtomicU64>;
    /// Whether a large write should be kept off the control thread.
    fn is_slow(&self) -> bool;
}

/// One change.
#[derive(Debug)]
pub(super) enum Change {
    Put(Family, Box<[u8]>, Bytes),
    Delete(Family, Box<[u8]>),
    /// All keys of `[from, below)`.
    DeleteRange(Family, Box<[u8]>, Box<[u8]>),
}

/// Changes that are made together.
#[derive(Debug, Default)]
pub(super) struct Batch(pub(super) Vec<Change>);

impl Batch {
    pub(super) fn put(&mut self, family: Family, key: impl AsRef<[u8]>, value: impl Into<Bytes>) {
        self.0
            .push(Change::Put(family, key.as_ref().into(), value.into()));
    }

    pub(super) fn delete(&mut self, family: Family, key: impl AsRef<[u8]>) {
        self.0.push(Change::Delete(family, key.as_ref().into()));
    }

    pub(super) fn delete_range(&mut self, family: Family, from: impl AsRef<[u8]>, below: impl AsRef<[u8]>) {
        let (from, below) = (from.as_ref().into(), below.as_ref().into());
        self.0.push(Change::DeleteRange(family, from, below));
    }
}

/// A shared backend; cheap to clone.
#[derive(Clone)]
pub(super) struct Database(Arc<dyn Backend>);

impl std::ops::Deref for Database {
    type Target = dyn Backend;

    fn deref(&self) -> &Self::Target {
        self.0.as_ref()
    }
}

impl Database {
    pub(super) fn new(backend: impl Backend + 'static) -> Self {
        Self(Arc::new(backend))
    }

    /// A value of the family `state`.
    ///
    /// # Errors
    /// `InvalidData` when it cannot be read.
    pub(super) fn state<T: DeserializeOwned>(&self, key: StateKey) -> io::Result<Option<T>> {
        let mut value = None;
        self.get(Family::State, &key.bytes(), &mut |bytes| {
            value = Some(codec::decode(bytes)?);
            Ok(())
        })?;
        Ok(value)
    }

    /// Whether the family `state` has the key.
    pub(super) fn has(&self, key: StateKey) -> io::Result<bool> {
        self.get(Family::State, &key.bytes(), &mut |_| Ok(()))
    }

    /// Makes one change.
    pub(super) fn put(
        &self,
        family: Family,
        key: impl AsRef<[u8]>,
        value: impl Into<Bytes>,
    ) -> io::Result<()> {
        let mut batch = Batch::default();
        batch.put(family, key, value);
        self.write(batch)
    }

    /// Makes one change.
    pub(super) fn delete(&self, family: Family, key: impl AsRef<[u8]>) -> io::Result<()> {
        let mut batch = Batch::default();
        batch.delete(family, key);
        self.write(batch)
    }

    /// Does large work, on a thread of its own where the backend is slow.
    pub(super) async fn aside<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Self) -> io::Result<T> + Send + 'static,
    ) -> io::Result<T> {
        if !self.is_slow() {
            return work(self);
        }
        let database = self.clone();
        tokio::task::spawn_blocking(move || work(&database))
            .await
            .map_err(io::Error::other)?
    }
}

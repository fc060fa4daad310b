//! openraft's own storage suite over this store: on RocksDB, and on the simulated disk.

use super::log_store::LogStore;
use super::memory::MemoryDisk;
use super::{StateMachine, Store, StoreOptions};
use crate::publish::CommittedLog;
use crate::raft::types::TypeConfig;
use openraft::StorageError;
use openraft::testing::log::{StoreBuilder, Suite};
use std::sync::Arc;
use std::time::Duration;

type Built<G> = Result<(G, LogStore, StateMachine), StorageError<TypeConfig>>;

fn parts<G>(store: &Store, guard: impl FnOnce() -> G) -> Built<G> {
    let machine = store.state_machine(Arc::new(CommittedLog::default())).unwrap();
    Ok((guard(), store.log(), machine))
}

struct OnRocksDb;

/// Keeps database and directory until the case is over.
struct Guard {
    _store: Arc<Store>,
    _directory: tempfile::TempDir,
}

impl StoreBuilder<TypeConfig, LogStore, StateMachine, Guard> for OnRocksDb {
    async fn build(&self) -> Built<Guard> {
        let directory = tempfile::tempdir().unwrap();
        let store = Arc::new(Store::open(directory.path(), &StoreOptions::default()).unwrap());
        parts(&store, || Guard {
            _store: Arc::clone(&store),
            _directory: directory,
        })
    }
}

struct InMemory;

impl StoreBuilder<TypeConfig, LogStore, StateMachine, ()> for InMemory {
    async fn build(&self) -> Built<()> {
        let store = Store::in_memory(MemoryDisk::default().open(|| Duration::from_millis(1)));
        parts(&store, || ())
    }
}

#[tokio::test]
async fn the_store_passes_openrafts_suite() {
    Suite::test_all(OnRocksDb).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn the_simulated_disk_passes_it_too() {
    Suite::test_all(InMemory).await.unwrap();
}

//! openraft's own storage suite over this store.

use super::log_store::LogStore;
use super::{StateMachine, Store, StoreOptions};
use crate::publish::CommittedLog;
use crate::raft::types::TypeConfig;
use openraft::StorageError;
use openraft::testing::log::{StoreBuilder, Suite};
use std::sync::Arc;

struct Builder;

/// Keeps database and directory until the case is over.
struct Guard {
    _store: Store,
    _directory: tempfile::TempDir,
}

impl StoreBuilder<TypeConfig, LogStore, StateMachine, Guard> for Builder {
    async fn build(&self) -> Result<(Guard, LogStore, StateMachine), StorageError<TypeConfig>> {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(directory.path(), &StoreOptions::default()).unwrap();
        let log = store.log();
        let machine = store.state_machine(Arc::new(CommittedLog::default())).unwrap();
        Ok((
            Guard {
                _store: store,
                _directory: directory,
            },
            log,
            machine,
        ))
    }
}

#[tokio::test]
async fn the_store_passes_openrafts_suite() {
    Suite::test_all(Builder).await.unwrap();
}

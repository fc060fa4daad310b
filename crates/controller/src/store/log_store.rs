//! Raft's log and vote on RocksDB.

use super::db::{Database, io_error};
use super::flusher::FlushHandle;
use super::keys::{LOG, STATE, StateKey, log_index, log_key};
use super::log_reader::LogReader;
use crate::raft::codec;
use crate::raft::types::{Entry, LogId, TypeConfig, Vote};
use openraft::entry::RaftEntry;
use openraft::storage::{IOFlushed, LogState, RaftLogStorage};
use rocksdb::{IteratorMode, WriteBatch};
use std::io;

/// Raft's log. Writes go to the WAL in call order; see the module's rule on syncs.
pub(crate) struct LogStore {
    database: Database,
    flusher: FlushHandle,
}

impl LogStore {
    pub(super) fn new(database: Database, flusher: FlushHandle) -> Self {
        Self { database, flusher }
    }

    fn read_state<T: serde::de::DeserializeOwned>(&self, key: StateKey) -> io::Result<Option<T>> {
        read_state(&self.database, key)
    }
}

/// A value of the `state` family.
pub(super) fn read_state<T: serde::de::DeserializeOwned>(
    database: &Database,
    key: StateKey,
) -> io::Result<Option<T>> {
    let value = database
        .0
        .get_pinned_cf(database.family(STATE)?, key.bytes())
        .map_err(io_error)?;
    value.map(|bytes| codec::decode(&bytes)).transpose()
}

impl RaftLogStorage<TypeConfig> for LogStore {
    type LogReader = LogReader;

    async fn get_log_state(&mut self) -> io::Result<LogState<TypeConfig>> {
        let last_purged_log_id: Option<LogId> = self.read_state(StateKey::Purged)?;
        let last = self
            .database
            .0
            .iterator_cf(self.database.family(LOG)?, IteratorMode::End)
            .next();
        let last_log_id = match last.transpose().map_err(io_error)? {
            None => last_purged_log_id,
            Some((_, value)) => Some(codec::decode::<Entry>(&value)?.log_id()),
        };
        Ok(LogState {
            last_purged_log_id,
            last_log_id,
        })
    }

    async fn get_log_reader(&mut self) -> LogReader {
        LogReader::new(self.database.clone())
    }

    /// Durable when it returns.
    async fn save_vote(&mut self, vote: &Vote) -> io::Result<()> {
        let value = codec::encode(vote)?;
        self.database
            .0
            .put_cf(self.database.family(STATE)?, StateKey::Vote.bytes(), value)
            .map_err(io_error)?;
        self.flusher.sync().await
    }

    /// Not synced: losing it costs a replay after the next leader contact, nothing else.
    async fn save_committed(&mut self, committed: Option<LogId>) -> io::Result<()> {
        let family = self.database.family(STATE)?;
        match committed {
            Some(id) => self
                .database
                .0
                .put_cf(family, StateKey::Committed.bytes(), codec::encode(&id)?)
                .map_err(io_error),
            None => self
                .database
                .0
                .delete_cf(family, StateKey::Committed.bytes())
                .map_err(io_error),
        }
    }

    async fn read_committed(&mut self) -> io::Result<Option<LogId>> {
        self.read_state(StateKey::Committed)
    }

    /// Readable when it returns; `callback` completes after the sync.
    async fn append<I>(&mut self, entries: I, callback: IOFlushed<TypeConfig>) -> io::Result<()>
    where
        I: IntoIterator<Item = Entry> + Send,
        I::IntoIter: Send,
    {
        let family = self.database.family(LOG)?;
        let mut batch = WriteBatch::default();
        for entry in entries {
            batch.put_cf(family, log_key(entry.log_id().index), codec::encode(&entry)?);
        }
        self.database.0.write(batch).map_err(io_error)?;
        self.flusher.after_sync(callback);
        Ok(())
    }

    /// Durable when it returns: an entry that was cut off must not come back after a crash.
    async fn truncate_after(&mut self, last_log_id: Option<LogId>) -> io::Result<()> {
        let family = self.database.family(LOG)?;
        let from = last_log_id.map_or(0, |id| id.index + 1);
        let last = self
            .database
            .0
            .iterator_cf(family, IteratorMode::End)
            .next()
            .transpose()
            .map_err(io_error)?;
        let Some(last) = last.and_then(|(key, _)| log_index(&key)) else {
            return Ok(());
        };
        if last < from {
            return Ok(());
        }
        let mut batch = WriteBatch::default();
        batch.delete_range_cf(family, log_key(from), log_key(last + 1));
        self.database.0.write(batch).map_err(io_error)?;
        self.flusher.sync().await
    }

    /// Not synced: a crash brings back entries below the snapshot, which are purged again.
    async fn purge(&mut self, log_id: LogId) -> io::Result<()> {
        // From the last purged index, not from 0: a range that covers older tombstones is a scan over all of them.
        let from = self
            .read_state::<LogId>(StateKey::Purged)?
            .map_or(0, |id| id.index + 1);
        if log_id.index < from {
            return Ok(());
        }
        let mut batch = WriteBatch::default();
        batch.put_cf(
            self.database.family(STATE)?,
            StateKey::Purged.bytes(),
            codec::encode(&log_id)?,
        );
        batch.delete_range_cf(
            self.database.family(LOG)?,
            log_key(from),
            log_key(log_id.index + 1),
        );
        self.database.0.write(batch).map_err(io_error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::raft::types::Proposal;
    use crate::store::{Store, StoreOptions};
    use openraft::alias::CommittedLeaderIdOf;
    use openraft::storage::{RaftLogReader, RaftLogStorageExt};
    use openraft::type_config::TypeConfigExt;
    use openraft::vote::RaftLeaderId;
    use std::sync::atomic::Ordering;

    fn entry(index: u64) -> Entry {
        let log_id = LogId::new(CommittedLeaderIdOf::<TypeConfig>::new(1, 1), index);
        Entry::new_normal(log_id, Proposal(vec![7; 100].into()))
    }

    #[tokio::test]
    async fn appends_that_wait_together_share_a_sync() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(directory.path(), &StoreOptions::default()).unwrap();
        let mut log = store.log();
        let before = log.flusher.syncs().load(Ordering::Relaxed);
        let mut waiting = Vec::new();
        for index in 0..400 {
            let (sender, receiver) = TypeConfig::oneshot();
            log.append([entry(index)], IOFlushed::signal(sender))
                .await
                .unwrap();
            waiting.push(receiver);
        }
        for receiver in waiting {
            receiver.await.unwrap().unwrap();
        }
        let syncs = log.flusher.syncs().load(Ordering::Relaxed) - before;
        println!("400 appends, {syncs} syncs");
        assert!(syncs < 400, "{syncs} syncs");
        assert_eq!(
            log.get_log_reader()
                .await
                .try_get_log_entries(0..400)
                .await
                .unwrap()
                .len(),
            400
        );
    }

    #[tokio::test]
    async fn vote_log_and_purge_survive_a_restart() {
        let directory = tempfile::tempdir().unwrap();
        let vote = Vote::new(9, 2);
        let id = |index| LogId::new(CommittedLeaderIdOf::<TypeConfig>::new(1, 1), index);
        {
            let store = Store::open(directory.path(), &StoreOptions::default()).unwrap();
            let mut log = store.log();
            log.save_vote(&vote).await.unwrap();
            log.blocking_append((0..10).map(entry)).await.unwrap();
            log.purge(id(3)).await.unwrap();
            log.truncate_after(Some(id(7))).await.unwrap();
            log.save_committed(Some(id(6))).await.unwrap();
        }
        let store = Store::open(directory.path(), &StoreOptions::default()).unwrap();
        let mut log = store.log();
        let mut reader = log.get_log_reader().await;
        assert_eq!(reader.read_vote().await.unwrap(), Some(vote));
        assert_eq!(log.read_committed().await.unwrap(), Some(id(6)));
        let state = log.get_log_state().await.unwrap();
        assert_eq!(
            (state.last_purged_log_id, state.last_log_id),
            (Some(id(3)), Some(id(7)))
        );
        let kept = reader.try_get_log_entries(..).await.unwrap();
        assert_eq!(
            kept.iter().map(|entry| entry.log_id().index).collect::<Vec<_>>(),
            [4, 5, 6, 7]
        );
    }

    #[tokio::test]
    async fn a_gap_or_damage_is_an_error_not_a_short_answer() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(directory.path(), &StoreOptions::default()).unwrap();
        let mut log = store.log();
        log.blocking_append([entry(0), entry(1), entry(3)]).await.unwrap();
        let mut reader = log.get_log_reader().await;
        assert!(reader.try_get_log_entries(0..4).await.is_err(), "a gap");
        assert_eq!(reader.try_get_log_entries(0..2).await.unwrap().len(), 2);
        log.database
            .0
            .put_cf(log.database.family(LOG).unwrap(), log_key(1), b"\x01garbage")
            .unwrap();
        assert!(reader.try_get_log_entries(0..2).await.is_err(), "damage");
        log.blocking_append((10..20).map(entry)).await.unwrap();
        assert_eq!(reader.limited_get_log_entries(10, 20).await.unwrap().len(), 10);
    }
}

//! Raft's log and vote.

use super::backend::{Batch, Database};
use super::keys::{Family, StateKey, log_index, log_key};
use super::log_reader::LogReader;
use crate::raft::codec;
use crate::raft::types::{Entry, LogId, TypeConfig, Vote};
use openraft::entry::RaftEntry;
use openraft::storage::{IOFlushed, LogState, RaftLogStorage};
use std::io;

/// Raft's log. Writes reach the backend in call order; see the module's rule on syncs.
pub(crate) struct LogStore {
    database: Database,
}

impl LogStore {
    pub(super) fn new(database: Database) -> Self {
        Self { database }
    }
}

impl RaftLogStorage<TypeConfig> for LogStore {
    type LogReader = LogReader;

    async fn get_log_state(&mut self) -> io::Result<LogState<TypeConfig>> {
        let last_purged_log_id: Option<LogId> = self.database.state(StateKey::Purged)?;
        let last_log_id = match self.database.last(Family::Log)? {
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
        self.database
            .put(Family::State, StateKey::Vote.bytes(), codec::encode(vote)?)?;
        self.database.sync().await
    }

    /// Not synced: losing it costs a replay after the next leader contact, nothing else.
    async fn save_committed(&mut self, committed: Option<LogId>) -> io::Result<()> {
        let key = StateKey::Committed.bytes();
        match committed {
            Some(id) => self.database.put(Family::State, key, codec::encode(&id)?),
            None => self.database.delete(Family::State, key),
        }
    }

    async fn read_committed(&mut self) -> io::Result<Option<LogId>> {
        self.database.state(StateKey::Committed)
    }

    /// Readable when it returns; `callback` completes after the sync.
    async fn append<I>(&mut self, entries: I, callback: IOFlushed<TypeConfig>) -> io::Result<()>
    where
        I: IntoIterator<Item = Entry> + Send,
        I::IntoIter: Send,
    {
        let mut batch = Batch::default();
        for entry in entries {
            let key = log_key(entry.log_id().index);
            batch.put(Family::Log, key, codec::encode(&entry)?);
        }
        self.database.write(batch)?;
        self.database.after_sync(callback);
        Ok(())
    }

    /// Durable when it returns: an entry that was cut off must not come back after a crash.
    async fn truncate_after(&mut self, last_log_id: Option<LogId>) -> io::Result<()> {
        let from = last_log_id.map_or(0, |id| id.index + 1);
        let last = self.database.last(Family::Log)?;
        let Some(last) = last.and_then(|(key, _)| log_index(&key)) else {
            return Ok(());
        };
        if last < from {
            return Ok(());
        }
        let mut batch = Batch::default();
        batch.delete_range(Family::Log, log_key(from), log_key(last + 1));
        self.database.write(batch)?;
        self.database.sync().await
    }

    /// Not synced: a crash brings back entries below the snapshot, which are purged again.
    async fn purge(&mut self, log_id: LogId) -> io::Result<()> {
        // From the last purged index, not from 0: a range that covers older tombstones is a scan over all of them.
        let from = self
            .database
            .state::<LogId>(StateKey::Purged)?
            .map_or(0, |id| id.index + 1);
        if log_id.index < from {
            return Ok(());
        }
        let mut batch = Batch::default();
        batch.put(Family::State, StateKey::Purged.bytes(), codec::encode(&log_id)?);
        batch.delete_range(Family::Log, log_key(from), log_key(log_id.index + 1));
        self.database.write(batch)
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
        let before = log.database.syncs().load(Ordering::Relaxed);
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
        let syncs = log.database.syncs().load(Ordering::Relaxed) - before;
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
            .put(Family::Log, log_key(1), b"\x01garbage".as_slice())
            .unwrap();
        assert!(reader.try_get_log_entries(0..2).await.is_err(), "damage");
        log.blocking_append((10..20).map(entry)).await.unwrap();
        assert_eq!(reader.limited_get_log_entries(10, 20).await.unwrap().len(), 10);
    }
}

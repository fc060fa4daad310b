//! A simulated disk: what was written is readable at once and survives a crash only when it was synced. No threads.

use super::backend::{Backend, Batch, Change, Pair, SeePair, SeeValue};
use super::flusher::{Waiter, complete};
use super::keys::{Family, StateKey, log_key};
use super::marker::LIFTED;
use crate::raft::codec;
use crate::raft::types::{Entry, LogId, TypeConfig};
use bytes::Bytes;
use futures::FutureExt;
use futures::future::BoxFuture;
use openraft::entry::RaftEntry;
use openraft::storage::IOFlushed;
use std::collections::BTreeMap;
use std::io;
use std::ops::{Bound, ControlFlow};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};

type Table = BTreeMap<Box<[u8]>, Bytes>;

/// What a disk may do wrong, to show that somebody notices.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Flaw {
    /// Nothing.
    #[default]
    None,
    /// A crash takes the vote.
    ForgetsVote,
    /// Says that a write is durable when it is not.
    LiesAboutSyncs,
    /// A new disk says that its voter has forgotten nothing.
    HidesLoss,
}

#[derive(Clone, Debug, Default)]
struct Tables([Table; 3]);

impl Tables {
    fn of(&self, family: Family) -> &Table {
        &self.0[family as usize]
    }

    fn apply(&mut self, batch: &Batch) {
        for change in &batch.0 {
            match change {
                Change::Put(family, key, value) => {
                    self.0[*family as usize].insert(key.clone(), value.clone());
                }
                Change::Delete(family, key) => {
                    self.0[*family as usize].remove(key);
                }
                Change::DeleteRange(family, from, below) => {
                    self.0[*family as usize].retain(|key, _| key < from || key >= below);
                }
            }
        }
    }
}

#[derive(Debug, Default)]
struct Disk {
    /// What a crash leaves.
    durable: Tables,
    /// What is read: the durable and what was written since.
    live: Tables,
    pending: Vec<Batch>,
    /// What the disk before this one had when it was lost.
    former: Tables,
    /// Grows with every crash: who opened the disk before it is cut off.
    life: u64,
    flaw: Flaw,
}

/// The disk itself; it outlives whoever opens it.
#[derive(Clone, Debug, Default)]
pub(crate) struct MemoryDisk(Arc<Mutex<Disk>>);

impl MemoryDisk {
    pub(crate) fn with_flaw(flaw: Flaw) -> Self {
        let disk = Self::default();
        disk.lock().flaw = flaw;
        disk
    }

    fn lock(&self) -> MutexGuard<'_, Disk> {
        self.0.lock().unwrap()
    }

    /// Opens it; must be called in a runtime. `pace` gives how long the next sync takes.
    pub(crate) fn open(&self, pace: impl FnMut() -> Duration + Send + 'static) -> MemoryBackend {
        let (waiters, receiver) = mpsc::unbounded_channel();
        let syncs = Arc::new(AtomicU64::new(0));
        let backend = MemoryBackend {
            disk: self.clone(),
            life: self.lock().life,
            waiters,
            syncs: Arc::clone(&syncs),
        };
        tokio::spawn(flush(self.clone(), backend.life, receiver, syncs, pace));
        backend
    }

    /// How many writes a crash may take.
    pub(crate) fn unsynced(&self) -> usize {
        self.lock().pending.len()
    }

    /// Power is lost: of the unsynced writes the first `kept` survive. Who has the disk open is cut off.
    pub(crate) fn crash(&self, kept: usize) {
        let mut disk = self.lock();
        let flaw = disk.flaw;
        let pending = std::mem::take(&mut disk.pending);
        for batch in pending.iter().take(kept) {
            disk.durable.apply(batch);
        }
        if flaw == Flaw::ForgetsVote {
            disk.durable.0[Family::State as usize].remove(StateKey::Vote.bytes().as_slice());
        }
        disk.live = disk.durable.clone();
        disk.life += 1;
    }

    /// The disk is replaced by a new one.
    pub(crate) fn wipe(&self) {
        let mut disk = self.lock();
        *disk = Disk {
            former: std::mem::take(&mut disk.durable),
            life: disk.life + 1,
            flaw: disk.flaw,
            ..Disk::default()
        };
        if disk.flaw == Flaw::HidesLoss {
            let mut lifted = Batch::default();
            lifted.put(Family::State, StateKey::Joining.bytes(), vec![LIFTED]);
            disk.live.apply(&lifted);
            disk.durable.apply(&lifted);
        }
    }

    /// The entry with this index as a running node reads it; `None` when it was purged or never there.
    pub(crate) fn entry(&self, index: u64) -> Option<Entry> {
        let disk = self.lock();
        let value = disk.live.of(Family::Log).get(log_key(index).as_slice())?;
        Some(codec::decode(value).unwrap())
    }

    /// Whether a crash now would leave this entry, or a snapshot in its place; or the disk before this one had it.
    pub(crate) fn is_durable(&self, id: LogId) -> bool {
        let disk = self.lock();
        [&disk.durable, &disk.former].into_iter().any(|tables| {
            let entry = tables.of(Family::Log).get(log_key(id.index).as_slice());
            let has = entry.is_some_and(|value| codec::decode::<Entry>(value).unwrap().log_id() == id);
            let purged = tables.of(Family::State).get(StateKey::Purged.bytes().as_slice());
            has || purged.is_some_and(|value| codec::decode::<LogId>(value).unwrap().index >= id.index)
        })
    }

    fn sync(&self, life: u64, count: usize) -> io::Result<()> {
        let mut disk = self.lock();
        if disk.life != life {
            return Err(cut_off());
        }
        let synced: Vec<_> = disk.pending.drain(..count).collect();
        for batch in &synced {
            disk.durable.apply(batch);
        }
        Ok(())
    }
}

fn cut_off() -> io::Error {
    io::Error::other("the disk has lost power")
}

/// Syncs for everybody who waits, one sync at a time, as the flusher of RocksDB does.
async fn flush(
    disk: MemoryDisk,
    life: u64,
    mut waiters: mpsc::UnboundedReceiver<Waiter>,
    syncs: Arc<AtomicU64>,
    mut pace: impl FnMut() -> Duration,
) {
    while let Some(first) = waiters.recv().await {
        let mut group = vec![first];
        while let Ok(next) = waiters.try_recv() {
            group.push(next);
        }
        let (count, lies) = {
            let disk = disk.lock();
            (disk.pending.len(), disk.flaw == Flaw::LiesAboutSyncs)
        };
        let time = pace();
        if !lies {
            tokio::time::sleep(time).await;
        }
        syncs.fetch_add(1, Ordering::Relaxed);
        let synced = if lies { Ok(()) } else { disk.sync(life, count) };
        for waiter in group {
            let result = synced.as_ref().copied().map_err(|_| cut_off());
            complete(waiter, result);
        }
    }
}

/// The disk in the hands of one node, until it crashes.
pub(crate) struct MemoryBackend {
    disk: MemoryDisk,
    life: u64,
    waiters: mpsc::UnboundedSender<Waiter>,
    syncs: Arc<AtomicU64>,
}

impl MemoryBackend {
    fn disk(&self) -> io::Result<MutexGuard<'_, Disk>> {
        let disk = self.disk.lock();
        if disk.life == self.life {
            Ok(disk)
        } else {
            Err(cut_off())
        }
    }
}

impl Backend for MemoryBackend {
    fn get(&self, family: Family, key: &[u8], see: &mut SeeValue<'_>) -> io::Result<bool> {
        let value = self.disk()?.live.of(family).get(key).cloned();
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
        let disk = self.disk()?;
        let below = below.map_or(Bound::Unbounded, Bound::Excluded);
        for (key, value) in disk
            .live
            .of(family)
            .range::<[u8], _>((Bound::Included(from), below))
        {
            if see(key, value)? == ControlFlow::Break(()) {
                break;
            }
        }
        Ok(())
    }

    fn last(&self, family: Family) -> io::Result<Option<Pair>> {
        let disk = self.disk()?;
        let last = disk.live.of(family).last_key_value();
        Ok(last.map(|(key, value)| (key.clone(), value.as_ref().into())))
    }

    fn write(&self, batch: Batch) -> io::Result<()> {
        let mut disk = self.disk()?;
        disk.live.apply(&batch);
        disk.pending.push(batch);
        Ok(())
    }

    fn after_sync(&self, callback: IOFlushed<TypeConfig>) {
        if let Err(unsent) = self.waiters.send(Waiter::Append(callback)) {
            complete(unsent.0, Err(cut_off()));
        }
    }

    fn sync(&self) -> BoxFuture<'_, io::Result<()>> {
        let (sender, receiver) = oneshot::channel();
        // A flusher that is gone drops the sender.
        let _ = self.waiters.send(Waiter::Write(sender));
        receiver
            .map(|synced| synced.unwrap_or_else(|_| Err(cut_off())))
            .boxed()
    }

    fn syncs(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.syncs)
    }

    fn is_slow(&self) -> bool {
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::raft::types::Vote;
    use crate::store::Store;
    use openraft::storage::{RaftLogReader, RaftLogStorage};

    #[tokio::test(start_paused = true)]
    async fn a_crash_takes_what_was_not_synced_and_cuts_off_who_had_the_disk() {
        let disk = MemoryDisk::default();
        let open = || Store::in_memory(disk.open(|| Duration::from_millis(1)));
        let store = open();
        let mut log = store.log();
        log.save_vote(&Vote::new(3, 1)).await.unwrap();
        let id = LogId::new(
            <openraft::alias::CommittedLeaderIdOf<TypeConfig> as openraft::vote::RaftLeaderId>::new(1, 1),
            4,
        );
        log.save_committed(Some(id)).await.unwrap();
        assert_eq!(log.read_committed().await.unwrap(), Some(id));
        assert_eq!(disk.unsynced(), 1);
        disk.crash(0);
        assert!(log.save_vote(&Vote::new(4, 1)).await.is_err());
        let mut log = open().log();
        assert_eq!(log.read_committed().await.unwrap(), None);
        let mut reader = log.get_log_reader().await;
        assert_eq!(reader.read_vote().await.unwrap(), Some(Vote::new(3, 1)));
        disk.wipe();
        let mut reader = open().log().get_log_reader().await;
        assert_eq!(reader.read_vote().await.unwrap(), None);
    }
}

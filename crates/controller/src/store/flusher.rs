//! Group commit: one thread syncs the WAL for everybody who waits, one sync at a time.
//!
//! Whoever wrote before it asked is covered by the next sync that begins: while one sync runs, the next group gathers.

use super::rocks::io_error;
use crate::raft::types::TypeConfig;
use openraft::storage::IOFlushed;
use rocksdb::DB;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;
use tokio::sync::oneshot;

/// Somebody who waits for a sync.
pub(super) enum Waiter {
    Append(IOFlushed<TypeConfig>),
    Write(oneshot::Sender<io::Result<()>>),
    Stop,
}

/// Where to ask for a sync.
#[derive(Clone)]
pub(super) struct FlushHandle {
    waiters: Sender<Waiter>,
    syncs: Arc<AtomicU64>,
}

/// The thread.
pub(super) struct Flusher {
    handle: FlushHandle,
    thread: Option<JoinHandle<()>>,
}

impl Flusher {
    pub(super) fn start(database: Arc<DB>, sync: bool) -> io::Result<Self> {
        let (waiters, receiver) = channel();
        let syncs = Arc::new(AtomicU64::new(0));
        let handle = FlushHandle {
            waiters,
            syncs: Arc::clone(&syncs),
        };
        let thread = std::thread::Builder::new()
            .name("metadata-flush".to_owned())
            .spawn(move || run(&database, &receiver, &syncs, sync))?;
        Ok(Self {
            handle,
            thread: Some(thread),
        })
    }

    pub(super) fn handle(&self) -> FlushHandle {
        self.handle.clone()
    }

    /// Syncs for everybody who waits and ends the thread; later calls fail. Blocking.
    pub(super) fn stop(&mut self) {
        // An error means that the thread has ended already.
        let _ = self.handle.waiters.send(Waiter::Stop);
        if self.thread.take().is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the metadata flusher panicked");
        }
    }
}

impl FlushHandle {
    /// Completes `callback` once everything written before this call is on disk.
    pub(super) fn after_sync(&self, callback: IOFlushed<TypeConfig>) {
        if let Err(unsent) = self.waiters.send(Waiter::Append(callback)) {
            complete(
                unsent.0,
                Err(io::Error::other("the metadata flusher has stopped")),
            );
        }
    }

    /// How many syncs there were; goes on counting.
    pub(super) fn syncs(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.syncs)
    }

    /// Returns once everything written before this call is on disk.
    ///
    /// # Errors
    /// The sync failed, or the flusher is gone: nothing can be promised any more.
    pub(super) async fn sync(&self) -> io::Result<()> {
        let (sender, receiver) = oneshot::channel();
        let gone = || io::Error::other("the metadata flusher has stopped");
        self.waiters.send(Waiter::Write(sender)).map_err(|_| gone())?;
        receiver.await.map_err(|_| gone())?
    }
}

fn run(database: &DB, receiver: &Receiver<Waiter>, syncs: &AtomicU64, sync: bool) {
    let mut group = Vec::new();
    while let Ok(first) = receiver.recv() {
        group.push(first);
        group.extend(receiver.try_iter());
        syncs.fetch_add(1, Ordering::Relaxed);
        let result = if sync {
            database.flush_wal(true).map_err(io_error)
        } else {
            Ok(())
        };
        if let Err(error) = &result {
            tracing::error!(%error, "the metadata log cannot be synced");
        }
        let stop = group.iter().any(|waiter| matches!(waiter, Waiter::Stop));
        for waiter in group.drain(..) {
            complete(
                waiter,
                result
                    .as_ref()
                    .copied()
                    .map_err(|error| io::Error::other(error.to_string())),
            );
        }
        if stop {
            return;
        }
    }
}

pub(super) fn complete(waiter: Waiter, result: io::Result<()>) {
    match waiter {
        Waiter::Append(callback) => callback.io_completed(result),
        // The receiver may have given up (shutdown): nobody to tell.
        Waiter::Write(sender) => drop(sender.send(result)),
        Waiter::Stop => {}
    }
}

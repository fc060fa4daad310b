//! Group commit: one flusher thread per (log directory, data thread), at most one group in flight each.
//!
//! ```text
//! append ─► queue(dir, partition) ─► [flusher idle?] submit: one ticket per dirty partition ─► fdatasync each
//!                                                                                              │
//! advertised offsets move ◄── on_flushed ◄─────────────── one control message ◄────────────────┘
//! ```
//!
//! What becomes dirty meanwhile is the next group, so the batch window is the duration of the previous flush. A failed
//! flush is never retried: the kernel may have dropped the pages, so the directory goes offline.

use super::flush_stall::FlushWatch;
use super::id::ShardId;
use super::log_dirs::LogDirs;
use super::mailbox::Mailboxes;
use super::state::Shard;
use super::storage_error::{Consequence, consequence, flush_later};
use milena_log::{FlushTicket, is_no_space, is_shortage};
use milena_types::TopicIdPartition;
use std::sync::mpsc;
use std::time::{Duration, Instant};

/// A group that takes longer is reported in parts, so that its first files do not wait for its last.
const REPORT_INTERVAL: Duration = Duration::from_millis(2);

/// One partition's part of a group.
type Job = (TopicIdPartition, FlushTicket);

/// What became of it.
struct Synced {
    id: TopicIdPartition,
    ticket: FlushTicket,
    /// There was no space to write what goes before the flush, or a file could not be opened: nothing is lost, and it is made
    /// later.
    postponed: Option<std::io::Error>,
}

/// What waits for the flushers of one data thread.
pub(crate) struct FlushQueue {
    dirs: Vec<DirQueue>,
}

struct DirQueue {
    dirty: Vec<TopicIdPartition>,
    in_flight: bool,
    watch: FlushWatch,
    /// `None` once the flusher has stopped.
    jobs: Option<mpsc::SyncSender<Vec<Job>>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl FlushQueue {
    /// Starts one flusher thread per log directory.
    pub(super) fn start(shard: ShardId, dirs: &LogDirs, mailboxes: &Mailboxes) -> Self {
        let start = |dir: usize| {
            // One group in flight, so one slot is enough and sending never blocks.
            let (sender, receiver) = mpsc::sync_channel(1);
            let mailboxes = mailboxes.clone();
            let thread = std::thread::Builder::new()
                .name(format!("flush-{dir}-{}", shard.0))
                .spawn(move || run(shard, dir, &receiver, &mailboxes));
            let jobs = thread.is_ok().then_some(sender);
            DirQueue {
                dirty: Vec::new(),
                in_flight: false,
                watch: FlushWatch::default(),
                jobs,
                thread: thread.ok(),
            }
        };
        Self {
            dirs: (0..dirs.count()).map(start).collect(),
        }
    }

    /// The partition has appends that are not on disk.
    pub(super) fn queue(&mut self, dir: usize, id: TopicIdPartition) {
        if let Some(queue) = self.dirs.get_mut(dir) {
            queue.dirty.push(id);
        }
    }

    /// The partition lies in another directory now.
    pub(super) fn forget(&mut self, dir: usize, id: TopicIdPartition) {
        if let Some(queue) = self.dirs.get_mut(dir) {
            queue.dirty.retain(|dirty| *dirty != id);
        }
    }

    /// How the directory's flush in flight is.
    pub(super) fn watch(&mut self, dir: usize) -> Option<&mut FlushWatch> {
        self.dirs.get_mut(dir).map(|queue| &mut queue.watch)
    }

    /// True while a flush of the directory does not come back.
    pub(super) fn is_stalled(&self, dir: usize) -> bool {
        self.dirs.get(dir).is_some_and(|queue| queue.watch.is_stalled())
    }

    /// True when a group can be submitted.
    pub(super) fn is_due(&self) -> bool {
        self.dirs
            .iter()
            .any(|queue| !queue.in_flight && !queue.dirty.is_empty())
    }

    /// Ends the flusher threads when their last group is done.
    pub(super) fn stop(&mut self) {
        for queue in &mut self.dirs {
            queue.jobs = None;
            if let Some(thread) = queue.thread.take()
                && thread.join().is_err()
            {
                tracing::error!("a flusher thread panicked");
            }
        }
    }
}

fn run(shard: ShardId, dir: usize, receiver: &mpsc::Receiver<Vec<Job>>, mailboxes: &Mailboxes) {
    while let Ok(group) = receiver.recv() {
        let mut jobs = group.into_iter().peekable();
        while jobs.peek().is_some() {
            let (part, result) = sync_part(&mut jobs);
            let last = jobs.peek().is_none() || result.is_err();
            let failed = result.is_err();
            if !mailboxes.run_control(shard, move |shard| shard.on_flushed(dir, &part, result, last))
                || failed
            {
                return;
            }
        }
    }
}

/// Syncs tickets until all are done or those that are should wait no longer.
fn sync_part(jobs: &mut impl Iterator<Item = Job>) -> (Vec<Synced>, std::io::Result<()>) {
    let began = Instant::now();
    let mut part = Vec::new();
    for (id, ticket) in jobs {
        let (postponed, result) = match ticket.sync() {
            // The error of a flush itself is never of this kind: see `milena_log::env`.
            Err(error) if is_no_space(&error) || is_shortage(&error) => (Some(error), Ok(())),
            synced => (None, synced),
        };
        part.push(Synced {
            id,
            ticket,
            postponed,
        });
        if result.is_err() || began.elapsed() >= REPORT_INTERVAL {
            return (part, result);
        }
    }
    (part, Ok(()))
}

impl Shard {
    /// Hands every idle flusher the partitions that are dirty by now.
    pub(super) fn submit_flushes(&mut self) {
        for dir in 0..self.cx.flush.dirs.len() {
            let Some(queue) = self.cx.flush.dirs.get_mut(dir) else {
                continue;
            };
            if queue.in_flight || queue.dirty.is_empty() {
                continue;
            }
            let (mut group, mut failed) = (Vec::with_capacity(queue.dirty.len()), false);
            for id in queue.dirty.drain(..) {
                let Some(partition) = self.partitions.get_mut(&id) else {
                    continue;
                };
                partition.flush_queued = false;
                if partition.holds_flushes() {
                    continue;
                }
                match partition.log.take_flush() {
                    Ok(Some(ticket)) => {
                        partition.flush_tickets += 1;
                        group.push((id, ticket));
                    }
                    Ok(None) => {}
                    Err(error) => match consequence(&error, false) {
                        Consequence::Full => self.cx.dirs_full.push(dir),
                        Consequence::TryAgain | Consequence::Reopen(_) => {
                            self.cx.shortages.note(&partition.name, &error);
                            flush_later(id);
                        }
                        Consequence::Offline => {
                            let error: &dyn std::error::Error = &error;
                            tracing::error!(partition = %partition.name, error, "cannot flush");
                            failed = true;
                        }
                    },
                }
            }
            if failed {
                self.cx.dirs_failed.push(dir);
            } else if !group.is_empty() {
                queue.in_flight = queue.jobs.as_ref().is_some_and(|jobs| jobs.send(group).is_ok());
                queue.watch.begin(Instant::now());
            }
        }
    }

    /// `flush.ms` has passed since an append.
    pub(super) fn flush_now(&mut self, id: TopicIdPartition) {
        if let Ok((partition, cx)) = self.partition(id) {
            partition.flush_timed = false;
            partition.queue_flush(cx);
        }
    }

    /// A part of a group is on disk, or is not; `last`: the flusher is idle again.
    fn on_flushed(&mut self, dir: usize, group: &[Synced], result: std::io::Result<()>, last: bool) {
        if let Some(queue) = self.cx.flush.dirs.get_mut(dir) {
            queue.in_flight = !last;
            if last {
                queue.watch.end();
            } else {
                queue.watch.begin(Instant::now());
            }
        }
        if let Err(error) = result {
            let error: &dyn std::error::Error = &error;
            tracing::error!(dir, error, "flush failed; the directory is not used any more");
            self.cx.dirs_failed.push(dir);
            return;
        }
        let now = Instant::now();
        for Synced {
            id,
            ticket,
            postponed,
        } in group
        {
            let Some(partition) = self.partitions.get_mut(id) else {
                continue;
            };
            // Else it is of the log that was open under this name before, in this directory or another one: what it says of
            // offsets is not about this one.
            if partition.dir != dir {
                continue;
            }
            let Some(left) = partition.flush_tickets.checked_sub(1) else {
                continue;
            };
            partition.flush_tickets = left;
            if let Some(error) = postponed {
                partition.log.on_flush_postponed();
                if is_no_space(error) {
                    tracing::warn!(partition = %partition.name, "no space for the epoch file: the flush has to wait");
                    self.cx.dirs_full.push(dir);
                } else {
                    self.cx.shortages.note(&partition.name, error);
                    flush_later(*id);
                }
            } else {
                partition.log.on_flushed(ticket);
                partition.on_advertised(&mut self.cx);
                self.note_open_log(*id, now);
            }
        }
        self.close_surplus_logs();
    }
}

//! Opening logs off the data threads: what has to be read or recovered takes as long as it takes, and nothing else waits
//! for it.
//!
//! Each log directory has at most `num.recovery.threads.per.data.dir` threads, which exist while logs wait to be opened.
//! Only the holder of a name asks for its log: see `name_claims`.

use milena_log::{CorruptionPolicy, OpenError, OpenReport};
use milena_types::{TopicIdPartition, TopicPartition};
use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::watch;

/// Opens one log and hands it to its owner. Blocks.
pub(crate) type Job = Box<dyn FnOnce() + Send>;

/// The logs that are being opened.
pub(crate) struct Openings {
    threads_max: usize,
    state: Mutex<State>,
    /// How many logs have no owner yet.
    pending: watch::Sender<usize>,
}

#[derive(Default)]
struct State {
    dirs: HashMap<usize, DirQueue>,
    stopped: bool,
}

#[derive(Default)]
struct DirQueue {
    jobs: VecDeque<Job>,
    threads: usize,
}

impl Openings {
    /// At most so many threads for each directory.
    pub(crate) fn new(threads_max: usize) -> Arc<Self> {
        Arc::new(Self {
            threads_max: threads_max.max(1),
            state: Mutex::default(),
            pending: watch::Sender::new(0),
        })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // No job runs under the lock.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs `job` on a thread of directory number `dir`. Its owner calls [`Openings::finished`] once it has the log.
    pub(crate) fn submit(self: &Arc<Self>, dir: usize, job: Job) {
        self.pending.send_modify(|pending| *pending += 1);
        let mut state = self.lock();
        self.queue(&mut state, dir, job);
    }

    /// A log has its owner, or cannot be opened.
    pub(crate) fn finished(&self) {
        self.pending
            .send_modify(|pending| *pending = pending.saturating_sub(1));
    }

    fn queue(self: &Arc<Self>, state: &mut State, dir: usize, job: Job) {
        if state.stopped {
            return;
        }
        let queue = state.dirs.entry(dir).or_default();
        queue.jobs.push_back(job);
        if queue.threads < self.threads_max {
            let openings = Arc::clone(self);
            let thread = std::thread::Builder::new()
                .name(format!("open-{dir}-{}", queue.threads))
                .spawn(move || openings.work(dir));
            match thread {
                Ok(_) => queue.threads += 1,
                Err(error) if queue.threads > 0 => tracing::warn!(%error, "fewer threads open logs"),
                Err(error) => {
                    tracing::error!(%error, "no thread to open logs with; the next one tries again")
                }
            }
        }
    }

    /// The life of a thread: until nothing waits.
    fn work(&self, dir: usize) {
        loop {
            let job = {
                let mut state = self.lock();
                let Some(queue) = state.dirs.get_mut(&dir) else {
                    return;
                };
                let Some(job) = queue.jobs.pop_front() else {
                    queue.threads -= 1;
                    return;
                };
                job
            };
            job();
        }
    }

    /// Opens nothing any more; what is being opened goes on. The logs that waited stay as they are on disk.
    pub(crate) fn stop(&self) {
        let mut state = self.lock();
        state.stopped = true;
        state.dirs.values_mut().for_each(|queue| queue.jobs.clear());
    }

    /// Waits until every log has its owner, at most `patience`. How many have none.
    pub(crate) async fn settled(&self, patience: Duration) -> usize {
        let mut pending = self.pending.subscribe();
        // The sender lives as long as `self`.
        let _ = tokio::time::timeout(patience, pending.wait_for(|pending| *pending == 0)).await;
        *self.pending.borrow()
    }
}

impl std::fmt::Debug for Openings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Openings")
            .field("pending", &*self.pending.borrow())
            .finish()
    }
}

/// True when what lies there is to be set aside, and the log begun anew: it is another topic's, or a file of it makes no sense and its
/// leader fills it in. Tells so.
pub(super) fn begins_anew(
    name: &TopicPartition,
    id: TopicIdPartition,
    corruption: CorruptionPolicy,
    error: &OpenError,
) -> bool {
    match error {
        OpenError::TopicIdMismatch { found, .. } => {
            tracing::warn!(partition = %name, %found, expected = %id.topic, "there is the log of another topic of the same name");
            true
        }
        OpenError::Log(malformed) if corruption == CorruptionPolicy::Truncate && malformed.is_malformed() => {
            let error: &dyn std::error::Error = error;
            tracing::warn!(partition = %name, error, "a file of the log makes no sense: the log is set aside, and its leader fills it in");
            true
        }
        _ => false,
    }
}

/// Tells what opening a log found, when there is something to tell.
pub(super) fn log_report(name: &TopicPartition, report: &OpenReport) {
    if report.lost_flushed {
        tracing::error!(partition = %name, ?report, "the log was damaged, and is cut there");
    } else if report.segments_scanned > 0 || report.cut.is_some() {
        tracing::info!(partition = %name, ?report, "recovered the log");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    const PATIENCE: Duration = Duration::from_secs(10);

    /// A job that says when it begins, and ends when it is told.
    fn job(begun: &mpsc::Sender<i32>, id: i32) -> (Job, mpsc::Sender<()>) {
        let (end, ended) = mpsc::channel::<()>();
        let begun = begun.clone();
        let job = move || {
            begun.send(id).unwrap();
            let _ = ended.recv();
        };
        (Box::new(job), end)
    }

    #[tokio::test]
    async fn a_long_one_holds_up_neither_the_others_nor_another_directory() {
        let openings = Openings::new(2);
        let (begun, begins) = mpsc::channel();
        let mut ends = Vec::new();
        for (id, dir) in [(1, 0), (2, 0), (3, 0), (4, 1)] {
            let (job, end) = job(&begun, id);
            openings.submit(dir, job);
            ends.push(end);
        }
        let mut first: Vec<i32> = (0..3).map(|_| begins.recv_timeout(PATIENCE).unwrap()).collect();
        first.sort_unstable();
        assert_eq!(first, [1, 2, 4], "two threads for each directory");
        assert_eq!(openings.settled(Duration::ZERO).await, 4);
        // The first goes on for ever.
        drop(ends.remove(1));
        openings.finished();
        assert_eq!(begins.recv_timeout(PATIENCE).unwrap(), 3);
        ends.clear();
        (0..3).for_each(|_| openings.finished());
        assert_eq!(openings.settled(PATIENCE).await, 0);
    }
}

//! The threads: choose, compact, and pause when nothing is due.

use super::choose::{Candidate, choose};
use super::owner::Over;
use super::pace::Pacer;
use super::settings::effective;
use crate::config::{CleanerConfig, LogWorkConfig};
use crate::shard::id::ShardId;
use crate::shard::mailbox::Mailboxes;
use crate::shard::state::Shard;
use milena_log::compaction::{CompactionError, CompactionJob, GroupDone, OffsetMap};
use milena_types::TopicIdPartition;
use std::sync::mpsc;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

/// Logs that a data thread looks at before it turns to other work.
const CANDIDATES_CHUNK: usize = 64;

/// What the threads share.
struct Shared {
    mailboxes: Mailboxes,
    pacer: Pacer,
    /// Held while a log is chosen, so that two threads do not choose the same. The flag: stop.
    choosing: Mutex<()>,
    stopped: Mutex<bool>,
    wake: Condvar,
}

/// The running cleaner threads.
pub(in crate::shard) struct Cleaners {
    shared: Arc<Shared>,
    threads: Vec<std::thread::JoinHandle<()>>,
}

impl Cleaners {
    /// Starts `log.cleaner.threads` threads.
    ///
    /// # Errors
    /// A thread could not be made.
    pub(in crate::shard) fn start(work: &LogWorkConfig, mailboxes: &Mailboxes) -> std::io::Result<Self> {
        let config = work.cleaner.clone();
        let count = if config.enable { config.threads } else { 0 };
        let shared = Arc::new(Shared {
            pacer: Pacer::new(config.io_bytes_per_second),
            mailboxes: mailboxes.clone(),
            choosing: Mutex::default(),
            stopped: Mutex::default(),
            wake: Condvar::new(),
        });
        let mut threads = Vec::with_capacity(count);
        for number in 0..count {
            let shared = Arc::clone(&shared);
            let thread = std::thread::Builder::new().name(format!("log-cleaner-{number}"));
            threads.push(thread.spawn(move || shared.run())?);
        }
        Ok(Self { shared, threads })
    }

    /// Tells the threads to stop; a compaction under way is abandoned.
    pub(in crate::shard) fn request_stop(&self) {
        self.shared.pacer.request_stop();
        *self.shared.stopped.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.shared.wake.notify_all();
    }

    /// Waits for the threads to end; [`Self::request_stop`] comes before.
    pub(in crate::shard) fn join(&mut self) {
        for thread in self.threads.drain(..) {
            if thread.join().is_err() {
                tracing::error!("a cleaner thread panicked");
            }
        }
    }
}

impl Drop for Cleaners {
    fn drop(&mut self) {
        self.request_stop();
    }
}

impl Shared {
    fn run(&self) {
        while !self.pacer.is_stopped() {
            let Some(config) = self.ask(ShardId(0), |shard| {
                let cleaner = &shard.cx.config.log_work.cleaner;
                effective(cleaner, &shard.cx.image, shard.cx.node)
            }) else {
                return;
            };
            self.pacer.set_rate(config.io_bytes_per_second);
            // After a failure the same log would be chosen again at once.
            if self.compact_one(&config) != Some(true) && self.pause(config.backoff) {
                return;
            }
        }
    }

    /// True when it is time to stop.
    fn pause(&self, pause: Duration) -> bool {
        let stopped = self.stopped.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.wake.wait_timeout_while(stopped, pause, |stopped| !*stopped);
        *waited.unwrap_or_else(PoisonError::into_inner).0
    }

    /// Compacts one log; `None` when none is due, false when it could not be finished.
    fn compact_one(&self, config: &CleanerConfig) -> Option<bool> {
        let (id, mut job) = self.begin_next()?;
        let began = std::time::Instant::now();
        let over = match self.compact(id, &mut job, config) {
            Ok(true) => {
                let stats = job.stats();
                tracing::info!(partition = %job.partition(), clean_upto = job.end_offset().0, keys = stats.keys, bytes_read = stats.bytes_read, bytes_before = stats.bytes_before, bytes_after = stats.bytes_after, milliseconds = began.elapsed().as_millis(), "compacted the log");
                Over::Clean(job.end_offset())
            }
            Ok(false) => {
                tracing::info!(partition = %job.partition(), "the compaction is put off: a replica came back that lacks some tombstones or markers");
                Over::Abandoned
            }
            Err(error) => why(&job, &error),
        };
        if over != Over::DiskFailed
            && let Err(error) = job.discard()
            && !matches!(error, CompactionError::Ended)
        {
            tracing::warn!(partition = %job.partition(), %error, "cannot remove what a compaction has written; done when the log is opened again");
        }
        let compaction = job.id();
        self.tell(id, move |shard| shard.compaction_over(id, compaction, over));
        Some(matches!(over, Over::Clean(_)))
    }

    fn begin_next(&self) -> Option<(TopicIdPartition, CompactionJob)> {
        let _choosing = self.choosing.lock().unwrap_or_else(PoisonError::into_inner);
        let mut candidates: Vec<Candidate> = Vec::new();
        for shard in self.mailboxes.shards() {
            let ids = self.ask(shard, |shard| shard.compacted_partitions())?;
            for chunk in ids.chunks(CANDIDATES_CHUNK) {
                let chunk = chunk.to_vec();
                candidates.extend(self.ask(shard, move |shard| shard.cleanable(&chunk))?);
            }
        }
        let id = choose(&candidates)?;
        let job = self.ask(self.mailboxes.owner_of(id), move |shard| {
            shard.begin_compaction(id)
        })??;
        Some((id, job))
    }

    /// False: some replica lacks what would be forgotten.
    fn compact(
        &self,
        id: TopicIdPartition,
        job: &mut CompactionJob,
        config: &CleanerConfig,
    ) -> Result<bool, CompactionError> {
        let bytes = config.dedupe_buffer_bytes / config.threads.max(1);
        let mut map = OffsetMap::new(bytes, config.load_factor);
        let mut pace = |bytes| self.pacer.take(bytes);
        job.build_map(&mut map, &mut pace)?;
        let (owner, compaction) = (self.mailboxes.owner_of(id), job.id());
        loop {
            match job.clean_group(&map, &mut pace)? {
                GroupDone::Last => break,
                GroupDone::Unchanged => {}
                GroupDone::Ready { deletes_below } => {
                    match self.ask(owner, move |shard| shard.may_commit(id, deletes_below)) {
                        Some(true) => job.commit()?,
                        Some(false) => return Ok(false),
                        None => return Err(CompactionError::Ended),
                    }
                    if self.ask(owner, move |shard| shard.swap_compacted(id, compaction)) != Some(true) {
                        return Err(CompactionError::Ended);
                    }
                    job.finish_swap()?;
                }
            }
        }
        job.write_mark()?;
        Ok(true)
    }

    /// Runs `work` on a data thread and waits for its answer; `None`: the thread has stopped.
    fn ask<R: Send + 'static>(
        &self,
        shard: ShardId,
        work: impl FnOnce(&mut Shard) -> R + Send + 'static,
    ) -> Option<R> {
        let (answer, answered) = mpsc::sync_channel(1);
        // Whoever asked may have stopped.
        let send = move |shard: &mut Shard| drop(answer.send(work(shard)));
        if !self.mailboxes.run_control(shard, send) {
            return None;
        }
        answered.recv().ok()
    }

    fn tell(&self, id: TopicIdPartition, work: impl FnOnce(&mut Shard) + Send + 'static) {
        // A data thread that has stopped has closed the log.
        let _ = self.mailboxes.run_control(self.mailboxes.owner_of(id), work);
    }
}

/// What an error means for the log, said once.
fn why(job: &CompactionJob, error: &CompactionError) -> Over {
    let partition = job.partition();
    let cause: &dyn std::error::Error = error;
    match error {
        CompactionError::Ended => {
            tracing::debug!(%partition, "the compaction was ended");
            Over::Abandoned
        }
        CompactionError::Corrupt { base, .. } => {
            tracing::error!(%partition, error = cause, "the log is damaged");
            Over::Corrupt(*base)
        }
        CompactionError::Unreadable { .. } => {
            tracing::error!(%partition, error = cause, "the log is not compacted any more");
            Over::Unreadable
        }
        CompactionError::Log(log) => {
            tracing::warn!(%partition, error = cause, out_of_space = log.is_no_space(), "cannot compact the log; tried again later");
            Over::Abandoned
        }
        CompactionError::Sync(_) => {
            tracing::error!(%partition, error = cause, "the disk does not take a compaction");
            Over::DiskFailed
        }
    }
}

//! One pass of a thread: choose, compact, say how it went.

use super::choose::{Candidate, choose};
use super::figures::{LastPass, Uncleanable};
use super::owner::Over;
use super::pool::Cleaner;
use crate::config::CleanerConfig;
use crate::shard::id::ShardId;
use crate::shard::state::Shard;
use milena_log::compaction::{CompactionError, CompactionJob, GroupDone, OffsetMap};
use milena_types::TopicIdPartition;
use std::sync::PoisonError;
use std::sync::mpsc;
use std::time::Instant;

/// Logs that a data thread looks at before it turns to other work.
const CANDIDATES_CHUNK: usize = 64;

impl Cleaner {
    /// Compacts one log; `None` when none is due, false when it could not be finished.
    pub(super) fn compact_one(&self, number: usize, config: &CleanerConfig) -> Option<bool> {
        let (id, mut job) = self.begin_next(number)?;
        let began = Instant::now();
        let mut map = OffsetMap::new(
            config.dedupe_buffer_bytes / config.threads.max(1),
            config.load_factor,
        );
        let over = match self.compact(number, id, &mut job, &mut map) {
            Ok(true) => {
                let (stats, took) = (job.stats(), began.elapsed());
                tracing::info!(partition = %job.partition(), clean_upto = job.end_offset().0, keys = stats.keys, bytes_read = stats.bytes_read, bytes_before = stats.bytes_before, bytes_after = stats.bytes_after, milliseconds = took.as_millis(), "compacted the log");
                let utilization = map.utilization();
                self.note(|figures| {
                    if let Some(thread) = figures.threads.get_mut(number) {
                        thread.last = LastPass {
                            utilization,
                            stats,
                            took,
                        };
                    }
                });
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
        if over == Over::Unreadable {
            self.look_at_uncleanable();
        }
        Some(matches!(over, Over::Clean(_)))
    }

    fn begin_next(&self, number: usize) -> Option<(TopicIdPartition, CompactionJob)> {
        let _choosing = self.choosing.lock().unwrap_or_else(PoisonError::into_inner);
        self.note(|figures| figures.last_run = Instant::now());
        let mut candidates: Vec<Candidate> = Vec::new();
        for shard in self.mailboxes.shards() {
            let ids = self.ask(shard, |shard| shard.compacted_partitions())?;
            for chunk in ids.chunks(CANDIDATES_CHUNK) {
                let chunk = chunk.to_vec();
                candidates.extend(self.ask(shard, move |shard| shard.cleanable(&chunk))?);
            }
        }
        self.note(|figures| figures.on_run(&candidates));
        self.look_at_uncleanable();
        let id = choose(&candidates)?;
        let delays = candidates.iter().map(|candidate| candidate.cleanable.delay_ms);
        let delay_ms = delays.max().unwrap_or_default();
        self.note(|figures| {
            if let Some(thread) = figures.threads.get_mut(number) {
                thread.delay_ms = delay_ms;
            }
        });
        let job = self.ask(self.mailboxes.owner_of(id), move |shard| {
            shard.begin_compaction(id)
        })??;
        Some((id, job))
    }

    /// Counts what cannot be compacted, for the metrics.
    fn look_at_uncleanable(&self) {
        let mut found: Vec<(usize, u64)> = Vec::new();
        for shard in self.mailboxes.shards() {
            // One that has stopped has none.
            found.extend(self.ask(shard, Shard::uncleanable).unwrap_or_default());
        }
        self.note(|figures| {
            figures.uncleanable.fill(Uncleanable::default());
            for (dir, bytes) in found {
                if let Some(sum) = figures.uncleanable.get_mut(dir) {
                    sum.partitions += 1;
                    sum.bytes += bytes;
                }
            }
        });
    }

    /// False: some replica lacks what would be forgotten.
    fn compact(
        &self,
        number: usize,
        id: TopicIdPartition,
        job: &mut CompactionJob,
        map: &mut OffsetMap,
    ) -> Result<bool, CompactionError> {
        let mut pace = |bytes| self.pacer.take(bytes, || self.is_over(number));
        job.build_map(map, &mut pace)?;
        let (owner, compaction) = (self.mailboxes.owner_of(id), job.id());
        loop {
            match job.clean_group(map, &mut pace)? {
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

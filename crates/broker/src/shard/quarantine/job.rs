//! One tail on its way into the quarantine, and what becomes of the log then.

use super::awaited::Awaited;
use super::{LossEvent, give_up, make_room, quarantine};
use crate::shard::context::{Context, wall_clock};
use crate::shard::link::LinkKey;
use crate::shard::mailbox::with_local;
use crate::shard::state::Shard;
use milena_log::quarantine::{Quarantine, Quarantined, TailWriter};
use milena_log::{LogError, ReadError, ReadPlan};
use milena_replication::Truncation;
use milena_types::Offset;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::spawn_blocking;

/// The pause before a tail that could not be kept is tried again; the log is not cut until then.
pub(in crate::shard) const RETRY_PAUSE: Duration = Duration::from_secs(30);
/// Bytes that are read and written at once.
const PIECE_BYTES: usize = 1 << 20;

/// A tail that is to be kept before it is cut.
#[derive(Clone, Debug)]
pub(in crate::shard) struct Job {
    /// Tells it from earlier and later ones.
    pub(in crate::shard) number: u64,
    /// The stream by which the leader said it, and by which the replica attaches again.
    pub(in crate::shard) key: LinkKey,
    pub(in crate::shard) dir: usize,
    pub(in crate::shard) truncation: Truncation,
    pub(in crate::shard) event: LossEvent,
}

/// Why a tail is not kept.
#[derive(Debug)]
enum NotKept {
    /// The replica has another role, or another log, or the broker stops.
    Outdated,
    Log(LogError),
    Read(ReadError),
    /// It is larger than the limit after all.
    TooLarge,
}

impl From<LogError> for NotKept {
    fn from(error: LogError) -> Self {
        Self::Log(error)
    }
}

impl Job {
    /// To its end.
    async fn run(self) {
        let found = with_local(|shard| {
            let gates = &shard.cx.background.gates;
            (gates.of(self.dir), gates.awaited())
        });
        let Some((gate, awaited)) = found else {
            return;
        };
        let result = {
            let _alone = gate.lock().await;
            self.set_aside(awaited).await
        };
        with_local(|shard| shard.on_set_aside(&self, result));
    }

    async fn set_aside(&self, awaited: Arc<Awaited>) -> Result<(Quarantine, Quarantined), NotKept> {
        let found = with_local(|shard| shard.begin_tail(self)).flatten();
        let (quarantine, bytes) = found.ok_or(NotKept::Outdated)??;
        let room = quarantine.clone();
        if !elsewhere(move || make_room(&room, bytes, &awaited)).await?? {
            return Err(NotKept::TooLarge);
        }
        let (begin, event) = (quarantine.clone(), self.event.clone());
        let mut tail = elsewhere(move || begin.begin(&event.name, event.id.topic)).await??;
        let mut at = self.event.loss.lost_from;
        loop {
            let plan = match with_local(|shard| shard.plan_tail(self, at)).flatten() {
                Some(Ok(Some(plan))) => plan,
                Some(Ok(None)) => break,
                Some(Err(error)) => return Err(abandon(Some(tail), NotKept::Read(error)).await),
                None => return Err(abandon(Some(tail), NotKept::Outdated).await),
            };
            match copy(tail, plan).await {
                (Some(same), Ok(next)) if next > at => (tail, at) = (same, next),
                (same, Ok(_)) => return Err(abandon(same, NotKept::Outdated).await),
                (same, Err(error)) => return Err(abandon(same, error).await),
            }
        }
        let event = self.event.clone();
        let finish = move || {
            let now = wall_clock();
            tail.finish(event.json(now).as_bytes(), now)
        };
        let kept = elsewhere(finish).await??;
        Ok((quarantine, kept))
    }
}

/// On a thread that may wait for the disk.
async fn elsewhere<R: Send + 'static>(work: impl FnOnce() -> R + Send + 'static) -> Result<R, NotKept> {
    spawn_blocking(work).await.map_err(|_| NotKept::Outdated)
}

/// One piece; gives where the next one begins.
async fn copy(mut tail: TailWriter, plan: ReadPlan) -> (Option<TailWriter>, Result<Offset, NotKept>) {
    let piece = move || {
        let copied = plan.run().map_err(NotKept::Read).and_then(|read| {
            if !read.records.is_empty() {
                tail.append(&read.records)?;
            }
            Ok(read.next_offset)
        });
        (Some(tail), copied)
    };
    elsewhere(piece).await.unwrap_or_else(|error| (None, Err(error)))
}

/// Gives the space back.
async fn abandon(tail: Option<TailWriter>, why: NotKept) -> NotKept {
    if let Some(tail) = tail {
        // Without it that is done at the next start.
        let _ = elsewhere(move || give_up(tail)).await;
    }
    why
}

impl Shard {
    /// The leader does not have what the truncation takes: it goes only when it is kept elsewhere, or cannot be.
    pub(in crate::shard) fn lose_tail(&mut self, key: LinkKey, truncation: Truncation, event: LossEvent) {
        let bytes_max = self.cx.config.replica.quarantine.bytes_max;
        let Ok((partition, cx)) = self.partition(event.id) else {
            return;
        };
        let bytes = match partition.log.bytes_from(event.loss.lost_from) {
            Ok(bytes) => bytes,
            Err(error) => {
                partition.storage_failed(cx, &error);
                self.attach_after(key, event.id, RETRY_PAUSE);
                return;
            }
        };
        if bytes > bytes_max {
            let why = format!("it has {bytes} bytes, and milena.quarantine.max.bytes is {bytes_max}");
            self.cut_unkept(key, truncation, &event, &why);
            return;
        }
        let (number, dir) = (cx.begin_quarantine(event.id), partition.dir);
        let job = Job {
            number,
            key,
            dir,
            truncation,
            event,
        };
        tokio::task::spawn_local(job.run());
    }

    fn cut_unkept(&mut self, key: LinkKey, truncation: Truncation, event: &LossEvent, why: &str) {
        let Ok((partition, cx)) = self.partition(event.id) else {
            return;
        };
        let cut = partition.truncate(cx, truncation, Some(&event.loss));
        if cut {
            event.tell_gone(why);
        }
        self.attach_after_cut(key, event.id, cut);
    }

    /// True while the log is as it was when the job began.
    fn is_current(&self, job: &Job) -> bool {
        let is_same = |partition: &crate::shard::partition::Partition| {
            partition.dir == job.dir && partition.log.log_end_offset() == job.event.loss.lost_to
        };
        self.cx.quarantining.get(&job.event.id) == Some(&job.number)
            && self
                .partitions
                .get(&job.event.id)
                .is_some_and(|partition| is_same(partition))
    }

    /// The quarantine, and bytes of the tail.
    fn begin_tail(&mut self, job: &Job) -> Option<Result<(Quarantine, u64), LogError>> {
        if !self.is_current(job) {
            return None;
        }
        let rules = self.cx.config.replica.quarantine;
        let quarantine = quarantine(&self.cx.dirs, job.dir, rules)?;
        let (partition, _) = self.partition(job.event.id).ok()?;
        let bytes = partition.log.bytes_from(job.event.loss.lost_from);
        Some(bytes.map(|bytes| (quarantine, bytes)))
    }

    /// The next piece; `None`: it is of no use any more.
    fn plan_tail(&mut self, job: &Job, at: Offset) -> Option<Result<Option<ReadPlan>, ReadError>> {
        if !self.is_current(job) {
            return None;
        }
        let (partition, _) = self.partition(job.event.id).ok()?;
        // Retention goes on.
        let at = at.max(partition.log.log_start_offset());
        Some(
            partition
                .log
                .plan_read(at, PIECE_BYTES, job.event.loss.lost_to, true),
        )
    }

    fn on_set_aside(&mut self, job: &Job, result: Result<(Quarantine, Quarantined), NotKept>) {
        let is_current = self.is_current(job);
        let is_newest = self.cx.end_quarantine(job.event.id, job.number);
        match result {
            Ok((quarantine, kept)) => {
                let cut = is_current && self.on_kept(job, &kept);
                if !cut {
                    // The log is as it was: whoever cuts it keeps the tail again.
                    spawn_blocking(move || quarantine.release(&kept));
                }
                if is_newest {
                    self.attach_after_cut(job.key, job.event.id, cut || !is_current);
                }
            }
            Err(NotKept::TooLarge) if is_current => {
                self.cut_unkept(
                    job.key,
                    job.truncation,
                    &job.event,
                    "it is larger than milena.quarantine.max.bytes",
                );
            }
            // Whatever came in its way attaches the replica, if it is to be.
            Err(_) if !is_newest => {}
            Err(error) => {
                if let Ok((partition, cx)) = self.partition(job.event.id) {
                    partition.not_kept(cx, job, &error);
                }
                self.attach_after(job.key, job.event.id, RETRY_PAUSE);
            }
        }
    }

    /// True when the log is cut.
    fn on_kept(&mut self, job: &Job, kept: &Quarantined) -> bool {
        let Ok((partition, cx)) = self.partition(job.event.id) else {
            return false;
        };
        let cut = partition.truncate(cx, job.truncation, Some(&job.event.loss));
        if cut {
            job.event.tell_kept(&kept.path);
        }
        cut
    }
}

impl crate::shard::partition::Partition {
    fn not_kept(&self, cx: &mut Context, job: &Job, error: &NotKept) {
        let loss = &job.event.loss;
        let (lost_from, lost_to) = (loss.lost_from.0, loss.lost_to.0);
        match error {
            NotKept::Outdated | NotKept::TooLarge => {}
            NotKept::Log(error) if error.is_no_space() || error.is_shortage() => {
                let error: &dyn std::error::Error = error;
                tracing::error!(target: "milena::unclean", partition = %self.name, error, lost_from, lost_to, retry_s = RETRY_PAUSE.as_secs(),
                    "what the leader does not have cannot be set aside: the log is not cut, and not replicated, until it can");
            }
            // The disk is bad, as any write would have found.
            NotKept::Log(error) => {
                self.storage_failed(cx, error);
            }
            NotKept::Read(error) => {
                let cause: &dyn std::error::Error = error;
                tracing::error!(target: "milena::unclean", partition = %self.name, error = cause, lost_from, lost_to,
                    "what the leader does not have cannot be read");
                self.read_error(cx, error);
            }
        }
    }
}

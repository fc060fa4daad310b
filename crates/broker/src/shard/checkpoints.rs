//! High watermarks, recovery points, log start offsets and compacted offsets of all partitions, one file each per log directory.
//!
//! Data threads note what has moved; one thread writes the files now and then, and at the end. All of them are hints: a
//! stale high watermark is learnt again, a stale recovery point means that more of the log is scanned.

use super::context::Context;
use super::id::ShardId;
use super::log_dirs::LogDirs;
use super::mailbox::Mailboxes;
use super::partition::Partition;
use super::state::Shard;
use milena_log::checkpoint::OffsetCheckpoint;
use milena_log::{LogDir, LogError};
use milena_types::{Offset, TopicIdPartition, TopicPartition};
use std::collections::BTreeMap;
use std::sync::mpsc;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

/// The checkpoints of one directory, as they will be written next.
#[derive(Debug, Default)]
pub(crate) struct DirCheckpoints {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    recovery_points: BTreeMap<TopicPartition, Offset>,
    high_watermarks: BTreeMap<TopicPartition, Offset>,
    log_starts: BTreeMap<TopicPartition, Offset>,
    cleaned: BTreeMap<TopicPartition, Offset>,
    /// The greatest offset that the files may still say of a log that is gone, or a write that is under way.
    forgotten: BTreeMap<TopicPartition, Offset>,
    changed: bool,
    /// Whom to tell that the recovery point is on disk.
    to_tell: Vec<(TopicIdPartition, Offset)>,
}

/// Checkpoints of a directory could not be written.
#[derive(Debug)]
pub(super) struct Failure {
    dir: usize,
    error: LogError,
}

/// What the checkpoints know of one partition.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Checkpointed {
    pub(crate) recovery_point: Offset,
    pub(crate) high_watermark: Offset,
    pub(crate) log_start: Offset,
}

impl DirCheckpoints {
    /// What the files say at the start.
    pub(super) fn read(dir: &LogDir) -> Result<Self, LogError> {
        let state = State {
            recovery_points: dir.read_checkpoint(OffsetCheckpoint::RecoveryPoint)?,
            high_watermarks: dir.read_checkpoint(OffsetCheckpoint::HighWatermark)?,
            log_starts: dir.read_checkpoint(OffsetCheckpoint::LogStart)?,
            cleaned: dir.read_checkpoint(OffsetCheckpoint::Cleaner)?,
            ..State::default()
        };
        Ok(Self {
            state: Mutex::new(state),
        })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Only maps change under the lock.
        self.state
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// What is known of a partition.
    pub(super) fn of(&self, name: &TopicPartition) -> Checkpointed {
        let state = self.lock();
        let find = |map: &BTreeMap<TopicPartition, Offset>| map.get(name).copied().unwrap_or_default();
        Checkpointed {
            recovery_point: find(&state.recovery_points),
            high_watermark: find(&state.high_watermarks),
            log_start: find(&state.log_starts),
        }
    }

    /// The partition's offsets have moved.
    pub(super) fn note(&self, id: TopicIdPartition, name: &TopicPartition, offsets: Checkpointed) {
        let mut state = self.lock();
        let State {
            recovery_points,
            high_watermarks,
            log_starts,
            ..
        } = &mut *state;
        let mut changed = replace(recovery_points, name, offsets.recovery_point);
        changed |= replace(high_watermarks, name, offsets.high_watermark);
        // No entry is a start at 0. One of a former log of this name must not stay: it would cut this one.
        changed |= match offsets.log_start {
            Offset::ZERO => log_starts.remove(name).is_some(),
            start => replace(log_starts, name, start),
        };
        if changed {
            state.to_tell.push((id, offsets.recovery_point));
            state.changed = true;
        }
    }

    /// The files say more of the partition than is true of its log, and only `known` is to be written.
    pub(super) fn correct(&self, name: &TopicPartition, known: Checkpointed) {
        let mut state = self.lock();
        if known.log_start == Offset::ZERO {
            state.log_starts.remove(name);
        }
        replace(&mut state.high_watermarks, name, known.high_watermark);
        state.changed = true;
    }

    /// The partition is compacted up to that offset. For Kafka, should it open the directory one day: Milena goes by the mark
    /// that each log keeps.
    pub(super) fn note_cleaned(&self, name: &TopicPartition, offset: Offset) {
        let mut state = self.lock();
        state.cleaned.insert(name.clone(), offset);
        state.changed = true;
    }

    /// The greatest offset of a log that is gone which the files may say of a log of this name that is made anew.
    pub(super) fn stale_offset(&self, name: &TopicPartition) -> Offset {
        self.lock().forgotten.get(name).copied().unwrap_or_default()
    }

    /// The partition is gone.
    pub(super) fn forget(&self, name: &TopicPartition) {
        let mut state = self.lock();
        let known = [
            state.recovery_points.remove(name),
            state.high_watermarks.remove(name),
            state.log_starts.remove(name),
        ];
        if let Some(offset) = known.into_iter().flatten().max() {
            state.changed = true;
            state.keep_forgotten([(name.clone(), offset)]);
        }
        state.changed |= state.cleaned.remove(name).is_some();
    }
}

impl State {
    fn keep_forgotten(&mut self, forgotten: impl IntoIterator<Item = (TopicPartition, Offset)>) {
        for (name, offset) in forgotten {
            let known = self.forgotten.entry(name).or_default();
            *known = offset.max(*known);
        }
    }
}

/// True when that changes the map. The name is copied only when it is new: most notes are of partitions that are there.
fn replace(map: &mut BTreeMap<TopicPartition, Offset>, name: &TopicPartition, offset: Offset) -> bool {
    match map.get_mut(name) {
        Some(known) => std::mem::replace(known, offset) != offset,
        None => map.insert(name.clone(), offset).is_none(),
    }
}

impl LogDirs {
    /// Writes the checkpoints that have changed. Returns the recovery points that are durable now, and the directories in
    /// which that failed.
    pub(super) fn write_checkpoints(&self) -> (Vec<(TopicIdPartition, Offset)>, Vec<Failure>) {
        let (mut saved, mut failures) = (Vec::new(), Vec::new());
        for index in (0..self.count()).filter(|index| self.is_online(*index)) {
            let Some((dir, checkpoints)) = self.checkpoints(index) else {
                continue;
            };
            let (files, to_tell, forgotten) = {
                let mut state = checkpoints.lock();
                if !std::mem::take(&mut state.changed) {
                    continue;
                }
                let files = [
                    (OffsetCheckpoint::RecoveryPoint, state.recovery_points.clone()),
                    (OffsetCheckpoint::HighWatermark, state.high_watermarks.clone()),
                    (OffsetCheckpoint::LogStart, state.log_starts.clone()),
                    (OffsetCheckpoint::Cleaner, state.cleaned.clone()),
                ];
                // What is forgotten from here on may be in these files.
                let forgotten = std::mem::take(&mut state.forgotten);
                (files, std::mem::take(&mut state.to_tell), forgotten)
            };
            let written = files
                .iter()
                .try_for_each(|(kind, offsets)| dir.write_checkpoint(*kind, offsets));
            match written {
                Ok(()) => saved.extend(to_tell),
                Err(error) => {
                    let cause: &dyn std::error::Error = &error;
                    tracing::error!(dir = index, error = cause, "cannot write checkpoints");
                    // They are hints: the old files stay. With space, the next round tries again.
                    let mut state = checkpoints.lock();
                    state.changed = true;
                    state.to_tell.splice(0..0, to_tell);
                    state.keep_forgotten(forgotten);
                    failures.push(Failure { dir: index, error });
                }
            }
        }
        (saved, failures)
    }
}

/// The thread that writes checkpoints.
pub(super) struct CheckpointWriter {
    /// Dropped to end the thread.
    stop: Option<mpsc::Sender<()>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl CheckpointWriter {
    pub(super) fn start(
        dirs: Arc<LogDirs>,
        mailboxes: Mailboxes,
        interval: Duration,
    ) -> std::io::Result<Self> {
        let (stop, stopped) = mpsc::channel();
        let thread = std::thread::Builder::new()
            .name("checkpoints".to_owned())
            .spawn(move || {
                while stopped.recv_timeout(interval) == Err(mpsc::RecvTimeoutError::Timeout) {
                    // Before floors go: word of a log that was truncated must be new when nothing else says so.
                    dirs.write_words(mailboxes.len());
                    let (saved, failures) = dirs.write_checkpoints();
                    for failure in failures {
                        mailboxes.run_control(ShardId(0), move |shard| shard.on_checkpoint_failed(failure));
                    }
                    for (id, recovery_point) in saved {
                        mailboxes.run_control(mailboxes.owner_of(id), move |shard| {
                            shard.on_recovery_point_saved(id, recovery_point);
                        });
                    }
                }
            })?;
        Ok(Self {
            stop: Some(stop),
            thread: Some(thread),
        })
    }

    pub(super) fn stop(&mut self) {
        self.stop = None;
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the checkpoint thread panicked");
        }
    }
}

impl Partition {
    /// Notes its offsets for the checkpoints of its directory.
    pub(super) fn note_offsets(&self, cx: &Context) {
        let offsets = Checkpointed {
            recovery_point: self.log.recovery_point(),
            high_watermark: self.high_watermark(),
            log_start: self.log.log_start_offset(),
        };
        cx.dirs.note_offsets(self.dir, self.id, &self.name, offsets);
    }
}

impl Shard {
    /// Notes the offsets of all partitions that have moved since the last time.
    pub(super) fn note_checkpoints(&mut self) {
        let moved: Vec<TopicIdPartition> = self.cx.checkpoint_dirty.drain().collect();
        self.close_idle_logs(&moved);
        for id in moved {
            if let Some(partition) = self.partitions.get_mut(&id) {
                if partition
                    .log
                    .active_base_offset()
                    .is_some_and(|base| partition.log.recovery_point() < base)
                {
                    // A closed segment that is not on disk would be scanned after a crash.
                    partition.queue_flush(&mut self.cx);
                }
                partition.note_offsets(&self.cx);
            }
        }
    }

    fn on_checkpoint_failed(&mut self, failure: Failure) {
        self.cx.dir_failed(failure.dir, &failure.error);
    }

    fn on_recovery_point_saved(&mut self, id: TopicIdPartition, recovery_point: Offset) {
        if let Some(partition) = self.partitions.get_mut(&id) {
            partition.log.on_recovery_point_saved(recovery_point);
        }
    }
}

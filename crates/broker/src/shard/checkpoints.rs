//! High watermarks, recovery points, log start offsets and compacted offsets of all partitions, one file each per log directory.
//!
//! Data threads note what has moved; one thread writes the files now and then, and at the end. What they say is [`DirOffsets`]' affair.

use super::context::Context;
use super::id::ShardId;
use super::log_dirs::LogDirs;
use super::mailbox::Mailboxes;
use super::partition::Partition;
use super::state::Shard;
use milena_log::{Checkpointed, DirOffsets, LogConfig, LogDir, LogError, OpenOptions};
use milena_types::{Offset, Timestamp, TopicIdPartition, TopicPartition};
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
    offsets: DirOffsets,
    /// Whom to tell that the recovery point is on disk.
    to_tell: Vec<(TopicIdPartition, Offset)>,
}

/// Checkpoints of a directory could not be written.
#[derive(Debug)]
pub(super) struct Failure {
    dir: usize,
    error: LogError,
}

impl DirCheckpoints {
    /// What the files say at the start.
    pub(super) fn read(dir: &LogDir) -> Result<Self, LogError> {
        let state = State {
            offsets: DirOffsets::read(dir)?,
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
        self.lock().offsets.of(name)
    }

    /// What is to be believed of a partition that this run has not opened yet. Reads its floor, without the lock.
    pub(super) fn known_at_start(
        &self,
        dir: &LogDir,
        name: &TopicPartition,
    ) -> Result<Checkpointed, LogError> {
        let floor = self.of(name).doubted_below(dir, name)?;
        Ok(self.lock().offsets.believe(name, floor))
    }

    /// How to open a partition of which `known` is believed.
    pub(super) fn open_options(
        &self,
        dir: &LogDir,
        id: TopicIdPartition,
        name: &TopicPartition,
        config: &Arc<LogConfig>,
        known: Checkpointed,
        now: Timestamp,
    ) -> OpenOptions {
        let state = self.lock();
        state
            .offsets
            .open_options(dir, name, id.topic, config, known, now)
    }

    /// The partition's offsets may have moved.
    pub(super) fn note(
        &self,
        id: TopicIdPartition,
        name: &TopicPartition,
        offsets: Checkpointed,
        has_floor: bool,
    ) {
        let mut state = self.lock();
        if state.offsets.note(name, offsets, has_floor) {
            state.to_tell.push((id, offsets.recovery_point));
        }
    }

    /// See [`DirOffsets::note_cleaned`].
    pub(super) fn note_cleaned(&self, name: &TopicPartition, offset: Offset) {
        self.lock().offsets.note_cleaned(name, offset);
    }

    /// The partition is gone.
    pub(super) fn forget(&self, name: &TopicPartition) {
        self.lock().offsets.forget(name);
    }

    /// Removes the recovery floors that are left, at a clean shutdown, when the checkpoints are on disk.
    fn remove_floors(&self, dir: &LogDir) -> Result<(), LogError> {
        let floors = self.lock().offsets.take_floors();
        floors.iter().try_for_each(|name| dir.remove_recovery_floor(name))
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
            let (write, to_tell) = {
                let mut state = checkpoints.lock();
                (state.offsets.take_write(), std::mem::take(&mut state.to_tell))
            };
            let Some(write) = write else {
                // The files say so already.
                saved.extend(to_tell);
                continue;
            };
            match write.write(dir) {
                Ok(()) => saved.extend(to_tell),
                Err(error) => {
                    let cause: &dyn std::error::Error = &error;
                    tracing::error!(dir = index, error = cause, "cannot write checkpoints");
                    let mut state = checkpoints.lock();
                    state.offsets.on_write_failed(write);
                    state.to_tell.splice(0..0, to_tell);
                    failures.push(Failure { dir: index, error });
                }
            }
        }
        (saved, failures)
    }

    /// Writes the last checkpoints, when all logs are closed: no recovery floor outlives them. True when all went well.
    pub(super) fn write_last_checkpoints(&self) -> bool {
        let (_, failures) = self.write_checkpoints();
        let failed = |index| failures.iter().any(|failure| failure.dir == index);
        let mut all = failures.is_empty();
        for index in (0..self.count()).filter(|index| self.is_online(*index) && !failed(*index)) {
            let Some((dir, checkpoints)) = self.checkpoints(index) else {
                continue;
            };
            if let Err(error) = checkpoints.remove_floors(dir) {
                let cause: &dyn std::error::Error = &error;
                tracing::error!(dir = index, error = cause, "this is no clean shutdown");
                all = false;
            }
        }
        all
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
        let has_floor = self.log.has_recovery_floor();
        cx.dirs
            .note_offsets(self.dir, self.id, &self.name, offsets, has_floor);
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

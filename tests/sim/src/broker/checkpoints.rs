//! High watermarks, recovery points and log start offsets, written now and then.

use super::process::Process;
use crate::cx::Cx;
use milena_log::checkpoint::OffsetCheckpoint;
use milena_log::{LogDir, LogError};
use milena_metadata::broker_life::BrokerState;
use milena_types::{Offset, TopicPartition};
use std::collections::BTreeMap;

/// The checkpoints of the directory, as they will be written next.
#[derive(Debug)]
pub(super) struct Checkpoints {
    recovery_points: BTreeMap<TopicPartition, Offset>,
    high_watermarks: BTreeMap<TopicPartition, Offset>,
    log_starts: BTreeMap<TopicPartition, Offset>,
    forgotten: BTreeMap<TopicPartition, Offset>,
    corrected: bool,
}

/// What the checkpoints know of one partition.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Checkpointed {
    pub(super) recovery_point: Offset,
    pub(super) high_watermark: Offset,
    pub(super) log_start: Offset,
}

impl Checkpoints {
    pub(super) fn read(dir: &LogDir) -> Result<Self, LogError> {
        Ok(Self {
            recovery_points: dir.read_checkpoint(OffsetCheckpoint::RecoveryPoint)?,
            high_watermarks: dir.read_checkpoint(OffsetCheckpoint::HighWatermark)?,
            log_starts: dir.read_checkpoint(OffsetCheckpoint::LogStart)?,
            forgotten: BTreeMap::new(),
            corrected: false,
        })
    }

    pub(super) fn of(&self, name: &TopicPartition) -> Checkpointed {
        let find = |map: &BTreeMap<TopicPartition, Offset>| map.get(name).copied().unwrap_or_default();
        Checkpointed {
            recovery_point: find(&self.recovery_points),
            high_watermark: find(&self.high_watermarks),
            log_start: find(&self.log_starts),
        }
    }

    pub(super) fn stale_offset(&self, name: &TopicPartition) -> Offset {
        self.forgotten.get(name).copied().unwrap_or_default()
    }

    /// The files say more of the partition than is true of its log, and only `known` is to be written.
    pub(super) fn correct(&mut self, name: &TopicPartition, known: Checkpointed) {
        if known.log_start == Offset::ZERO {
            self.log_starts.remove(name);
        }
        self.high_watermarks.insert(name.clone(), known.high_watermark);
        self.corrected = true;
    }

    pub(super) fn forget(&mut self, name: &TopicPartition) {
        let gone = [
            self.recovery_points.remove(name),
            self.high_watermarks.remove(name),
            self.log_starts.remove(name),
        ];
        if let Some(offset) = gone.into_iter().flatten().max() {
            let known = self.forgotten.entry(name.clone()).or_default();
            *known = offset.max(*known);
        }
    }
}

impl Process {
    /// Notes and writes what has moved since the last time.
    pub(super) fn write_checkpoints(&mut self, cx: &mut Cx) {
        let moved = std::mem::take(&mut self.checkpoint_dirty);
        for id in &moved {
            let Some(partition) = self.partitions.get(id) else {
                continue;
            };
            let recovery_point = partition.log.recovery_point();
            if partition
                .log
                .active_base_offset()
                .is_some_and(|base| recovery_point < base)
            {
                cx.coverage.segment_rolled += 1;
                self.queue_flush(*id);
            }
        }
        self.save_checkpoints(moved.into_iter().collect());
    }

    fn save_checkpoints(&mut self, moved: Vec<milena_types::TopicIdPartition>) {
        let mut saved = Vec::new();
        for id in moved {
            let Some(partition) = self.partitions.get(&id) else {
                continue;
            };
            let (recovery_point, name) = (partition.log.recovery_point(), partition.name.clone());
            let (hw, start) = (partition.high_watermark(), partition.log.log_start_offset());
            self.checkpoints
                .recovery_points
                .insert(name.clone(), recovery_point);
            self.checkpoints.high_watermarks.insert(name.clone(), hw);
            if start > Offset::ZERO {
                self.checkpoints.log_starts.insert(name, start);
            } else {
                self.checkpoints.log_starts.remove(&name);
            }
            saved.push((id, recovery_point));
        }
        let forgotten = std::mem::take(&mut self.checkpoints.forgotten);
        let corrected = std::mem::take(&mut self.checkpoints.corrected);
        if saved.is_empty() && forgotten.is_empty() && !corrected {
            return;
        }
        let files = [
            (OffsetCheckpoint::RecoveryPoint, &self.checkpoints.recovery_points),
            (OffsetCheckpoint::HighWatermark, &self.checkpoints.high_watermarks),
            (OffsetCheckpoint::LogStart, &self.checkpoints.log_starts),
        ];
        let written = files
            .iter()
            .try_for_each(|(kind, offsets)| self.dir.write_checkpoint(*kind, offsets));
        if let Err(error) = written {
            self.storage_failed(&error);
            return;
        }
        for (id, recovery_point) in saved {
            if let Some(partition) = self.partitions.get_mut(&id) {
                partition.log.on_recovery_point_saved(recovery_point);
            }
        }
    }

    /// Stops in order: every log is closed, the checkpoints say so, and the directory is marked, under the epoch of this run.
    pub(super) fn stop(&mut self, cx: &mut Cx) {
        if self.has_stopped() || self.has_failed() {
            return;
        }
        self.life.state = BrokerState::Stopped;
        let ids: Vec<_> = self.partitions.keys().copied().collect();
        for id in &ids {
            self.leave_role(cx, *id, milena_types::ErrorCode::NotLeaderOrFollower);
            let closed = self.partitions.get_mut(id).map(|partition| partition.log.close());
            if let Some(Err(error)) = closed {
                self.storage_failed(&error);
                return;
            }
        }
        self.save_checkpoints(ids);
        if let Some(epoch) = self.life.epoch
            && self.opening.is_empty()
            && self.unusable.is_empty()
            && let Err(error) = self.dir.write_clean_shutdown(epoch)
        {
            self.storage_failed(&error);
            return;
        }
        self.set_stopped();
    }
}

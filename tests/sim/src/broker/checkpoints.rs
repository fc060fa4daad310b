//! High watermarks, recovery points and log start offsets, written now and then.

use super::process::Process;
use crate::cx::Cx;
use milena_log::Checkpointed;
use milena_metadata::broker_life::BrokerState;

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
            let offsets = Checkpointed {
                recovery_point: partition.log.recovery_point(),
                high_watermark: partition.high_watermark(),
                log_start: partition.log.log_start_offset(),
            };
            let has_floor = partition.log.has_recovery_floor();
            if self.checkpoints.note(&partition.name, offsets, has_floor) {
                saved.push((id, offsets.recovery_point));
            }
        }
        if let Some(write) = self.checkpoints.take_write()
            && let Err(error) = write.write(&self.dir)
        {
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

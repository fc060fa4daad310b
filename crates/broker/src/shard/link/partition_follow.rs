//! What a follower makes of a leader's frames, and how an attach reads off the wire.

use super::out_links::LinkShared;
use crate::shard::context::{Context, wall_clock};
use crate::shard::partition::Partition;
use crate::shard::quarantine::LossKind;
use crate::shard::role::Role;
use bytes::Bytes;
use milena_log::FollowerAppendError;
use milena_record::BatchHeader;
use milena_replication::{
    Attach, AttachmentId, LogEnds, LogTail, Loss, Truncated, Truncation, adopted_log_start,
    restart_for_batch, truncation_for_divergence,
};
use milena_rpc::proto::{self, PartitionFrame};
use milena_types::{LeaderEpoch, Offset, OffsetRange};

/// Reads an attach off the wire.
pub(super) fn attach_request(
    shared: &LinkShared,
    attachment: AttachmentId,
    attach: &proto::Attach,
) -> Attach {
    Attach {
        broker: shared.follower,
        broker_epoch: shared.follower_epoch,
        attachment,
        leader_epoch: LeaderEpoch(attach.leader_epoch),
        last_epoch: (attach.last_epoch >= 0).then_some(LeaderEpoch(attach.last_epoch)),
        ends: LogEnds {
            log_end: Offset(attach.log_end_offset),
            advertised: Offset(attach.advertised_offset.min(attach.log_end_offset)),
        },
    }
}

impl Partition {
    /// A follower takes records and news from its leader.
    ///
    /// # Errors
    /// The records do not continue the log, or could not be written: attach again, after a pause.
    pub(super) fn follow(
        &mut self,
        cx: &mut Context,
        leader_epoch: LeaderEpoch,
        frame: &PartitionFrame,
    ) -> Result<(), FollowerAppendError> {
        if !frame.records.is_empty() {
            self.append_records(cx, leader_epoch, frame)?;
        }
        let (start, end) = (self.log.log_start_offset(), self.log.log_end_offset());
        if let Some(start) = adopted_log_start(start, end, Offset(frame.log_start_offset)) {
            self.log.set_log_start_offset(start);
            self.on_advertised(cx);
        }
        if let Role::Follower(role) = &mut self.role {
            role.set_replicated(Offset(frame.replicated_offset));
        }
        if self
            .high_watermark
            .advance(Offset(frame.high_watermark), self.log.log_end_offset())
        {
            self.log.on_high_watermark(self.high_watermark.get());
            cx.checkpoint_dirty.insert(self.id);
            self.waiters.wake();
        }
        Ok(())
    }

    fn append_records(
        &mut self,
        cx: &mut Context,
        leader_epoch: LeaderEpoch,
        frame: &PartitionFrame,
    ) -> Result<(), FollowerAppendError> {
        let records = frame.records.clone();
        let begins_at = self.begin_with(cx, &records, Offset(frame.log_start_offset))?;
        let from = Offset(frame.from_offset).min(begins_at);
        if self.settings.log.compact {
            self.log
                .append_as_follower_from(from, records, leader_epoch, wall_clock())?;
        } else {
            self.log.append_as_follower(records, leader_epoch, wall_clock())?;
        }
        self.after_append(cx);
        if self.ends().advertised == self.log.log_end_offset() {
            self.on_advertised(cx);
        }
        Ok(())
    }

    /// Gives where the records begin, which a log that has nothing left is made to begin with if need be: see
    /// [`restart_for_batch`].
    fn begin_with(
        &mut self,
        cx: &mut Context,
        records: &Bytes,
        leader_start: Offset,
    ) -> Result<Offset, FollowerAppendError> {
        let first = BatchHeader::parse(records)?;
        let (start, end) = (self.log.log_start_offset(), self.log.log_end_offset());
        let batch = OffsetRange {
            from: first.base_offset,
            to: first.next_offset(),
        };
        if let Some(at) = restart_for_batch(start, end, leader_start, batch) {
            tracing::info!(partition = %self.name, from = %end, to = %at, "the leader's log starts inside a batch: the log begins with all of it");
            self.log.truncate_fully_and_start_at(at)?;
            // Nothing is lost by it: nothing in the log was to be read any more.
            let _ = self.high_watermark.on_truncated(at, at);
            cx.checkpoint_dirty.insert(self.id);
        }
        Ok(first.base_offset)
    }

    /// The leader's log and this one have parted: what this one has to do.
    pub(super) fn diverged(&self, epoch: LeaderEpoch, end: Offset, leader_start: Offset) -> Truncation {
        truncation_for_divergence(
            self.log.end_offset_for_epoch(epoch),
            self.log.log_start_offset(),
            self.log.log_end_offset(),
            self.high_watermark.get(),
            end,
            leader_start,
        )
    }

    /// The log as it is.
    pub(super) fn log_tail(&self) -> LogTail {
        LogTail {
            log_start: self.log.log_start_offset(),
            log_end: self.log.log_end_offset(),
            last_epoch: self.log.last_epoch(),
            high_watermark: self.high_watermark.get(),
        }
    }

    /// Makes the log end where the leader's does, or begin anew. `loss`: what the leader does not have of what goes, which
    /// somebody has told. False: it could not be cut.
    pub(in crate::shard) fn truncate(
        &mut self,
        cx: &mut Context,
        truncation: Truncation,
        loss: Option<&Loss>,
    ) -> bool {
        let before = (self.log.log_start_offset(), self.log.log_end_offset());
        let result = match truncation {
            Truncation::To(offset) => self.log.truncate_to(offset),
            Truncation::FullyAndStartAt(offset) => self.log.truncate_fully_and_start_at(offset),
        };
        if let Err(error) = result {
            self.storage_failed(cx, &error);
            return false;
        }
        let (start, end) = (self.log.log_start_offset(), self.log.log_end_offset());
        match Truncated::between(before, (start, end)) {
            Truncated::Nothing => {}
            Truncated::Cut { from, to } => {
                tracing::info!(partition = %self.name, %from, %to, "truncated to the leader's log");
                cx.background.truncated.add(LossKind::of(loss), from.since(to));
            }
            Truncated::Restarted { at } => {
                if let Some(lost) = loss {
                    let count = lost.lost_to.since(lost.lost_from);
                    cx.background.truncated.add(LossKind::of(loss), count);
                }
                tracing::info!(partition = %self.name, %at, "the log starts anew where the leader's starts");
            }
        }
        let known = self.high_watermark.get();
        if self.high_watermark.on_truncated(start, end) && loss.is_none() {
            // The log was cut further down than it was to be.
            tracing::error!(partition = %self.name, high_watermark = %known, log_end = %end, "committed records are gone");
        }
        cx.checkpoint_dirty.insert(self.id);
        true
    }
}

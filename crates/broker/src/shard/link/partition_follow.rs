//! What a follower makes of a leader's frames, and how an attach reads off the wire.

use super::out_links::LinkShared;
use crate::shard::context::{Context, wall_clock};
use crate::shard::partition::Partition;
use crate::shard::role::Role;
use bytes::Bytes;
use milena_log::FollowerAppendError;
use milena_replication::{
    Attach, AttachmentId, LogEnds, Truncation, truncation_for_divergence, truncation_out_of_range,
};
use milena_rpc::proto::{self, PartitionFrame};
use milena_types::{LeaderEpoch, Offset};

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
    /// The records do not continue the log, or could not be written: attach again.
    pub(super) fn follow(
        &mut self,
        cx: &mut Context,
        leader_epoch: LeaderEpoch,
        frame: &PartitionFrame,
    ) -> Result<(), FollowerAppendError> {
        if !frame.records.is_empty() {
            self.append_records(cx, leader_epoch, Offset(frame.from_offset), frame.records.clone())?;
        }
        let leader_log_start = Offset(frame.log_start_offset);
        if leader_log_start > self.log.log_start_offset() && leader_log_start <= self.log.log_end_offset() {
            self.log.set_log_start_offset(leader_log_start);
            self.on_advertised(cx);
        }
        if let Role::Follower(role) = &mut self.role {
            role.replicated = Offset(frame.replicated_offset);
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
        from: Offset,
        records: Bytes,
    ) -> Result<(), FollowerAppendError> {
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

    /// The leader's log and this one have parted: what is not the leader's goes.
    /// False: it could not be cut.
    pub(super) fn truncate_diverged(&mut self, cx: &mut Context, epoch: LeaderEpoch, end: Offset) -> bool {
        let truncation = truncation_for_divergence(
            self.log.end_offset_for_epoch(epoch),
            self.log.log_start_offset(),
            self.log.log_end_offset(),
            self.high_watermark.get(),
            end,
        );
        self.truncate(cx, truncation)
    }

    /// The log end lies outside the leader's log. False: it could not be cut.
    pub(super) fn truncate_out_of_range(
        &mut self,
        cx: &mut Context,
        leader_start: Offset,
        leader_end: Offset,
    ) -> bool {
        let truncation = truncation_out_of_range(self.log.log_end_offset(), leader_start, leader_end);
        self.truncate(cx, truncation)
    }

    fn truncate(&mut self, cx: &mut Context, truncation: Truncation) -> bool {
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
        match change(before, (start, end)) {
            Change::None => {}
            Change::Cut => {
                tracing::info!(partition = %self.name, from = %before.1, to = %end, "truncated to the leader's log");
            }
            Change::Restarted => {
                tracing::info!(partition = %self.name, at = %start, "the log starts anew where the leader's starts");
            }
        }
        let known = self.high_watermark.get();
        if self.high_watermark.on_truncated(start, end) {
            // Only an unclean election or the loss of flushed data leads here.
            tracing::error!(partition = %self.name, high_watermark = %known, log_end = %end, "committed records are gone");
        }
        cx.checkpoint_dirty.insert(self.id);
        true
    }
}

/// What a truncation did to the records.
#[derive(Debug, PartialEq, Eq)]
enum Change {
    /// Every record is still there: at most epochs without records went.
    None,
    /// Records at the end are gone.
    Cut,
    /// All records, if there were any, are gone, and the log continues elsewhere.
    Restarted,
}

/// `before` and `after`: log start and log end.
fn change(before: (Offset, Offset), after: (Offset, Offset)) -> Change {
    if before == after {
        Change::None
    } else if before.0 == after.0 {
        Change::Cut
    } else {
        Change::Restarted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_truncation_that_cuts_nothing_is_no_event() {
        let log = |start, end| (Offset(start), Offset(end));
        for (before, after, expected) in [
            (log(0, 12), log(0, 12), Change::None),
            (log(5, 5), log(5, 5), Change::None),
            (log(0, 12), log(0, 9), Change::Cut),
            (log(3, 12), log(3, 3), Change::Cut),
            (log(0, 0), log(40, 40), Change::Restarted),
            (log(0, 12), log(40, 40), Change::Restarted),
        ] {
            assert_eq!(change(before, after), expected, "{before:?} {after:?}");
        }
    }
}

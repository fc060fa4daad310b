//! The leader's side of the streams: followers attach, acknowledge and leave.

use super::out_links::{LinkShared, other_lane, refused};
use super::{Lane, partition_follow};
use crate::shard::context::Context;
use crate::shard::partition::Partition;
use crate::shard::role::{Feed, Role};
use crate::shard::state::Shard;
use milena_replication::{Attach, AttachAnswer, AttachmentId, LogEnds, LogSummary};
use milena_rpc::proto::{self, FrameKind, PartitionFrame};
use milena_types::{BrokerId, ErrorCode, LeaderEpoch, Offset, TopicIdPartition};
use std::sync::Arc;

impl Shard {
    /// A follower wants a partition.
    pub(super) fn on_attach(
        &mut self,
        shared: &Arc<LinkShared>,
        id: TopicIdPartition,
        attach: &proto::Attach,
    ) {
        let attachment = AttachmentId {
            stream: shared.stream,
            attach: attach.attach_id,
        };
        let request = partition_follow::attach_request(shared, attachment, attach);
        let frame = match self.decide_attach(shared.lane, id, &request) {
            Ok(()) => {
                self.link(shared).attached.insert(attach.attach_id, id);
                self.cx.links_out.queue(shared.stream, id);
                return;
            }
            Err(frame) => frame,
        };
        self.link(shared).answer(frame);
    }

    fn decide_attach(
        &mut self,
        lane: Lane,
        id: TopicIdPartition,
        request: &Attach,
    ) -> Result<(), PartitionFrame> {
        let attach_id = request.attachment.attach;
        let (partition, cx) = self.partition(id).map_err(|error| refused(attach_id, error))?;
        let summary = partition.attach_summary(cx, request.last_epoch);
        let Role::Leader(role) = &mut partition.role else {
            return Err(refused(attach_id, ErrorCode::NotLeaderOrFollower));
        };
        let frame = PartitionFrame {
            attach_id,
            ..PartitionFrame::default()
        };
        match role.leader.attach(request, &summary, cx.now()) {
            AttachAnswer::Accepted => {}
            AttachAnswer::Refused(error) => return Err(refused(attach_id, error)),
            AttachAnswer::Diverged {
                epoch,
                end,
                log_start,
                unclean,
            } => {
                let kind = FrameKind::FrameDiverged.into();
                return Err(PartitionFrame {
                    kind,
                    epoch: epoch.0,
                    end_offset: end.0,
                    log_start_offset: log_start.0,
                    unclean_epoch: unclean.map(|epoch| epoch.0),
                    ..frame
                });
            }
            AttachAnswer::OutOfRange {
                log_start,
                log_end,
                unclean,
            } => {
                let kind = FrameKind::FrameOutOfRange.into();
                let (log_start_offset, end_offset) = (log_start.0, log_end.0);
                return Err(PartitionFrame {
                    kind,
                    log_start_offset,
                    end_offset,
                    unclean_epoch: unclean.map(|epoch| epoch.0),
                    ..frame
                });
            }
        }
        let at_tail =
            request.ends.log_end >= role.leader.local().log_end || role.ring.covers(request.ends.log_end);
        if at_tail != (lane == Lane::Live) {
            role.leader.detach(request.broker, request.attachment);
            return Err(other_lane(attach_id));
        }
        role.add_feed(Feed {
            follower: request.broker,
            attachment: request.attachment,
            next: request.ends.log_end,
            sent_high_watermark: Offset(-1),
            sent_log_start: Offset(-1),
            sent_replicated: Offset(-1),
            queued: true,
            read_ahead: None,
        });
        partition.on_follower_progress(cx, request.broker);
        Ok(())
    }

    /// An acknowledgement; one that belongs to no current attachment is ignored.
    pub(super) fn on_ack(&mut self, stream: u64, ack: &proto::ReplicaAck) {
        let Some(link) = self.cx.links_out.links.get(&stream) else {
            return;
        };
        let Some(id) = link.attached.get(&ack.attach_id).copied() else {
            return;
        };
        let follower = link.shared.follower;
        let Ok((partition, cx)) = self.partition(id) else {
            return;
        };
        let Role::Leader(role) = &mut partition.role else {
            return;
        };
        let ends = LogEnds {
            log_end: Offset(ack.log_end_offset),
            advertised: Offset(ack.advertised_offset),
        };
        let attachment = AttachmentId {
            stream,
            attach: ack.attach_id,
        };
        if role
            .leader
            .on_ack(follower, attachment, ends, Offset(ack.log_start_offset), cx.now())
        {
            partition.on_follower_progress(cx, follower);
        }
    }

    /// The follower wants a partition no more.
    pub(super) fn on_detach(&mut self, stream: u64, attach: u64) {
        let Some(link) = self.cx.links_out.links.get_mut(&stream) else {
            return;
        };
        let follower = link.shared.follower;
        if let Some(id) = link.forget(attach) {
            self.end_feed(id, follower, AttachmentId { stream, attach });
        }
    }

    /// The stream is gone, and with it all its attachments.
    pub(super) fn on_link_closed(&mut self, stream: u64) {
        let Some(link) = self.cx.links_out.links.remove(&stream) else {
            return;
        };
        // Else the task that feeds a stream of another thread would wait for ever.
        link.wake();
        for (attach, id) in link.attached {
            self.end_feed(id, link.shared.follower, AttachmentId { stream, attach });
        }
    }

    fn end_feed(&mut self, id: TopicIdPartition, follower: BrokerId, attachment: AttachmentId) {
        let Ok((partition, cx)) = self.partition(id) else {
            return;
        };
        if let Role::Leader(role) = &mut partition.role {
            role.end_feed(follower, attachment);
            // One that was about to join held the high watermark.
            partition.advance_high_watermark(cx);
            partition.tell_replicated(cx);
        }
    }
}

impl Partition {
    /// What the log has to say to a follower whose last record is of that epoch.
    fn attach_summary(&self, cx: &Context, last_epoch: Option<LeaderEpoch>) -> LogSummary {
        let log = &self.log;
        let (start, latest) = (log.log_start_offset(), log.last_epoch());
        let registered = cx.image.partition(self.id);
        LogSummary::new(start, latest, last_epoch, |epoch| log.end_offset_for_epoch(epoch)).with_unclean(
            last_epoch,
            log.epoch_entries().iter().map(|(epoch, _)| *epoch),
            |after, up_to| registered?.unclean_between(after, up_to),
        )
    }

    /// A follower is further, or has attached: records may be committed, the ISR may grow.
    fn on_follower_progress(&mut self, cx: &mut Context, follower: BrokerId) {
        self.advance_high_watermark(cx);
        self.tell_replicated(cx);
        let Role::Leader(role) = &self.role else { return };
        if role.leader.may_change_isr(follower) {
            self.propose_isr(cx);
        }
    }
}

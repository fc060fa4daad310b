//! What one partition does for a stream: its part of a leader's frame, and what a follower makes of it.

use super::Lane;
use super::framing::FramePart;
use super::out_links::{LinkShared, Turn, other_lane, refused};
use crate::shard::context::{Context, wall_clock};
use crate::shard::partition::Partition;
use crate::shard::role::Role;
use crate::shard::tail_ring::TailRing;
use bytes::Bytes;
use milena_log::{FollowerAppendError, PartitionLog, ReadError};
use milena_replication::{
    Attach, AttachmentId, LogEnds, Truncation, truncation_for_divergence, truncation_out_of_range,
};
use milena_rpc::proto::{self, PartitionFrame};
use milena_types::{ErrorCode, LeaderEpoch, Offset, TopicPartition};

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

/// Where a feed's records come from: the tail in memory, and on the catch-up lane also the log.
struct Source<'a> {
    ring: &'a TailRing,
    log: &'a PartitionLog,
    lane: Lane,
}

/// Why a feed cannot go on.
enum FeedEnd {
    /// What comes next has left the tail: the catch-up lane has it.
    BehindTail,
    /// The log cannot be read there.
    Unreadable(ReadError),
}

impl Source<'_> {
    /// Takes up to `quantum` bytes of records from `from` on; gives the offset after them.
    fn read(&self, from: Offset, quantum: usize, records: &mut Vec<Bytes>) -> Result<Offset, FeedEnd> {
        let from_ring = self.ring.read_parts(from, quantum, |batch| records.push(batch));
        match (from_ring, self.lane) {
            (Some((_, next)), _) => Ok(next),
            (None, Lane::Live) => Err(FeedEnd::BehindTail),
            (None, Lane::CatchUp) => {
                let read = self
                    .log
                    .read(from, quantum, self.log.log_end_offset(), true)
                    .map_err(FeedEnd::Unreadable)?;
                records.push(read.records);
                Ok(read.next_offset)
            }
        }
    }
}

impl FeedEnd {
    /// The last word on the attachment.
    fn tell(self, attach: u64, partition: &TopicPartition) -> PartitionFrame {
        match self {
            Self::BehindTail => other_lane(attach),
            Self::Unreadable(error) => {
                tracing::warn!(%partition, %error, "cannot read for a follower");
                refused(attach, ErrorCode::OffsetOutOfRange)
            }
        }
    }
}

impl Partition {
    /// The leader's part of a frame for one stream.
    pub(super) fn feed(
        &mut self,
        cx: &mut Context,
        shared: &LinkShared,
        has_credit: bool,
        quantum: usize,
    ) -> Turn {
        let (log_start, log_end) = (self.log.log_start_offset(), self.log.log_end_offset());
        let Role::Leader(role) = &mut self.role else {
            return Turn::Nothing;
        };
        let high_watermark = role.leader.high_watermark();
        let Some(feed) = role
            .feeds
            .iter_mut()
            .find(|feed| feed.attachment.stream == shared.stream)
        else {
            return Turn::Nothing;
        };
        let has_records = feed.next < log_end;
        if has_records && !has_credit {
            return Turn::NoCredit;
        }
        feed.queued = false;
        if !has_records && feed.sent_high_watermark == high_watermark && feed.sent_log_start == log_start {
            return Turn::Nothing;
        }
        let attach = feed.attachment.attach;
        let (from, mut records) = (feed.next, Vec::new());
        if has_records {
            let source = Source {
                ring: &role.ring,
                log: &self.log,
                lane: shared.lane,
            };
            match source.read(from, quantum, &mut records) {
                Ok(next) => feed.next = next,
                Err(reason) => {
                    let (follower, attachment) = (feed.follower, feed.attachment);
                    role.end_feed(follower, attachment);
                    return Turn::Ended {
                        part: None,
                        last: reason.tell(attach, &self.name),
                    };
                }
            }
        }
        feed.sent_high_watermark = high_watermark;
        feed.sent_log_start = log_start;
        let head = PartitionFrame {
            attach_id: attach,
            high_watermark: high_watermark.0,
            log_start_offset: log_start.0,
            from_offset: from.0,
            ..PartitionFrame::default()
        };
        let part = FramePart { head, records };
        let at_tail = feed.next >= log_end || role.ring.covers(feed.next);
        if shared.lane == Lane::CatchUp && at_tail {
            let (follower, attachment) = (feed.follower, feed.attachment);
            role.end_feed(follower, attachment);
            self.advance_high_watermark(cx);
            return Turn::Ended {
                part: Some(part),
                last: other_lane(attach),
            };
        }
        let again = feed.next < log_end;
        feed.queued = again;
        Turn::Sent { part, again }
    }

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
    pub(super) fn truncate_diverged(&mut self, cx: &mut Context, epoch: LeaderEpoch, end: Offset) {
        let truncation = truncation_for_divergence(
            self.log.end_offset_for_epoch(epoch),
            self.log.log_start_offset(),
            self.log.log_end_offset(),
            self.high_watermark.get(),
            end,
        );
        self.truncate(cx, truncation);
    }

    /// The log end lies outside the leader's log.
    pub(super) fn truncate_out_of_range(
        &mut self,
        cx: &mut Context,
        leader_start: Offset,
        leader_end: Offset,
    ) {
        let truncation = truncation_out_of_range(self.log.log_end_offset(), leader_start, leader_end);
        self.truncate(cx, truncation);
    }

    fn truncate(&mut self, cx: &mut Context, truncation: Truncation) {
        let before = self.log.log_end_offset();
        let result = match truncation {
            Truncation::To(offset) => self.log.truncate_to(offset),
            Truncation::FullyAndStartAt(offset) => self.log.truncate_fully_and_start_at(offset),
        };
        if let Err(error) = result {
            self.storage_failed(cx, &error);
            return;
        }
        let (start, end) = (self.log.log_start_offset(), self.log.log_end_offset());
        tracing::info!(partition = %self.name, from = %before, to = %end, "truncated to the leader's log");
        let known = self.high_watermark.get();
        if self.high_watermark.on_truncated(start, end) {
            // Only an unclean election or the loss of flushed data leads here.
            tracing::error!(partition = %self.name, high_watermark = %known, log_end = %end, "committed records are gone");
        }
        cx.checkpoint_dirty.insert(self.id);
    }
}

//! The leader's side of the streams: followers attach, acknowledge and leave.

use super::attachments::Attachments;
use super::partition::Feed;
use super::process::Process;
use crate::cx::Cx;
use crate::network::stream::{self, End, Frame, Message};
use crate::say;
use milena_replication::{Attach, AttachAnswer, AttachmentId, LogEnds, LogSummary};
use milena_types::mutants::Mutant;
use milena_types::{BrokerEpoch, BrokerId, ErrorCode, Offset, TopicIdPartition};

/// A stream from a follower.
#[derive(Debug)]
pub(super) struct OutLink {
    follower: BrokerId,
    follower_epoch: BrokerEpoch,
    attached: Attachments,
}

impl Process {
    /// A message by a stream.
    pub(super) fn on_message(&mut self, cx: &mut Cx, number: u64, end: End, message: Message) {
        match (end, message) {
            (End::Follower, Message::Frame(attach, frame)) => self.on_frame(cx, number, attach, frame),
            (End::Leader, Message::Hello(follower_epoch)) => {
                let follower = cx
                    .network
                    .streams
                    .get(&number)
                    .map(|stream| stream.follower.broker);
                self.begin_link(number, follower, follower_epoch);
            }
            (
                End::Leader,
                Message::Attach {
                    attach,
                    id,
                    leader_epoch,
                    last_epoch,
                    ends,
                },
            ) => {
                let Some(link) = self.links_out.get(&number) else {
                    return;
                };
                let request = Attach {
                    broker: link.follower,
                    broker_epoch: link.follower_epoch,
                    attachment: AttachmentId {
                        stream: number,
                        attach,
                    },
                    leader_epoch,
                    last_epoch,
                    ends,
                };
                self.on_attach(cx, number, id, &request);
            }
            (
                End::Leader,
                Message::Ack {
                    attach,
                    ends,
                    log_start,
                },
            ) => {
                let attachment = AttachmentId {
                    stream: number,
                    attach,
                };
                self.on_ack(cx, attachment, ends, log_start);
            }
            (End::Leader, Message::Detach(attach)) => {
                if let Some(link) = self.links_out.get_mut(&number)
                    && let Some(id) = link.attached.remove(attach)
                {
                    let follower = link.follower;
                    self.end_feed(
                        cx,
                        id,
                        follower,
                        AttachmentId {
                            stream: number,
                            attach,
                        },
                    );
                }
            }
            _ => {}
        }
    }

    fn begin_link(&mut self, number: u64, follower: Option<BrokerId>, follower_epoch: BrokerEpoch) {
        if let Some(follower) = follower {
            let link = OutLink {
                follower,
                follower_epoch,
                attached: Attachments::default(),
            };
            self.links_out.insert(number, link);
        }
    }

    /// An acknowledgement; one that belongs to no current attachment is ignored.
    fn on_ack(&mut self, cx: &mut Cx, attachment: AttachmentId, ends: LogEnds, log_start: Offset) {
        let Some(link) = self.links_out.get(&attachment.stream) else {
            return;
        };
        let follower = link.follower;
        let Some(id) = link.attached.get(attachment.attach, Mutant::NoReplyCorrelation) else {
            return;
        };
        let now = cx.moment();
        let Some(role) = self.partitions.get_mut(&id).and_then(|p| p.leading()) else {
            return;
        };
        if role.leader.on_ack(follower, attachment, ends, log_start, now) {
            self.on_progress(cx, id, follower);
        }
    }

    /// One of its streams is broken.
    pub(super) fn on_broken(&mut self, cx: &mut Cx, number: u64, end: End) {
        stream::close(cx, number, end);
        match end {
            End::Follower => self.on_in_link_broken(cx, number),
            End::Leader => {
                let Some(mut link) = self.links_out.remove(&number) else {
                    return;
                };
                for (attach, id) in link.attached.take() {
                    self.end_feed(
                        cx,
                        id,
                        link.follower,
                        AttachmentId {
                            stream: number,
                            attach,
                        },
                    );
                }
            }
        }
    }

    fn on_attach(&mut self, cx: &mut Cx, number: u64, id: TopicIdPartition, request: &Attach) {
        let attach = request.attachment.attach;
        let refuse =
            |cx: &mut Cx, frame| stream::send(cx, number, End::Leader, Message::Frame(attach, frame));
        let now = cx.moment();
        let Some(partition) = self.partitions.get_mut(&id) else {
            refuse(cx, Frame::Refused(ErrorCode::UnknownTopicOrPartition));
            return;
        };
        let log = &partition.log;
        let registered = self.image.partition(id);
        let summary = LogSummary::new(
            log.log_start_offset(),
            log.last_epoch(),
            request.last_epoch,
            |epoch| log.end_offset_for_epoch(epoch),
        )
        .with_unclean(
            request.last_epoch,
            log.epoch_entries().iter().map(|(epoch, _)| *epoch),
            |after, up_to| registered?.unclean_between(after, up_to),
        );
        let Some(role) = partition.leading() else {
            refuse(cx, Frame::Refused(ErrorCode::NotLeaderOrFollower));
            return;
        };
        match role.leader.attach(request, &summary, now) {
            AttachAnswer::Accepted => {}
            AttachAnswer::Refused(error) => {
                cx.coverage.attach_stale += u64::from(error == ErrorCode::StaleBrokerEpoch);
                let fenced = [ErrorCode::FencedLeaderEpoch, ErrorCode::UnknownLeaderEpoch].contains(&error);
                cx.coverage.attach_fenced += u64::from(fenced);
                return refuse(cx, Frame::Refused(error));
            }
            AttachAnswer::Diverged {
                epoch,
                end,
                log_start,
                unclean,
            } => {
                say!(
                    cx,
                    "{}: {request:?} of {} has parted; epochs {:?}",
                    self.host.broker,
                    partition.name,
                    partition.log.epoch_entries()
                );
                return refuse(cx, Frame::Diverged(epoch, end, log_start, unclean));
            }
            AttachAnswer::OutOfRange {
                log_start,
                log_end,
                unclean,
            } => {
                return refuse(cx, Frame::OutOfRange(log_start, log_end, unclean));
            }
        }
        role.feeds.retain(|feed| feed.follower != request.broker);
        role.feeds.push(Feed {
            follower: request.broker,
            attachment: request.attachment,
            next: request.ends.log_end,
            sent: None,
        });
        if let Some(link) = self.links_out.get_mut(&number) {
            link.attached.insert(attach, id);
        }
        self.to_feed.insert(id);
        self.on_progress(cx, id, request.broker);
    }

    fn end_feed(&mut self, cx: &mut Cx, id: TopicIdPartition, follower: BrokerId, attachment: AttachmentId) {
        if let Some(role) = self.partitions.get_mut(&id).and_then(|p| p.leading()) {
            role.leader.detach(follower, attachment);
            role.feeds.retain(|feed| feed.attachment != attachment);
            // One that was about to join held the high watermark.
            self.advance_high_watermark(cx, id);
        }
    }

    /// The partition is fed no more on that attachment.
    pub(super) fn refuse_feed(&mut self, cx: &mut Cx, attachment: AttachmentId, error: ErrorCode) {
        if let Some(link) = self.links_out.get_mut(&attachment.stream)
            && link.attached.remove(attachment.attach).is_some()
        {
            let frame = Message::Frame(attachment.attach, Frame::Refused(error));
            stream::send(cx, attachment.stream, End::Leader, frame);
        }
    }

    /// A follower is further, or has attached.
    fn on_progress(&mut self, cx: &mut Cx, id: TopicIdPartition, follower: BrokerId) {
        self.advance_high_watermark(cx, id);
        let Some(leader) = self.partitions.get(&id).and_then(|p| p.leader()) else {
            return;
        };
        if leader.may_change_isr(follower) {
            self.propose_isr(cx, id);
        }
    }
}

//! Three brokers, their controller, and what is on its way between them.

use super::broker::{Broker, NOW, Record, Role};
use super::controller::Controller;
use super::digest::digest;
use milena_metadata::request::{AlterPartition, AlterPartitionItem};
use milena_replication::{
    Attach, AttachAnswer, AttachmentId, LogEnds, ProposalId, Truncation, truncation_for_divergence,
    truncation_out_of_range,
};
use milena_types::{BrokerEpoch, BrokerId, ErrorCode, LeaderEpoch, Offset};

/// What may still happen.
#[derive(Clone, Copy, Debug)]
pub(super) struct Left {
    pub(super) writes: u8,
    pub(super) faults: u8,
    pub(super) wipes: u8,
    /// Messages of followers that come late.
    pub(super) late: u8,
    /// Requests that come twice.
    pub(super) twins: u8,
}

/// A request for another ISR, on its way.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    pub(super) request: AlterPartition,
    run: u8,
    id: ProposalId,
}

/// A message of a follower that comes late. Those of one stream come in their order.
#[derive(Clone, Debug)]
pub(super) enum Late {
    Attach(Attach),
    Ack {
        from: BrokerId,
        attachment: AttachmentId,
        ends: LogEnds,
    },
}

impl Late {
    pub(super) fn stream(&self) -> u64 {
        match self {
            Late::Attach(attach) => attach.attachment.stream,
            Late::Ack { attachment, .. } => attachment.stream,
        }
    }
}

/// A state of everything.
#[derive(Clone)]
pub(super) struct Cluster {
    pub(super) controller: Controller,
    pub(super) brokers: Vec<Broker>,
    pub(super) asked: Vec<Asked>,
    pub(super) late: Vec<Late>,
    pub(super) left: Left,
    /// What was below a leader's high watermark.
    committed: Vec<Record>,
    agrees: bool,
}

/// The stream from a process of a follower to a leader. The leader's own runs need not be told apart: it forgets all with each.
pub(super) fn stream(epoch: BrokerEpoch, leader: BrokerId) -> u64 {
    epoch.0.cast_unsigned() * 8 + u64::from(leader.0.unsigned_abs())
}

fn leader_of(stream: u64) -> usize {
    usize::try_from(stream % 8).unwrap_or(0)
}

impl Cluster {
    /// Three brokers that know of a partition on all of them.
    pub(super) fn new(left: Left) -> Self {
        let mut controller = Controller::new();
        let ids: Vec<BrokerId> = (0..3).map(BrokerId).collect();
        let mut brokers = Vec::new();
        for id in &ids {
            let epoch = controller.register(*id, 1, 1);
            brokers.push(Broker::new(*id, epoch, controller.newest_known()));
            controller.unfence(*id, epoch, controller.newest().image.version);
        }
        controller.create_topic(ids);
        let mut new = Self {
            controller,
            brokers,
            asked: Vec::new(),
            late: Vec::new(),
            left,
            committed: Vec::new(),
            agrees: true,
        };
        for at in 0..3 {
            new.news(at);
        }
        new
    }

    pub(super) fn digest(&self) -> u64 {
        let brokers: Vec<_> = self.brokers.iter().map(Broker::describe).collect();
        let moving = (&self.asked, &self.late, self.left);
        digest(&(
            brokers,
            self.controller.newest().digest,
            moving,
            &self.committed,
            self.agrees,
        ))
    }

    /// I6, I29 and I30: one record for an offset; the metadata is sound; whoever may be elected has everything that was committed.
    pub(super) fn is_sound(&self) -> bool {
        let Some((_, state)) = self.controller.newest().partition() else {
            return self.controller.is_sound();
        };
        let mut eligible = state.isr.iter().chain(&state.elr);
        let has_everything = |id: &BrokerId| {
            let broker = self.brokers.iter().find(|broker| broker.id == *id);
            broker.is_some_and(|broker| broker.log.records.starts_with(&self.committed))
        };
        self.agrees && self.controller.is_sound() && eligible.all(has_everything)
    }

    /// A broker is heard of again. False: that changes nothing.
    pub(super) fn unfence(&mut self, at: usize) -> bool {
        let broker = &self.brokers[at];
        let (id, epoch, applied) = (broker.id, broker.epoch, broker.known.image.version);
        self.controller.unfence(id, epoch, applied)
    }

    /// A broker hears of the metadata as it is by now.
    pub(super) fn news(&mut self, at: usize) -> bool {
        let version = self.brokers[at].known.image.version;
        let newest = self.controller.newest_known();
        if newest.image.version == version {
            return false;
        }
        let led = self.brokers[at].leader().map(|leader| leader.leader_epoch());
        self.brokers[at].hear(newest);
        if led.is_some() && self.brokers[at].leader().map(|l| l.leader_epoch()) != led {
            self.end_streams_to(at);
        }
        self.settle(at);
        true
    }

    /// A leader is gone, or leads no more: who was attached to it is told.
    fn end_streams_to(&mut self, at: usize) {
        let leader = self.brokers[at].id;
        for broker in &mut self.brokers {
            let Some(following) = broker.following().filter(|f| f.leader() == leader) else {
                continue;
            };
            if let Some(attachment) = following.attachment() {
                following.ended(attachment);
            }
        }
    }

    /// A leader does what it may do by now.
    fn settle(&mut self, at: usize) {
        self.advance(at);
        self.propose(at);
    }

    fn advance(&mut self, at: usize) {
        let broker = &mut self.brokers[at];
        let Some(leader) = broker.leading() else { return };
        let Some(end) = leader.advance_high_watermark(NOW, || true) else {
            return;
        };
        let end = usize::try_from(end.0).unwrap_or(0);
        let committed = &broker.log.records[..end.min(broker.log.records.len())];
        let common = committed.len().min(self.committed.len());
        self.agrees &= committed[..common] == self.committed[..common];
        if committed.len() > common {
            self.committed = committed.to_vec();
        }
    }

    pub(super) fn propose(&mut self, at: usize) -> bool {
        let broker = &mut self.brokers[at];
        let (id, run, epoch) = (broker.id, broker.run, broker.epoch);
        let partition = broker.known.partition().map(|(partition, _)| partition);
        let (Some(leader), Some(partition)) = (broker.leading(), partition) else {
            return false;
        };
        let Some(proposal) = leader.propose(epoch, NOW) else {
            return false;
        };
        let request = AlterPartition {
            broker: id,
            broker_epoch: epoch,
            partitions: vec![AlterPartitionItem {
                id: partition,
                leader_epoch: proposal.id.leader_epoch,
                partition_epoch: proposal.partition_epoch,
                isr: proposal.isr,
                recovering: false,
            }],
        };
        let id = proposal.id;
        self.asked.push(Asked { request, run, id });
        true
    }

    /// The controller gets the request; its answer arrives. With `twin` another copy is still on its way.
    pub(super) fn ask(&mut self, number: usize, twin: bool) {
        let asked = match twin {
            true => self.asked[number].clone(),
            false => self.asked.remove(number),
        };
        let error = self.controller.alter(&asked.request);
        self.answered(&asked, error);
    }

    fn answered(&mut self, asked: &Asked, error: ErrorCode) {
        let sender = asked.request.broker;
        let broker = self.brokers.iter_mut().find(|broker| broker.id == sender);
        if let Some(broker) = broker.filter(|broker| broker.run == asked.run)
            && let Some(leader) = broker.leading()
        {
            leader.on_proposal_answered(asked.id, error);
        }
    }

    /// Its sender waits no more for the request, which is still on its way.
    pub(super) fn time_out(&mut self, number: usize) {
        let asked = self.asked[number].clone();
        self.answered(&asked, ErrorCode::RequestTimedOut);
    }

    /// A leader asks again, if it still wants something else than is committed.
    pub(super) fn retry(&mut self, at: usize) -> bool {
        let broker = &mut self.brokers[at];
        broker
            .leading()
            .is_some_and(|leader| !leader.proposal_in_flight())
            && self.propose(at)
    }

    /// A follower attaches; the message comes at once, or late. False: it does not want to, or is refused.
    pub(super) fn attach(&mut self, at: usize, late: bool) -> bool {
        let broker = &mut self.brokers[at];
        let (ends, last_epoch) = (broker.ends(), broker.log.epochs.latest());
        let (id, epoch) = (broker.id, broker.epoch);
        let Role::Follower(following) = &mut broker.role else {
            return false;
        };
        let (leader, leader_epoch) = (following.leader(), following.leader_epoch());
        let Some(attach) = following.attach(leader, &mut broker.ids) else {
            return false;
        };
        let stream = stream(epoch, leader);
        let attach = Attach {
            broker: id,
            broker_epoch: epoch,
            attachment: AttachmentId { stream, attach },
            leader_epoch,
            last_epoch,
            ends,
        };
        if late {
            self.late.push(Late::Attach(attach));
            return true;
        }
        !self.is_behind(stream) && self.on_attach(&attach)
    }

    /// A late message of that stream comes first.
    fn is_behind(&self, stream: u64) -> bool {
        self.late.iter().any(|late| late.stream() == stream)
    }

    /// False: refused.
    fn on_attach(&mut self, attach: &Attach) -> bool {
        let at = leader_of(attach.attachment.stream);
        let broker = &mut self.brokers[at];
        let summary = broker.log.summary(attach.last_epoch);
        let Role::Leader(leader, feeds) = &mut broker.role else {
            self.end_attachment(attach, None);
            return false;
        };
        let answer = leader.attach(attach, &summary, NOW);
        if answer == AttachAnswer::Accepted {
            feeds.retain(|(follower, _)| *follower != attach.broker);
            feeds.push((attach.broker, attach.attachment));
            self.settle(at);
            return true;
        }
        self.end_attachment(attach, Some(answer));
        !matches!(answer, AttachAnswer::Refused(_))
    }

    /// The follower hears that it is not attached, if it still is the process that wanted to, and cuts its log as it has to.
    fn end_attachment(&mut self, attach: &Attach, answer: Option<AttachAnswer>) {
        let broker = self.brokers.iter_mut().find(|broker| broker.id == attach.broker);
        let Some(broker) = broker.filter(|broker| broker.epoch == attach.broker_epoch) else {
            return;
        };
        let (end, committed) = (broker.log.end(), broker.known_committed.get());
        let ended = broker
            .following()
            .is_some_and(|following| following.ended(attach.attachment.attach));
        let truncation = match answer {
            Some(AttachAnswer::Diverged {
                epoch, end: theirs, ..
            }) => truncation_for_divergence(
                broker.log.epochs.end_offset_for(epoch, end),
                Offset::ZERO,
                end,
                committed,
                theirs,
                Offset::ZERO,
            ),
            Some(AttachAnswer::OutOfRange {
                log_start, log_end, ..
            }) => truncation_out_of_range(Offset::ZERO, end, log_start, log_end),
            _ => return,
        };
        if !ended {
            return;
        }
        let to = match truncation {
            Truncation::To(offset) => offset,
            Truncation::FullyAndStartAt(_) => Offset::ZERO,
        };
        broker.log.truncate(to);
        let _ = broker.known_committed.on_truncated(Offset::ZERO, to);
    }

    /// A leader sends a follower what it lacks, and the news; the acknowledgement comes at once, or late. False: nothing is sent.
    pub(super) fn feed(&mut self, at: usize, late: bool) -> bool {
        let (id, epoch) = (self.brokers[at].id, self.brokers[at].epoch);
        let Some(following) = self.brokers[at].following() else {
            return false;
        };
        let (leader, followed) = (following.leader(), following.leader_epoch());
        let Some(attach) = following.attachment() else {
            return false;
        };
        let attachment = AttachmentId {
            stream: stream(epoch, leader),
            attach,
        };
        let Role::Leader(leader, feeds) = &self.brokers[leader_of(attachment.stream)].role else {
            return false;
        };
        let high_watermark = leader.high_watermark();
        let source = &self.brokers[leader_of(attachment.stream)].log.records;
        let from = self.brokers[at].log.records.len();
        if !feeds.contains(&(id, attachment))
            || from >= source.len()
            || (!late && self.is_behind(attachment.stream))
        {
            return false;
        }
        let new: Vec<Record> = source[from..].to_vec();
        let broker = &mut self.brokers[at];
        for record in &new {
            if takes(followed, record.epoch) {
                broker.log.append(*record);
            }
        }
        let end = broker.log.end();
        broker.known_committed.advance(high_watermark, end);
        let ends = broker.ends();
        if late {
            self.late.push(Late::Ack {
                from: id,
                attachment,
                ends,
            });
        } else {
            self.on_ack(id, attachment, ends);
        }
        true
    }

    fn on_ack(&mut self, from: BrokerId, attachment: AttachmentId, ends: LogEnds) {
        let at = leader_of(attachment.stream);
        if let Some(leader) = self.brokers[at].leading()
            && leader.on_ack(from, attachment, ends, Offset::ZERO, NOW)
        {
            self.settle(at);
        }
    }

    /// A late message arrives.
    pub(super) fn deliver(&mut self, number: usize) {
        match self.late.remove(number) {
            Late::Attach(attach) => {
                self.on_attach(&attach);
            }
            Late::Ack {
                from,
                attachment,
                ends,
            } => self.on_ack(from, attachment, ends),
        }
    }

    /// The stream of a follower breaks; both ends hear of it. False: there is none.
    pub(super) fn break_stream(&mut self, at: usize) -> bool {
        let (id, epoch) = (self.brokers[at].id, self.brokers[at].epoch);
        let Some(following) = self.brokers[at].following() else {
            return false;
        };
        let (leader, Some(attach)) = (following.leader(), following.attachment()) else {
            return false;
        };
        following.ended(attach);
        let stream = stream(epoch, leader);
        self.late.retain(|late| late.stream() != stream);
        let at = leader_of(stream);
        if let Role::Leader(leader, feeds) = &mut self.brokers[at].role {
            leader.detach(id, AttachmentId { stream, attach });
            feeds.retain(|(follower, _)| *follower != id);
        }
        self.settle(at);
        true
    }

    /// A client writes to whoever thinks that it leads. False: that one takes nothing.
    pub(super) fn write(&mut self, at: usize, value: u8) -> bool {
        let broker = &mut self.brokers[at];
        let end = broker.log.end().plus(1);
        let Role::Leader(leader, _) = &mut broker.role else {
            return false;
        };
        if leader.check_min_isr().is_err() {
            return false;
        }
        let epoch = leader.leader_epoch();
        broker.log.append(Record { epoch, value });
        leader.on_append(end, NOW);
        leader.on_advertised(end);
        self.settle(at);
        true
    }

    /// A process ends, and starts again at once, perhaps with an empty disk.
    pub(super) fn start_again(&mut self, at: usize, wiped: bool) {
        self.end_streams_to(at);
        let leader = self.brokers[at].id;
        // What is on its way to the former process arrives nowhere.
        self.late
            .retain(|late| BrokerId(i32::try_from(late.stream() % 8).unwrap_or(-1)) != leader);
        let broker = &mut self.brokers[at];
        let epoch = self
            .controller
            .register(broker.id, broker.run + 1, broker.disk + u8::from(wiped));
        broker.start_again(epoch, wiped);
        broker.hear(self.controller.newest_known());
    }
}

/// A follower leaves out what is of a newer epoch than it follows in, as the log does.
fn takes(followed: LeaderEpoch, found: LeaderEpoch) -> bool {
    use milena_types::mutants::{Mutant, on};
    found <= followed || on(Mutant::NoLeaderEpochFence)
}

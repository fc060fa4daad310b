//! The follower's side of the streams: which partitions are wanted from whom, what is said next, what frames do.

use super::attachments::Attachments;
use super::process::Process;
use crate::cx::Cx;
use crate::event::{BrokerTimer, Event};
use crate::network::stream::{self, End, Frame, Message};
use crate::oracle::{losses, truth};
use crate::say;
use crate::time::{MILLI, Micros};
use bytes::Bytes;
use milena_log::{FollowerAppendError, LogError};
use milena_record::BatchHeader;
use milena_replication::{
    LogTail, Truncated, Truncation, adopted_log_start, loss, restart_for_batch, truncation_for_divergence,
    truncation_out_of_range,
};
use milena_types::mutants::Mutant;
use milena_types::{BrokerId, LeaderEpoch, Offset, OffsetRange, TopicIdPartition};

/// The pause before a partition that was refused is attached again.
const REFUSED_PAUSE: Micros = 20 * MILLI;
/// The pause after records that could not be appended.
const APPEND_FAILED_PAUSE: Micros = 500 * MILLI;

/// A stream to a leader, open or not.
#[derive(Debug, Default)]
pub(super) struct InLink {
    pub(super) stream: Option<u64>,
    pending: Vec<TopicIdPartition>,
    attached: Attachments,
    detach: Vec<u64>,
    acks: Vec<(u64, TopicIdPartition)>,
    connecting: bool,
}

impl Process {
    /// The partition is to be followed.
    pub(super) fn want(&mut self, cx: &mut Cx, leader: BrokerId, id: TopicIdPartition) {
        let link = self.links_in.entry(leader).or_default();
        if !link.pending.contains(&id) {
            link.pending.push(id);
        }
        if link.stream.is_none() && !link.connecting {
            link.connecting = true;
            cx.timer(self.host, 0, BrokerTimer::Connect(leader));
        }
    }

    /// The partition is followed there no more.
    pub(super) fn unwant(&mut self, leader: BrokerId, id: TopicIdPartition, attach: Option<u64>) {
        if let Some(link) = self.links_in.get_mut(&leader) {
            link.pending.retain(|pending| *pending != id);
            if let Some(attach) = attach
                && link.attached.remove(attach).is_some()
            {
                link.detach.push(attach);
            }
        }
    }

    /// A pause is over.
    pub(super) fn want_again(&mut self, cx: &mut Cx, id: TopicIdPartition) {
        let wanted = self.partitions.get_mut(&id).and_then(|partition| {
            let following = &partition.follows()?.following;
            following.attachment().is_none().then_some(following.leader())
        });
        if let Some(leader) = wanted {
            self.want(cx, leader, id);
        }
    }

    /// Tries to open the stream to a leader.
    pub(super) fn connect(&mut self, cx: &mut Cx, leader: BrokerId) {
        let Some(link) = self.links_in.get_mut(&leader) else {
            return;
        };
        link.connecting = false;
        if link.stream.is_some() || (link.pending.is_empty() && link.attached.is_empty()) {
            return;
        }
        let open = cx.network.is_sound(self.host.broker, leader);
        let listening = cx
            .oracle
            .listening(leader)
            .filter(|_| open && !cx.network.paused.contains(&leader));
        match (self.life.epoch, listening) {
            (Some(epoch), Some(host)) => {
                let number = stream::open(cx, self.host, host, epoch);
                if let Some(link) = self.links_in.get_mut(&leader) {
                    link.stream = Some(number);
                }
            }
            _ => {
                link.connecting = true;
                let again = cx.random.between(50, 300) * MILLI;
                cx.timer(self.host, again, BrokerTimer::Connect(leader));
            }
        }
    }

    /// A broker registered anew or was unfenced: try at once.
    pub(super) fn peer_changed(&mut self, cx: &mut Cx, broker: BrokerId) {
        if self.links_in.get(&broker).is_some_and(|link| link.connecting) {
            cx.timer(self.host, 0, BrokerTimer::Connect(broker));
        }
    }

    /// This broker registered anew: leaders take nothing any more from streams that were opened before.
    pub(super) fn follow_own_registration(&mut self, cx: &mut Cx) {
        let epoch = self.life.epoch;
        if std::mem::replace(&mut self.registration, epoch) != epoch {
            let open: Vec<u64> = self.links_in.values().filter_map(|link| link.stream).collect();
            for number in open {
                stream::close(cx, number, End::Follower);
                self.on_in_link_broken(cx, number);
            }
        }
    }

    /// The stream to a leader is gone: everything that is wanted is attached anew.
    pub(super) fn on_in_link_broken(&mut self, cx: &mut Cx, number: u64) {
        let found = self
            .links_in
            .iter_mut()
            .find(|(_, link)| link.stream == Some(number));
        let Some((leader, link)) = found else { return };
        let leader = *leader;
        link.stream = None;
        link.detach.clear();
        link.acks.clear();
        for (attach, id) in link.attached.take() {
            link.pending.push(id);
            if let Some(role) = self.partitions.get_mut(&id).and_then(|p| p.follows()) {
                role.following.ended(attach);
            }
        }
        link.connecting = true;
        let pause = cx.random.between(5, 200) * MILLI;
        cx.timer(self.host, pause, BrokerTimer::Connect(leader));
        // The broker tells the controller that a stream broke, which looks after the peer.
        let peer = cx.oracle.last_run(leader);
        cx.after(
            pause,
            Event::Controller(crate::event::ControllerTimer::Probe(peer)),
        );
    }

    /// Says what there is to say on all streams.
    pub(super) fn speak(&mut self, cx: &mut Cx) {
        let leaders: Vec<BrokerId> = self.links_in.keys().copied().collect();
        for leader in leaders {
            let Some(link) = self.links_in.get_mut(&leader) else {
                continue;
            };
            let Some(number) = link.stream else { continue };
            for attach in std::mem::take(&mut link.detach) {
                stream::send(cx, number, End::Follower, Message::Detach(attach));
            }
            let acks = std::mem::take(&mut link.acks);
            let pending = std::mem::take(&mut link.pending);
            for (attach, id) in acks {
                self.send_ack(cx, number, attach, id);
            }
            for id in pending {
                self.send_attach(cx, leader, number, id);
            }
        }
    }

    fn send_ack(&mut self, cx: &mut Cx, number: u64, attach: u64, id: TopicIdPartition) {
        let Some(partition) = self.partitions.get_mut(&id) else {
            return;
        };
        let (ends, log_start) = (partition.ends(), partition.log.log_start_offset());
        let Some(role) = partition.follows() else { return };
        if role.following.take_ack(attach) {
            let message = Message::Ack {
                attach,
                ends,
                log_start,
            };
            stream::send(cx, number, End::Follower, message);
        }
    }

    fn send_attach(&mut self, cx: &mut Cx, leader: BrokerId, number: u64, id: TopicIdPartition) {
        let Some(partition) = self.partitions.get_mut(&id) else {
            return;
        };
        let (ends, last_epoch) = (partition.ends(), partition.log.last_epoch());
        let Some(role) = partition.follows() else { return };
        let Some(attach) = role.following.attach(leader, &mut self.attach_ids) else {
            return;
        };
        if let Some(link) = self.links_in.get_mut(&leader) {
            link.attached.insert(attach, id);
        }
        let message = Message::Attach {
            attach,
            id,
            leader_epoch: role.following.leader_epoch(),
            last_epoch,
            ends,
        };
        stream::send(cx, number, End::Follower, message);
    }

    /// A frame from a leader.
    pub(super) fn on_frame(&mut self, cx: &mut Cx, number: u64, attach: u64, frame: Frame) {
        let found = self
            .links_in
            .iter_mut()
            .find(|(_, link)| link.stream == Some(number));
        let Some((leader, link)) = found else { return };
        let leader = *leader;
        let Some(id) = link.attached.get(attach, Mutant::StaleFrameAccepted) else {
            return;
        };
        let ends_it = !matches!(frame, Frame::Data { .. });
        if ends_it {
            link.attached.remove(attach);
        }
        let Some(role) = self.partitions.get_mut(&id).and_then(|p| p.follows()) else {
            return;
        };
        if !role.following.takes(attach) {
            return;
        }
        let epoch = role.following.leader_epoch();
        if ends_it {
            role.following.ended(attach);
        }
        match frame {
            Frame::Data {
                records,
                high_watermark,
                log_start,
            } => match self.take(cx, id, epoch, records, high_watermark, log_start) {
                Ok(()) => {}
                Err(FollowerAppendError::Log(error)) => self.storage_failed(&error),
                Err(error) => {
                    say!(cx, "{}: cannot append to {id}: {error}", self.node());
                    self.on_append_failed(cx, leader, attach, id);
                }
            },
            Frame::Diverged(epoch, end, start, unclean) => {
                self.on_diverged(cx, (leader, id), (epoch, end, start), unclean);
            }
            Frame::OutOfRange(start, end, unclean) => {
                self.on_out_of_range(cx, (leader, id), (start, end), unclean);
            }
            Frame::Refused(_) => cx.timer(self.host, REFUSED_PAUSE, BrokerTimer::Attach(id)),
        }
    }

    fn on_append_failed(&mut self, cx: &mut Cx, leader: BrokerId, attach: u64, id: TopicIdPartition) {
        if let Some(link) = self.links_in.get_mut(&leader)
            && link.attached.remove(attach).is_some()
        {
            link.detach.push(attach);
        }
        if let Some(role) = self.partitions.get_mut(&id).and_then(|p| p.follows()) {
            role.following.ended(attach);
        }
        cx.timer(self.host, APPEND_FAILED_PAUSE, BrokerTimer::Attach(id));
    }

    fn take(
        &mut self,
        cx: &mut Cx,
        id: TopicIdPartition,
        epoch: LeaderEpoch,
        records: Bytes,
        high_watermark: Offset,
        log_start: Offset,
    ) -> Result<(), FollowerAppendError> {
        if !records.is_empty() {
            let Some(partition) = self.partitions.get_mut(&id) else {
                return Ok(());
            };
            let first = BatchHeader::parse(&records)?;
            let (start, end) = (partition.log.log_start_offset(), partition.log.log_end_offset());
            let batch = OffsetRange {
                from: first.base_offset,
                to: first.next_offset(),
            };
            if let Some(at) = restart_for_batch(start, end, log_start, batch) {
                partition.log.truncate_fully_and_start_at(at)?;
                let _ = partition.known_committed.on_truncated(at, at);
            }
            let range = partition.log.append_as_follower(records, epoch, cx.timestamp())?;
            cx.trace.note(&[0xf0, range.to.0.cast_unsigned()]);
            self.after_append(id);
            let caught_up = self
                .partitions
                .get(&id)
                .is_some_and(|p| p.ends().advertised == p.log.log_end_offset());
            if caught_up {
                self.on_advertised(cx, id);
            }
        }
        self.adopt_log_start(cx, id, log_start);
        let Some(partition) = self.partitions.get_mut(&id) else {
            return Ok(());
        };
        let end = partition.log.log_end_offset();
        if partition.known_committed.advance(high_watermark, end) {
            partition.log.on_high_watermark(partition.known_committed.get());
            self.checkpoint_dirty.insert(id);
        }
        Ok(())
    }

    fn adopt_log_start(&mut self, cx: &mut Cx, id: TopicIdPartition, log_start: Offset) {
        let Some(partition) = self.partitions.get_mut(&id) else {
            return;
        };
        let (start, end) = (partition.log.log_start_offset(), partition.log.log_end_offset());
        if let Some(start) = adopted_log_start(start, end, log_start) {
            partition.log.set_log_start_offset(start);
            self.on_advertised(cx, id);
        }
    }

    fn on_diverged(
        &mut self,
        cx: &mut Cx,
        (leader, id): (BrokerId, TopicIdPartition),
        (epoch, end, leader_start): (LeaderEpoch, Offset, Offset),
        unclean: Option<LeaderEpoch>,
    ) {
        let Some(partition) = self.partitions.get_mut(&id) else {
            return;
        };
        let truncation = truncation_for_divergence(
            partition.log.end_offset_for_epoch(epoch),
            partition.log.log_start_offset(),
            partition.log.log_end_offset(),
            partition.known_committed.get(),
            end,
            leader_start,
        );
        cx.coverage.attach_diverged += 1;
        say!(
            cx,
            "{}: {} has parted from {leader} at {epoch}, {end}; epochs {:?}",
            self.host.broker,
            partition.name,
            partition.log.epoch_entries()
        );
        if let Some(role) = partition.follows() {
            role.rounds += 1;
            cx.coverage.attach_diverged_again += u64::from(role.rounds > 1);
        }
        self.truncate(cx, (leader, id), truncation, unclean);
    }

    fn on_out_of_range(
        &mut self,
        cx: &mut Cx,
        (leader, id): (BrokerId, TopicIdPartition),
        (start, end): (Offset, Offset),
        unclean: Option<LeaderEpoch>,
    ) {
        let Some(partition) = self.partitions.get(&id) else {
            return;
        };
        cx.coverage.attach_out_of_range += 1;
        let own = (partition.log.log_start_offset(), partition.log.log_end_offset());
        let truncation = truncation_out_of_range(own.0, own.1, start, end);
        self.truncate(cx, (leader, id), truncation, unclean);
    }

    fn truncate(
        &mut self,
        cx: &mut Cx,
        (leader, id): (BrokerId, TopicIdPartition),
        truncation: Truncation,
        unclean: Option<LeaderEpoch>,
    ) {
        let node = self.node();
        let Some(partition) = self.partitions.get_mut(&id) else {
            return;
        };
        let before = (partition.log.log_start_offset(), partition.log.log_end_offset());
        let tail = LogTail {
            log_start: before.0,
            log_end: before.1,
            last_epoch: partition.log.last_epoch(),
            high_watermark: partition.known_committed.get(),
        };
        let taken = match truncation.of_whole_batches(|offset| partition.log.cut_offset(offset)) {
            Ok(taken) => taken,
            Err(error) => {
                self.storage_failed(&error);
                return;
            }
        };
        let loss = loss(taken, &tail, unclean);
        let from = match truncation {
            Truncation::To(offset) => offset,
            Truncation::FullyAndStartAt(_) => before.0,
        };
        // A log that cannot be read is judged elsewhere.
        let removed = truth::read(&partition.log, from, before.1).unwrap_or_default();
        let result: Result<(), LogError> = match truncation {
            Truncation::To(offset) => partition.log.truncate_to(offset),
            Truncation::FullyAndStartAt(offset) => partition.log.truncate_fully_and_start_at(offset),
        };
        if let Err(error) = result {
            self.storage_failed(&error);
            return;
        }
        let (start, end) = (partition.log.log_start_offset(), partition.log.log_end_offset());
        let done = Truncated::between(before, (start, end));
        if done != Truncated::Nothing {
            cx.coverage.truncated += 1;
            say!(cx, "{node}: {} truncated: {done:?}", partition.name);
        }
        losses::on_truncated(cx, (self.host, id), before.0, &removed, loss.as_ref());
        let known = partition.known_committed.get();
        if partition.known_committed.on_truncated(start, end) {
            crate::oracle::durability::on_committed_truncated(cx, self.host, partition, known, end);
        }
        self.checkpoint_dirty.insert(id);
        self.want(cx, leader, id);
    }

    /// More of a followed log counts.
    pub(super) fn queue_ack(&mut self, id: TopicIdPartition) {
        let Some(role) = self.partitions.get_mut(&id).and_then(|p| p.follows()) else {
            return;
        };
        let leader = role.following.leader();
        if let Some(attach) = role.following.queue_ack()
            && let Some(link) = self.links_in.get_mut(&leader)
            && link.attached.contains(attach)
        {
            link.acks.push((attach, id));
        }
    }
}

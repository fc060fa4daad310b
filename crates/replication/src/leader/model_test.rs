//! A random cluster of the real leader code: three brokers, a controller, messages that are late, lost or overtaken.
//!
//! Checked after every step: a record that was acknowledged (below some leader's high watermark) is never missing from, or
//! different in, a later leader's log; and high watermarks agree on what lies below them. Power cuts drop what was not
//! flushed. Elections choose from the committed ISR only.

use super::*;
use crate::{Moment, Truncation, truncation_for_divergence, truncation_out_of_range};
use milena_types::{BrokerEpoch, BrokerId, ErrorCode, LeaderEpoch, Offset, PartitionEpoch};
use proptest::prelude::*;
use std::time::Duration;

const BROKERS: usize = 3;

/// A record: the epoch it was written in and a value that is unique.
type Record = (LeaderEpoch, u64);

#[derive(Clone, Debug, Default)]
struct Log {
    records: Vec<Record>,
    flushed: usize,
}

impl Log {
    fn end(&self) -> Offset {
        Offset(self.records.len() as i64)
    }

    fn ends(&self) -> LogEnds {
        LogEnds {
            log_end: self.end(),
            advertised: Offset(self.flushed as i64),
        }
    }

    fn last_epoch(&self) -> Option<LeaderEpoch> {
        self.records.last().map(|(epoch, _)| *epoch)
    }

    /// `endOffsetFor`, from the records themselves.
    fn end_for(&self, epoch: LeaderEpoch) -> Option<(LeaderEpoch, Offset)> {
        let known = self.records.iter().rev().find(|(e, _)| *e <= epoch)?.0;
        let end = self
            .records
            .iter()
            .position(|(e, _)| *e > known)
            .unwrap_or(self.records.len());
        Some((known, Offset(end as i64)))
    }

    fn truncate(&mut self, to: Truncation) {
        let Truncation::To(offset) = to else {
            unreachable!("logs of the model begin at 0")
        };
        self.records.truncate(offset.0 as usize);
        self.flushed = self.flushed.min(self.records.len());
    }
}

/// What is on its way.
#[derive(Clone, Debug)]
enum Message {
    Attach(usize, Attach),
    Accepted(usize, AttachmentId, LeaderEpoch),
    Diverged(usize, AttachmentId, AttachAnswer),
    Data {
        to: usize,
        attachment: AttachmentId,
        from: usize,
        records: Vec<Record>,
        high_watermark: Offset,
    },
    Ack {
        leader: usize,
        follower: usize,
        attachment: AttachmentId,
        ends: LogEnds,
    },
    Alter {
        leader: usize,
        proposal: IsrProposal,
    },
    AlterAnswer {
        leader: usize,
        of: ProposalId,
        error: ErrorCode,
    },
    Metadata {
        to: usize,
        state: Registration,
    },
}

/// The partition as the controller has committed it.
#[derive(Clone, Debug, PartialEq)]
struct Registration {
    leader: Option<BrokerId>,
    leader_epoch: LeaderEpoch,
    partition_epoch: PartitionEpoch,
    isr: Vec<BrokerId>,
    brokers: [(BrokerEpoch, bool); BROKERS],
}

#[derive(Clone, Debug, Default)]
struct Broker {
    alive: bool,
    epoch: BrokerEpoch,
    log: Log,
    high_watermark: Offset,
    /// What it knows of the partition.
    known: Option<Registration>,
    leader: Option<Leader>,
    /// What it has sent to each follower under which attachment.
    feeds: Vec<(usize, AttachmentId, usize)>,
    /// As a follower: the attachment that counts.
    attached: Option<AttachmentId>,
    next_attach: u64,
}

struct Model {
    brokers: Vec<Broker>,
    controller: Registration,
    network: Vec<Message>,
    committed: Vec<Record>,
    clock: u64,
    next_value: u64,
    next_epoch: i64,
}

fn id(broker: usize) -> BrokerId {
    BrokerId(broker as i32)
}

impl Model {
    fn new() -> Self {
        let brokers = [(BrokerEpoch(1), true); BROKERS];
        let controller = Registration {
            leader: Some(id(0)),
            leader_epoch: LeaderEpoch(1),
            partition_epoch: PartitionEpoch(1),
            isr: (0..BROKERS).map(id).collect(),
            brokers,
        };
        let broker = Broker {
            alive: true,
            epoch: BrokerEpoch(1),
            ..Broker::default()
        };
        let mut model = Self {
            brokers: vec![broker; BROKERS],
            controller,
            network: Vec::new(),
            committed: Vec::new(),
            clock: 0,
            next_value: 0,
            next_epoch: 2,
        };
        model.publish();
        model
    }

    fn now(&self) -> Moment {
        Moment(self.clock)
    }

    fn publish(&mut self) {
        for to in 0..BROKERS {
            self.network.push(Message::Metadata {
                to,
                state: self.controller.clone(),
            });
        }
    }

    /// What any leader calls committed must be the same for all time.
    fn check(&mut self) {
        for broker in self.brokers.iter().filter(|broker| broker.alive) {
            let Some(leader) = &broker.leader else { continue };
            let below = leader.high_watermark().0 as usize;
            for (at, record) in broker.log.records.iter().take(below).enumerate() {
                match self.committed.get(at) {
                    Some(known) => assert_eq!(known, record, "two records were committed at offset {at}"),
                    None => self.committed.push(*record),
                }
            }
        }
        for (at, broker) in self.brokers.iter().enumerate() {
            if let Some(leader) = &broker.leader
                && broker.alive
                && self.controller.leader == Some(id(at))
                && leader.leader_epoch() == self.controller.leader_epoch
            {
                let log = &broker.log.records;
                let kept = self
                    .committed
                    .iter()
                    .zip(log.iter().map(Some).chain(std::iter::repeat(None)));
                for (offset, (committed, found)) in kept.enumerate() {
                    assert_eq!(
                        Some(committed),
                        found,
                        "leader {at} lacks what was acknowledged at {offset}"
                    );
                }
            }
        }
    }

    fn append(&mut self, at: usize) {
        let now = self.now();
        let (broker, value) = (&mut self.brokers[at], self.next_value);
        let Some(leader) = broker.leader.as_mut().filter(|_| broker.alive) else {
            return;
        };
        if leader.check_min_isr().is_ok() {
            self.next_value += 1;
            broker.log.records.push((leader.leader_epoch(), value));
            leader.on_append(broker.log.end(), now);
        }
    }

    fn flush(&mut self, at: usize) {
        let now = self.now();
        let broker = &mut self.brokers[at];
        if !broker.alive {
            return;
        }
        broker.log.flushed = broker.log.records.len();
        let ends = broker.log.ends();
        if let Some(leader) = &mut broker.leader {
            leader.on_advertised(ends.advertised);
            leader.advance_high_watermark(now, || true);
        } else if let (Some(attachment), Some(leader)) =
            (broker.attached, broker.known.as_ref().and_then(|k| k.leader))
        {
            self.network.push(Message::Ack {
                leader: leader.0 as usize,
                follower: at,
                attachment,
                ends,
            });
        }
    }

    /// The leader sends what is new to each follower that has attached.
    fn push(&mut self, at: usize) {
        let broker = &mut self.brokers[at];
        let Some(leader) = broker.leader.as_ref().filter(|_| broker.alive) else {
            return;
        };
        for (to, attachment, next) in &mut broker.feeds {
            let records = broker.log.records[*next..].to_vec();
            let high_watermark = leader.high_watermark();
            let (to, attachment, from) = (*to, *attachment, *next);
            self.network.push(Message::Data {
                to,
                attachment,
                from,
                records,
                high_watermark,
            });
            *next = broker.log.records.len();
        }
    }

    fn propose(&mut self, at: usize) {
        let now = self.now();
        let broker = &mut self.brokers[at];
        let Some(leader) = broker.leader.as_mut().filter(|_| broker.alive) else {
            return;
        };
        if let Some(proposal) = leader.propose(broker.epoch, now) {
            // A request that is retried after a lost answer exists twice.
            self.network.push(Message::Alter {
                leader: at,
                proposal: proposal.clone(),
            });
            if self.next_value.is_multiple_of(3) {
                self.network.push(Message::Alter { leader: at, proposal });
            }
        }
    }

    fn follow(&mut self, at: usize) {
        let broker = &mut self.brokers[at];
        let Some(known) = broker.known.clone() else { return };
        let Some(leader) = known.leader.filter(|leader| *leader != id(at) && broker.alive) else {
            return;
        };
        broker.next_attach += 1;
        let attachment = AttachmentId {
            stream: at as u64,
            attach: broker.next_attach,
        };
        broker.attached = None;
        let attach = Attach {
            broker: id(at),
            broker_epoch: broker.epoch,
            attachment,
            leader_epoch: known.leader_epoch,
            last_epoch: broker.log.last_epoch(),
            ends: broker.log.ends(),
        };
        self.network.push(Message::Attach(leader.0 as usize, attach));
    }

    /// The process ends: unflushed records are gone, as after a power cut.
    fn kill(&mut self, at: usize) {
        let broker = &mut self.brokers[at];
        broker.log.records.truncate(broker.log.flushed);
        let (log, next_attach) = (std::mem::take(&mut broker.log), broker.next_attach);
        *broker = Broker {
            log,
            next_attach,
            ..Broker::default()
        };
    }

    fn start(&mut self, at: usize) {
        if self.brokers[at].alive {
            return;
        }
        // A registration begins fenced: whatever the former process led is led in a new epoch.
        self.fence(at);
        let epoch = BrokerEpoch(self.next_epoch);
        self.next_epoch += 1;
        self.brokers[at].alive = true;
        self.brokers[at].epoch = epoch;
        self.brokers[at].next_attach = 0;
        self.controller.brokers[at] = (epoch, true);
        self.elect();
        self.publish();
    }

    /// The controller fences a broker, rightly or not.
    fn fence(&mut self, at: usize) {
        self.controller.brokers[at].1 = false;
        if self.controller.isr.len() > 1 && self.controller.isr.contains(&id(at)) {
            self.controller.isr.retain(|member| *member != id(at));
        }
        self.controller.partition_epoch = self.controller.partition_epoch.next();
        self.elect();
        self.publish();
    }

    fn elect(&mut self) {
        let live = |broker: &BrokerId| self.controller.brokers[broker.0 as usize].1;
        if self
            .controller
            .leader
            .is_some_and(|leader| live(&leader) && self.controller.isr.contains(&leader))
        {
            return;
        }
        self.controller.leader = self.controller.isr.iter().copied().find(live);
        self.controller.leader_epoch = self.controller.leader_epoch.next();
        self.controller.partition_epoch = self.controller.partition_epoch.next();
    }

    fn deliver(&mut self, message: Message) {
        match message {
            Message::Metadata { to, state } => self.on_metadata(to, state),
            Message::Attach(to, attach) => self.on_attach(to, &attach),
            Message::Accepted(to, attachment, epoch) => {
                let broker = &mut self.brokers[to];
                let current = attachment.attach == broker.next_attach && broker.alive;
                if current
                    && broker.leader.is_none()
                    && broker.known.as_ref().is_some_and(|k| k.leader_epoch == epoch)
                {
                    broker.attached = Some(attachment);
                }
            }
            Message::Diverged(to, attachment, answer) => self.on_diverged(to, attachment, answer),
            Message::Data {
                to,
                attachment,
                from,
                records,
                high_watermark,
            } => {
                let broker = &mut self.brokers[to];
                if broker.alive && broker.attached == Some(attachment) && broker.log.records.len() == from {
                    broker.log.records.extend(records);
                    broker.high_watermark = broker.high_watermark.max(high_watermark.min(broker.log.end()));
                }
            }
            Message::Ack {
                leader,
                follower,
                attachment,
                ends,
            } => {
                let now = self.now();
                let broker = &mut self.brokers[leader];
                if let Some(leader) = broker.leader.as_mut().filter(|_| broker.alive) {
                    leader.on_ack(id(follower), attachment, ends, Offset(0), now);
                    leader.advance_high_watermark(now, || true);
                }
            }
            Message::Alter { leader, proposal } => self.on_alter(leader, &proposal),
            Message::AlterAnswer { leader, of, error } => {
                if let Some(leader) = &mut self.brokers[leader].leader {
                    leader.on_proposal_answered(of, error);
                }
            }
        }
    }

    fn on_metadata(&mut self, to: usize, state: Registration) {
        let now = self.now();
        let broker = &mut self.brokers[to];
        let version = |state: &Registration| (state.leader_epoch, state.partition_epoch);
        if !broker.alive
            || broker
                .known
                .as_ref()
                .is_some_and(|known| version(known) >= version(&state))
        {
            return;
        }
        let term = LeaderTerm {
            leader: id(to),
            leader_epoch: state.leader_epoch,
            partition_epoch: state.partition_epoch,
            replicas: (0..BROKERS).map(id).collect(),
            isr: state.isr.as_slice().into(),
            recovering: false,
        };
        // A new process acts only on metadata that knows it: what is older may call it a leader of an epoch whose last
        // records it has lost.
        if broker.known.is_none() && state.brokers[to].0 != broker.epoch {
            return;
        }
        let epoch_changed = broker
            .known
            .as_ref()
            .is_none_or(|known| known.leader_epoch != state.leader_epoch);
        if state.leader == Some(id(to)) {
            broker.attached = None;
            if epoch_changed || broker.leader.is_none() {
                let rules = LeaderRules {
                    min_insync_replicas: 1,
                    lag_time_max: Duration::from_millis(50),
                };
                broker.leader = Some(Leader::new(
                    term,
                    rules,
                    broker.log.ends(),
                    broker.high_watermark,
                    now,
                ));
                broker.feeds.clear();
            } else if let Some(leader) = &mut broker.leader {
                leader.on_committed(term, now);
            }
            if let Some(leader) = &mut broker.leader {
                for (at, (epoch, alive)) in state.brokers.iter().enumerate() {
                    leader.on_broker(id(at), Some(*epoch), *alive);
                }
                leader.advance_high_watermark(now, || true);
            }
        } else {
            if let Some(leader) = broker.leader.take() {
                broker.high_watermark = leader.high_watermark();
            }
            if epoch_changed {
                broker.attached = None;
            }
        }
        broker.known = Some(state);
    }

    fn on_attach(&mut self, to: usize, attach: &Attach) {
        let now = self.now();
        let broker = &mut self.brokers[to];
        let Some(leader) = broker.leader.as_mut().filter(|_| broker.alive) else {
            return;
        };
        let log = LogSummary {
            log_start: Offset(0),
            end_for_last_epoch: attach.last_epoch.and_then(|epoch| {
                broker
                    .log
                    .last_epoch()
                    .max(Some(leader.leader_epoch()))
                    .filter(|latest| epoch <= *latest)?;
                Some(broker.log.end_for(epoch).unwrap_or((epoch, Offset(0))))
            }),
            latest_epoch: Some(leader.leader_epoch()),
            unclean: None,
        };
        let follower = attach.broker.0 as usize;
        match leader.attach(attach, &log, now) {
            AttachAnswer::Accepted => {
                broker.feeds.retain(|(to, _, _)| *to != follower);
                broker
                    .feeds
                    .push((follower, attach.attachment, attach.ends.log_end.0 as usize));
                let epoch = leader.leader_epoch();
                self.network
                    .push(Message::Accepted(follower, attach.attachment, epoch));
            }
            AttachAnswer::Refused(_) => {}
            answer => self
                .network
                .push(Message::Diverged(follower, attach.attachment, answer)),
        }
    }

    fn on_diverged(&mut self, to: usize, attachment: AttachmentId, answer: AttachAnswer) {
        let broker = &mut self.brokers[to];
        // The answer to the attach that is pending, from the leader that is still believed in.
        if !broker.alive || broker.leader.is_some() || attachment.attach != broker.next_attach {
            return;
        }
        let truncation = match answer {
            AttachAnswer::Diverged { epoch, end, .. } => truncation_for_divergence(
                broker.log.end_for(epoch),
                Offset(0),
                broker.log.end(),
                broker.high_watermark,
                end,
                Offset(0),
            ),
            AttachAnswer::OutOfRange {
                log_start, log_end, ..
            } => truncation_out_of_range(Offset(0), broker.log.end(), log_start, log_end),
            _ => return,
        };
        broker.log.truncate(truncation);
        broker.high_watermark = broker.high_watermark.min(broker.log.end());
    }

    fn on_alter(&mut self, leader: usize, proposal: &IsrProposal) {
        let current = &self.controller;
        let eligible =
            |(member, epoch): &(BrokerId, BrokerEpoch)| current.brokers[member.0 as usize] == (*epoch, true);
        let error = if proposal.id.leader_epoch != current.leader_epoch || current.leader != Some(id(leader))
        {
            ErrorCode::FencedLeaderEpoch
        } else if proposal.partition_epoch != current.partition_epoch {
            ErrorCode::InvalidUpdateVersion
        } else if !proposal.isr.iter().all(eligible) {
            ErrorCode::IneligibleReplica
        } else {
            self.controller.isr = proposal.isr.iter().map(|(member, _)| *member).collect();
            self.controller.partition_epoch = self.controller.partition_epoch.next();
            self.publish();
            ErrorCode::None
        };
        let of = proposal.id;
        self.network.push(Message::AlterAnswer { leader, of, error });
    }

    fn step(&mut self, action: &Action) {
        self.clock += 1;
        match *action {
            Action::Append(at) => self.append(at),
            Action::Flush(at) => self.flush(at),
            Action::Push(at) => self.push(at),
            Action::Propose(at) => self.propose(at),
            Action::Follow(at) => self.follow(at),
            Action::Kill(at) => self.kill(at),
            Action::Start(at) => self.start(at),
            Action::Fence(at) => self.fence(at),
            Action::Wait => self.clock += 60,
            Action::Deliver(seed) if !self.network.is_empty() => {
                let at = seed % self.network.len();
                let message = self.network.remove(at);
                self.deliver(message);
            }
            Action::Drop(seed) if !self.network.is_empty() => {
                let at = seed % self.network.len();
                // Metadata is a log: late, but never lost.
                if !matches!(self.network[at], Message::Metadata { .. }) {
                    self.network.remove(at);
                }
            }
            Action::Deliver(_) | Action::Drop(_) => {}
        }
        self.check();
    }

    /// No more faults: everything arrives, everybody follows. At the end all logs must be one.
    fn heal(&mut self) {
        for at in 0..BROKERS {
            self.start(at);
            self.controller.brokers[at].1 = true;
            // Streams to processes that have ended are broken, and noticed.
            self.brokers[at].attached = None;
        }
        self.controller.partition_epoch = self.controller.partition_epoch.next();
        self.elect();
        self.publish();
        for round in 0..200 {
            for at in 0..BROKERS {
                if round % 10 == 0 && self.brokers[at].leader.is_none() && self.brokers[at].attached.is_none()
                {
                    self.follow(at);
                }
                self.flush(at);
                self.push(at);
                if let Some(leader) = self.brokers[at].leader.as_mut().filter(|_| round % 10 == 0) {
                    let leader_epoch = leader.leader_epoch();
                    for attempt in 0..1000 {
                        leader.forget_attempt(ProposalId {
                            leader_epoch,
                            attempt,
                        });
                    }
                }
                self.propose(at);
            }
            for message in std::mem::take(&mut self.network) {
                self.clock += 1;
                self.deliver(message);
                self.check();
            }
        }
    }
}

#[derive(Clone, Debug)]
enum Action {
    Append(usize),
    Flush(usize),
    Push(usize),
    Propose(usize),
    Follow(usize),
    Kill(usize),
    Start(usize),
    Fence(usize),
    Wait,
    Deliver(usize),
    Drop(usize),
}

fn action() -> impl Strategy<Value = Action> {
    let broker = 0..BROKERS;
    prop_oneof![
        4 => broker.clone().prop_map(Action::Append),
        4 => broker.clone().prop_map(Action::Flush),
        4 => broker.clone().prop_map(Action::Push),
        3 => broker.clone().prop_map(Action::Propose),
        3 => broker.clone().prop_map(Action::Follow),
        1 => broker.clone().prop_map(Action::Kill),
        1 => broker.clone().prop_map(Action::Start),
        1 => broker.prop_map(Action::Fence),
        1 => Just(Action::Wait),
        20 => (0..64_usize).prop_map(Action::Deliver),
        1 => (0..64_usize).prop_map(Action::Drop),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, max_shrink_iters: 20_000, ..ProptestConfig::default() })]

    #[test]
    fn acknowledged_records_are_never_lost(actions in proptest::collection::vec(action(), 1..400)) {
        let mut model = Model::new();
        for action in &actions {
            model.step(action);
        }
        model.heal();
        let leader = model.controller.leader.expect("everybody is alive").0 as usize;
        prop_assert!(model.brokers[leader].leader.is_some());
        for broker in &model.brokers {
            prop_assert_eq!(&broker.log.records, &model.brokers[leader].log.records);
        }
        prop_assert_eq!(model.controller.isr.len(), BROKERS);
    }
}

//! A broker: its log, its role, and the metadata that it knows. The decisions are the product's own.

use super::controller::Known;
use crate::broker::roles::assigned;
use milena_log::EpochCache;
use milena_replication::{
    AttachIds, AttachmentId, FollowerHighWatermark, Following, Held, Leader, LeaderRules, LogEnds,
    LogSummary, Moment, Transition, transition,
};
use milena_types::{BrokerEpoch, BrokerId, LeaderEpoch, Offset, PartitionEpoch};
use std::sync::Arc;
use std::time::Duration;

/// No time passes: nobody lags by the clock.
pub(super) const NOW: Moment = Moment(1);

/// One record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Record {
    pub(super) epoch: LeaderEpoch,
    pub(super) value: u8,
}

/// A log, all of it on disk.
#[derive(Clone, Debug, Default)]
pub(super) struct Log {
    pub(super) records: Vec<Record>,
    pub(super) epochs: EpochCache,
}

impl Log {
    pub(super) fn end(&self) -> Offset {
        Offset(i64::try_from(self.records.len()).unwrap_or(i64::MAX))
    }

    pub(super) fn append(&mut self, record: Record) {
        self.epochs.assign(record.epoch, self.end());
        self.records.push(record);
    }

    pub(super) fn truncate(&mut self, to: Offset) {
        self.records.truncate(usize::try_from(to.0).unwrap_or(0));
        self.epochs.truncate_from_end(to);
    }

    pub(super) fn summary(&self, last_epoch: Option<LeaderEpoch>) -> LogSummary {
        LogSummary::new(Offset::ZERO, self.epochs.latest(), last_epoch, |epoch| {
            self.epochs.end_offset_for(epoch, self.end())
        })
    }
}

/// What a broker is for the partition.
#[derive(Clone, Debug)]
pub(super) enum Role {
    Idle,
    /// And whom it feeds.
    Leader(Box<Leader>, Vec<(BrokerId, AttachmentId)>),
    Follower(Following),
}

#[derive(Clone)]
pub(super) struct Broker {
    pub(super) id: BrokerId,
    /// Which process this is, on which disk.
    pub(super) run: u8,
    pub(super) disk: u8,
    pub(super) epoch: BrokerEpoch,
    pub(super) log: Log,
    pub(super) known_committed: FollowerHighWatermark,
    pub(super) known: Arc<Known>,
    /// The registration that the role was taken from.
    pub(super) at: (LeaderEpoch, PartitionEpoch),
    pub(super) role: Role,
    pub(super) ids: AttachIds,
}

impl Broker {
    pub(super) fn new(id: BrokerId, epoch: BrokerEpoch, known: Arc<Known>) -> Self {
        Self {
            id,
            run: 1,
            disk: 1,
            epoch,
            log: Log::default(),
            known_committed: FollowerHighWatermark::default(),
            known,
            at: (LeaderEpoch(-1), PartitionEpoch(-1)),
            role: Role::Idle,
            ids: AttachIds::default(),
        }
    }

    /// Another process, which knows the metadata with its registration. What was written stays, unless the disk was exchanged.
    pub(super) fn start_again(&mut self, epoch: BrokerEpoch, wiped: bool) {
        self.run += 1;
        self.epoch = epoch;
        self.ids = AttachIds::default();
        self.role = Role::Idle;
        self.at = (LeaderEpoch(-1), PartitionEpoch(-1));
        if wiped {
            self.disk += 1;
            self.log = Log::default();
            self.known_committed = FollowerHighWatermark::default();
        }
    }

    pub(super) fn ends(&self) -> LogEnds {
        LogEnds::at(self.log.end())
    }

    pub(super) fn high_watermark(&self) -> Offset {
        match &self.role {
            Role::Leader(leader, _) => leader.high_watermark(),
            Role::Follower(_) | Role::Idle => self.known_committed.get(),
        }
    }

    pub(super) fn leader(&self) -> Option<&Leader> {
        match &self.role {
            Role::Leader(leader, _) => Some(leader),
            Role::Follower(_) | Role::Idle => None,
        }
    }

    pub(super) fn leading(&mut self) -> Option<&mut Leader> {
        match &mut self.role {
            Role::Leader(leader, _) => Some(leader),
            Role::Follower(_) | Role::Idle => None,
        }
    }

    pub(super) fn following(&mut self) -> Option<&mut Following> {
        match &mut self.role {
            Role::Follower(following) => Some(following),
            Role::Leader(..) | Role::Idle => None,
        }
    }

    fn held(&self) -> Held {
        match &self.role {
            Role::Idle => Held::Idle,
            Role::Leader(..) => Held::Leader,
            Role::Follower(following) => Held::Follower(following.leader()),
        }
    }

    /// Hears of newer metadata, and becomes what it says.
    pub(super) fn hear(&mut self, known: Arc<Known>) {
        self.known = Arc::clone(&known);
        let Some((_, state)) = known.partition() else {
            return;
        };
        let next = assigned(state);
        let change = transition(self.id, self.held(), self.at, true, &next);
        if change != Transition::Ignore {
            self.at = next.epochs();
        }
        match change {
            Transition::Ignore | Transition::Keep => {}
            Transition::Lead => {
                self.leave();
                self.log.epochs.assign(state.leader_epoch, self.log.end());
                let rules = LeaderRules {
                    min_insync_replicas: 2,
                    lag_time_max: Duration::from_secs(1),
                };
                let (ends, committed) = (self.ends(), self.known_committed.get());
                let leader = Leader::new(next.term(self.id), rules, ends, committed, NOW);
                self.role = Role::Leader(Box::new(leader), Vec::new());
            }
            Transition::Update => {
                let term = next.term(self.id);
                if let Some(leader) = self.leading() {
                    leader.on_committed(term, NOW);
                }
            }
            Transition::Follow(leader) => {
                self.leave();
                self.role = Role::Follower(Following::new(leader, state.leader_epoch));
            }
            Transition::Leave(_) => self.leave(),
        }
        if let Some(leader) = self.leading() {
            for broker in &state.replicas {
                let epoch = known.image.broker(*broker).map(|registered| registered.epoch);
                leader.on_broker(*broker, epoch, known.image.is_active(*broker));
            }
        }
    }

    fn leave(&mut self) {
        let (committed, end) = (self.high_watermark(), self.log.end());
        self.known_committed = FollowerHighWatermark::restore(committed, Offset::ZERO, end);
        self.role = Role::Idle;
    }

    /// What tells it from another one.
    pub(super) fn describe(&self) -> impl std::fmt::Debug {
        (
            (self.run, self.disk, self.epoch, self.known.image.version, self.at),
            (&self.log, self.known_committed, &self.role, &self.ids),
        )
    }
}

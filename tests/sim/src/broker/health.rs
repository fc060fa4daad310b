//! How a replica is, what the controller is told about it, and how one in doubt is repaired.

use super::calls::Purpose;
use super::process::Process;
use crate::cx::Cx;
use crate::event::BrokerTimer;
use crate::network::call::Body;
use crate::say;
use crate::time::Micros;
use milena_log::CorruptionPolicy;
use milena_metadata::record::PartitionRegistration;
use milena_metadata::replica_report::{ReplicaCondition, wanted_report};
use milena_metadata::request::{ReplicaStateItem, ReplicaStates};
use milena_types::{TopicIdPartition, TopicPartition};

/// Why a replica has no log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unusable {
    /// Its tail may be damaged: until then others may lead who know better.
    Doubtful(Micros),
}

/// How closely a log is looked at when it is opened: where others may have what it lacks, doubts are refused.
pub(super) fn corruption_policy(state: &PartitionRegistration) -> CorruptionPolicy {
    CorruptionPolicy::among(state.replicas.len())
}

impl Process {
    fn condition(&self, cx: &Cx, id: TopicIdPartition) -> Option<ReplicaCondition> {
        match self.unusable.get(&id) {
            Some((_, Unusable::Doubtful(until))) => Some(ReplicaCondition::Doubtful {
                waited: cx.now >= *until,
            }),
            None => self
                .partitions
                .contains_key(&id)
                .then_some(ReplicaCondition::InUse),
        }
    }

    /// Tells the controller how the replica is, if it does not know and has not just been told.
    pub(super) fn settle_replica(&mut self, cx: &mut Cx, id: TopicIdPartition) {
        let node = self.node();
        let Some(condition) = self.condition(cx, id).filter(|_| !self.reporting.contains(&id)) else {
            return;
        };
        let registered = self
            .image
            .partition(id)
            .filter(|state| state.replicas.contains(&node));
        let Some(state) = registered.and_then(|state| wanted_report(condition, node, state)) else {
            return;
        };
        let Some(broker_epoch) = self.life.epoch else {
            return;
        };
        say!(cx, "{node}: reports {id} as {state:?}");
        self.reporting.insert(id);
        let item = ReplicaStateItem { id, state };
        let request = ReplicaStates {
            broker: node,
            broker_epoch,
            replicas: vec![item],
        };
        let seen = self.image.version;
        self.call(cx, Body::Report(request), Purpose::Report(item, seen));
    }

    /// The log could not be trusted: others are waited for.
    pub(super) fn in_doubt(&mut self, cx: &mut Cx, id: TopicIdPartition, name: TopicPartition) {
        cx.coverage.doubtful += 1;
        // It is going to be cut, and counts for nothing until it is in sync again: see ADR 0009.
        cx.oracle.contract.lost(self.host.broker);
        let patience = cx.settings.doubt_patience;
        self.unusable
            .insert(id, (name, Unusable::Doubtful(cx.now + patience)));
        cx.timer(self.host, patience, BrokerTimer::Waited(id));
    }

    /// What this replica held counts no more: its log is cut where it has to be.
    pub(super) fn refill(&mut self, cx: &mut Cx, id: TopicIdPartition) {
        if self.unusable.remove(&id).is_some() {
            cx.coverage.refilled += 1;
            self.apply_partition_as(cx, id, CorruptionPolicy::Refuse);
        }
    }
}

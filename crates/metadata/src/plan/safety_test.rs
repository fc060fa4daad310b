//! Random lives of a cluster, held against what may never happen.
//!
//! Every step is checked for INV-META-1 to 8 by [`Cluster::plan`]. On top of that a model knows, per partition, which
//! brokers hold every acknowledged record, at its most pessimistic: whenever enough live replicas are in sync,
//! something is acknowledged that only they hold. Then:
//!
//! - a live leader that was elected cleanly holds everything (leader completeness);
//! - while no disk is lost, flushed partitions are never led uncleanly, and all have a leader after everything healed;
//! - a move to other replicas does not take the ISR below min.insync.replicas, and ends once everything healed.

use super::testing::{Cluster, heartbeat, registration};
use super::*;
use crate::config::min_insync_replicas;
use crate::image::MetadataImage;
use crate::record::ConfigResource;
use crate::request::{
    AlterConfig, ConfigOp, ElectionType, Reassign, ReplicaState, ReplicaStateItem, ReplicaStates, TopicRef,
};
use milena_types::{BrokerId, ErrorCode, TopicId, TopicIdPartition};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};

const BROKERS: i32 = 4;

#[derive(Clone, Debug)]
enum Step {
    Kill(i32),
    Restart {
        broker: i32,
        new_disk: bool,
    },
    StopCleanly(i32),
    Suspect(i32),
    Heartbeat(i32),
    Expand {
        pick: u8,
        broker: i32,
    },
    Shrink {
        pick: u8,
        broker: i32,
    },
    Replay(u8),
    Acknowledge,
    Create {
        factor: i16,
        flushed: bool,
        min_isr: u8,
    },
    Delete(u8),
    SetMinIsr {
        pick: u8,
        min_isr: u8,
    },
    ElectPreferred,
    Reassign {
        pick: u8,
        target: Vec<i32>,
    },
    CancelReassignment(u8),
    Unregister(i32),
    Report {
        pick: u8,
        broker: i32,
        state: ReplicaState,
    },
}

fn steps(disks_fail: bool) -> impl Strategy<Value = Vec<Step>> {
    let broker = 0..BROKERS;
    let step = prop_oneof![
        4 => broker.clone().prop_map(Step::Kill),
        6 => broker.clone().prop_map(|broker| Step::Restart { broker, new_disk: false }),
        1 => broker.clone().prop_map(move |broker| Step::Restart { broker, new_disk: disks_fail }),
        2 => broker.clone().prop_map(Step::StopCleanly),
        4 => broker.clone().prop_map(Step::Suspect),
        8 => broker.clone().prop_map(Step::Heartbeat),
        8 => (any::<u8>(), broker.clone()).prop_map(|(pick, broker)| Step::Expand { pick, broker }),
        3 => (any::<u8>(), broker.clone()).prop_map(|(pick, broker)| Step::Shrink { pick, broker }),
        2 => any::<u8>().prop_map(Step::Replay),
        8 => Just(Step::Acknowledge),
        2 => (1i16..=4, any::<bool>(), 1u8..4)
            .prop_map(|(factor, flushed, min_isr)| Step::Create { factor, flushed, min_isr }),
        1 => any::<u8>().prop_map(Step::Delete),
        1 => (any::<u8>(), 1u8..4).prop_map(|(pick, min_isr)| Step::SetMinIsr { pick, min_isr }),
        1 => Just(Step::ElectPreferred),
        3 => (any::<u8>(), proptest::sample::subsequence(vec![0, 1, 2, 3], 1..=4).prop_shuffle())
            .prop_map(|(pick, target)| Step::Reassign { pick, target }),
        1 => any::<u8>().prop_map(Step::CancelReassignment),
        4 => (any::<u8>(), broker.clone(), replica_state())
            .prop_map(|(pick, broker, state)| Step::Report { pick, broker, state }),
        1 => broker.prop_map(move |b| if disks_fail { Step::Unregister(b) } else { Step::Kill(b) }),
    ];
    proptest::collection::vec(step, 1..120)
}

fn replica_state() -> impl Strategy<Value = ReplicaState> {
    prop_oneof![
        Just(ReplicaState::Offline),
        Just(ReplicaState::Full),
        Just(ReplicaState::Refill),
        Just(ReplicaState::Cut),
        Just(ReplicaState::Online),
    ]
}

/// What the processes and disks really are, next to what the controller believes.
struct World {
    cluster: Cluster,
    /// The run of each live process, and whether it has registered.
    alive: BTreeMap<BrokerId, bool>,
    runs: u8,
    disks: BTreeMap<BrokerId, u8>,
    clean: BTreeMap<BrokerId, milena_types::BrokerEpoch>,
    flushed: BTreeMap<TopicId, bool>,
    /// Who holds every acknowledged record.
    complete: BTreeMap<TopicIdPartition, BTreeSet<BrokerId>>,
    sent: Vec<crate::request::AlterPartition>,
    created: u32,
    unclean_elections: usize,
    only_flushed: bool,
}

impl World {
    fn new(only_flushed: bool) -> Self {
        let all = (0..BROKERS).map(BrokerId);
        let mut world = Self {
            cluster: Cluster::with_brokers(BROKERS),
            alive: all.clone().map(|b| (b, true)).collect(),
            runs: 1,
            disks: all.map(|b| (b, 1)).collect(),
            clean: BTreeMap::new(),
            flushed: BTreeMap::new(),
            complete: BTreeMap::new(),
            sent: vec![],
            created: 0,
            unclean_elections: 0,
            only_flushed,
        };
        for factor in [3, 3, 2] {
            world.step(&Step::Create {
                factor,
                flushed: factor == 3 || only_flushed,
                min_isr: 2,
            });
        }
        world
    }

    fn is_current(&self, broker: BrokerId) -> bool {
        self.alive.get(&broker) == Some(&true) && self.cluster.image.broker(broker).is_some()
    }

    fn pick(&self, pick: u8) -> Option<TopicIdPartition> {
        let all: Vec<_> = self.cluster.image.partitions().map(|(_, id, _)| id).collect();
        all.get(usize::from(pick) % all.len().max(1)).copied()
    }

    fn step(&mut self, step: &Step) {
        let before = self.cluster.image.clone();
        self.act(step);
        let after = self.cluster.image.clone();
        for (_, id, state) in after.partitions() {
            let Some(old) = before.partition(id) else {
                self.complete.insert(id, state.replicas.iter().copied().collect());
                continue;
            };
            let elected = state.leader.filter(|l| old.leader != Some(*l));
            if let Some(leader) = elected.filter(|_| state.recovering) {
                self.complete.insert(id, BTreeSet::from([leader]));
                self.unclean_elections += 1;
            }
            // What a replica had is deleted once it is none.
            let complete = self.complete.get_mut(&id).unwrap();
            complete.retain(|broker| state.replicas.contains(broker));
            if matches!(step, Step::Expand { .. } | Step::Reassign { .. }) {
                let name = &after.topics[&id.topic].name;
                let min = min_insync_replicas(&after, name, self.cluster.ctx().defaults);
                let enough = state.isr.len() >= min.min(state.replicas.len());
                assert!(
                    enough || state.isr.len() >= old.isr.len(),
                    "{step:?}: {id} {old:?} -> {state:?}"
                );
            }
            // A dead broker may be elected before its death is noticed: it cannot serve, so that nothing is lost.
            if let Some(leader) = self.living_leader(id) {
                let complete = &self.complete[&id];
                assert!(
                    complete.contains(&leader),
                    "{step:?}: {id} {old:?} -> {state:?}, complete {complete:?}"
                );
            }
        }
        self.complete.retain(|id, _| after.partition(*id).is_some());
    }

    fn act(&mut self, step: &Step) {
        match step {
            Step::Kill(broker) => self.stop(BrokerId(*broker), false),
            Step::StopCleanly(broker) => self.stop_cleanly(BrokerId(*broker)),
            Step::Restart { broker, new_disk } => self.restart(BrokerId(*broker), *new_disk),
            Step::Suspect(broker) => {
                self.cluster
                    .plan(|image, ctx| fence_broker(image, BrokerId(*broker), None, ctx));
            }
            Step::Heartbeat(broker) => self.heartbeat(BrokerId(*broker)),
            Step::Expand { pick, broker } => self.expand(*pick, BrokerId(*broker)),
            Step::Shrink { pick, broker } => self.shrink(*pick, BrokerId(*broker)),
            Step::Replay(pick) => {
                if let Some(request) = self
                    .sent
                    .get(usize::from(*pick) % self.sent.len().max(1))
                    .cloned()
                {
                    let error = self.cluster.alter(&request);
                    assert_ne!(error, ErrorCode::None, "a late twin was accepted: {request:?}");
                }
            }
            Step::Acknowledge => self.acknowledge(),
            Step::Create {
                factor,
                flushed,
                min_isr,
            } => {
                self.created += 1;
                let name = format!("t{}", self.created);
                let min_isr = i16::from(*min_isr).min(*factor).to_string();
                let durability = if *flushed || self.only_flushed {
                    "flushed"
                } else {
                    "replicated"
                };
                let configs = [("ack.durability", durability), ("min.insync.replicas", &min_isr)];
                if self
                    .cluster
                    .image
                    .brokers
                    .keys()
                    .any(|b| self.cluster.image.is_active(*b))
                    && self.cluster.image.brokers.len() >= usize::try_from(*factor).unwrap()
                {
                    let Some(id) = self.try_create(&name, *factor, &configs) else {
                        return;
                    };
                    self.flushed.insert(id, durability == "flushed");
                }
            }
            Step::Delete(pick) => {
                if let Some(id) = self.pick(*pick) {
                    self.cluster
                        .plan(|image, ctx| delete_topics(image, &[TopicRef::Id(id.topic)], ctx));
                }
            }
            Step::SetMinIsr { pick, min_isr } => self.set_min_isr(*pick, *min_isr),
            Step::ElectPreferred => {
                self.cluster
                    .plan(|image, ctx| elect_leaders(image, ElectionType::Preferred, None, ctx));
            }
            Step::Reassign { pick, target } => {
                self.reassign(*pick, Some(target.iter().copied().map(BrokerId).collect()));
            }
            Step::CancelReassignment(pick) => self.reassign(*pick, None),
            Step::Report { pick, broker, state } => {
                if let Some(id) = self.pick(*pick) {
                    self.report(id, BrokerId(*broker), *state);
                }
            }
            Step::Unregister(broker) => {
                self.cluster
                    .plan(|image, ctx| unregister_broker(image, BrokerId(*broker), ctx));
            }
        }
    }

    fn try_create(&mut self, name: &str, factor: i16, configs: &[(&str, &str)]) -> Option<TopicId> {
        let usable = crate::placement::usable_brokers(&self.cluster.image);
        let enough = usable.len() >= usize::try_from(factor).unwrap() && usable.iter().any(|b| !b.fenced);
        enough.then(|| self.cluster.create_with(name, 1, factor, configs))
    }

    fn stop(&mut self, broker: BrokerId, clean: bool) {
        if self.alive.remove(&broker).is_none() || clean {
            return;
        }
        // What was in the page cache only is gone.
        for (id, complete) in &mut self.complete {
            if self.flushed.get(&id.topic) == Some(&false) {
                complete.remove(&broker);
            }
        }
    }

    fn stop_cleanly(&mut self, broker: BrokerId) {
        if !self.is_current(broker) {
            return;
        }
        let epoch = self.cluster.epoch(broker.0);
        let mut leaving = heartbeat(broker, epoch, self.cluster.image.version);
        leaving.want_shutdown = true;
        if self.cluster.beat(&leaving).should_shutdown {
            self.clean.insert(broker, epoch);
            self.stop(broker, true);
        }
    }

    fn restart(&mut self, broker: BrokerId, new_disk: bool) {
        if self.alive.contains_key(&broker) {
            return;
        }
        self.runs = self.runs.wrapping_add(1);
        if new_disk {
            self.disks.insert(broker, self.runs);
            self.clean.remove(&broker);
            self.complete.values_mut().for_each(|c| {
                c.remove(&broker);
            });
        }
        let mut request = registration(broker, self.runs, self.disks[&broker]);
        request.previous_epoch = self.clean.remove(&broker);
        if self.cluster.register(&request).outcome.error == ErrorCode::DuplicateBrokerRegistration {
            // Another disk under a live session: it has to wait for the session to end.
            self.cluster.now = milena_types::Timestamp(self.cluster.now.0 + 9_001);
            assert!(self.cluster.register(&request).outcome.error.is_none());
        }
        self.alive.insert(broker, true);
    }

    fn heartbeat(&mut self, broker: BrokerId) {
        if self.is_current(broker) {
            let beat = heartbeat(broker, self.cluster.epoch(broker.0), self.cluster.image.version);
            self.cluster.beat(&beat);
        } else if self.alive.contains_key(&broker) && self.cluster.image.broker(broker).is_none() {
            let request = registration(broker, self.runs.wrapping_add(100), self.disks[&broker]);
            assert!(self.cluster.register(&request).outcome.error.is_none());
        }
    }

    /// A broker may cut a log as soon as the controller has agreed.
    fn report(&mut self, id: TopicIdPartition, broker: BrokerId, state: ReplicaState) {
        if !self.is_current(broker) {
            return;
        }
        let request = ReplicaStates {
            broker,
            broker_epoch: self.cluster.epoch(broker.0),
            replicas: vec![ReplicaStateItem { id, state }],
        };
        let results = self
            .cluster
            .plan(|image, ctx| replica_states(image, &request, ctx));
        if matches!(state, ReplicaState::Refill | ReplicaState::Cut) && results[0].error == ErrorCode::None {
            let after = self.cluster.partition(id.topic, id.partition.0);
            let leads = after.leader == Some(broker);
            assert!(!leads || state != ReplicaState::Refill);
            let claims = [after.isr, after.elr, after.last_known_elr].concat();
            assert!(
                leads || !claims.contains(&broker),
                "{state:?}: cut, and elected later"
            );
            if !leads {
                self.complete.get_mut(&id).unwrap().remove(&broker);
            }
            // Else nobody else could go on, and its broker has waited: what it has left is what counts.
        }
    }

    /// The leader as the world has it: a live process that knows its registration.
    fn living_leader(&self, id: TopicIdPartition) -> Option<BrokerId> {
        self.cluster
            .image
            .partition(id)?
            .leader
            .filter(|leader| self.is_current(*leader))
    }

    fn expand(&mut self, pick: u8, broker: BrokerId) {
        let Some(id) = self.pick(pick) else { return };
        let state = self.cluster.partition(id.topic, id.partition.0);
        let caught_up = self.is_current(broker) && self.living_leader(id).is_some();
        let in_use = !state.offline.contains(&broker);
        if !caught_up || !in_use || !state.replicas.contains(&broker) || state.isr.contains(&broker) {
            return;
        }
        if state.isr.iter().any(|b| self.cluster.image.broker(*b).is_none()) {
            return;
        }
        let mut isr = state.isr;
        isr.push(broker);
        let request = self.cluster.proposal(id.topic, id.partition.0, &isr);
        self.complete.get_mut(&id).unwrap().insert(broker);
        self.cluster.alter(&request);
        self.sent.push(request);
    }

    fn shrink(&mut self, pick: u8, broker: BrokerId) {
        let Some(id) = self.pick(pick) else { return };
        let mut isr = self.cluster.partition(id.topic, id.partition.0).isr;
        let Some(leader) = self.living_leader(id) else {
            return;
        };
        if leader != broker && isr.contains(&broker) {
            isr.retain(|b| *b != broker);
            let request = self.cluster.proposal(id.topic, id.partition.0, &isr);
            // Who falls behind may have been the last that a move waited for to go.
            let error = self.cluster.alter(&request);
            assert!(
                matches!(error, ErrorCode::None | ErrorCode::NewLeaderElected),
                "{error:?}"
            );
            self.sent.push(request);
        }
    }

    fn reassign(&mut self, pick: u8, replicas: Option<Vec<BrokerId>>) {
        let Some(id) = self.pick(pick) else { return };
        let item = Reassign {
            topic: self.cluster.image.topics[&id.topic].name.as_str().to_owned(),
            partition: id.partition.0,
            replicas,
        };
        self.cluster
            .plan(|image, ctx| alter_partition_reassignments(image, &[item], true, ctx));
    }

    fn acknowledge(&mut self) {
        let image = self.cluster.image.clone();
        for (topic, id, state) in image.partitions() {
            let ctx = self.cluster.ctx();
            let min = min_insync_replicas(&image, &topic.name, ctx.defaults).min(state.replicas.len());
            let all_here = state.leader.is_some() && state.isr.iter().all(|b| self.is_current(*b));
            if all_here && state.isr.len() >= min {
                self.complete.insert(id, state.isr.iter().copied().collect());
            }
        }
    }

    fn set_min_isr(&mut self, pick: u8, min_isr: u8) {
        let Some(id) = self.pick(pick) else { return };
        let request = AlterConfig {
            resource: ConfigResource::Topic(self.cluster.image.topics[&id.topic].name.clone()),
            changes: vec![(
                "min.insync.replicas".into(),
                ConfigOp::Set,
                Some(min_isr.to_string()),
            )],
            replace_all: false,
        };
        let results = self
            .cluster
            .plan(|image, ctx| alter_configs(image, &[request], false, ctx));
        assert!(results[0].outcome.error.is_none());
    }

    fn heal(&mut self) {
        for _ in 0..2 {
            for broker in 0..BROKERS {
                // A shutdown that has begun is not taken back: the process ends, and comes again.
                if self
                    .cluster
                    .image
                    .broker(BrokerId(broker))
                    .is_some_and(|b| b.in_controlled_shutdown)
                {
                    self.step(&Step::Kill(broker));
                }
                self.step(&Step::Restart {
                    broker,
                    new_disk: false,
                });
                self.step(&Step::Heartbeat(broker));
            }
        }
        for pick in 0..=u8::try_from(self.complete.len()).unwrap() {
            let state = ReplicaState::Online;
            (0..BROKERS).for_each(|broker| self.step(&Step::Report { pick, broker, state }));
            (0..BROKERS).for_each(|broker| self.step(&Step::Expand { pick, broker }));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn a_clean_election_never_loses_what_was_acknowledged(steps in steps(true)) {
        let mut world = World::new(false);
        for step in &steps {
            world.step(step);
        }
        world.heal();
        let image = &world.cluster.image;
        let records = image.to_records();
        prop_assert_eq!(&MetadataImage::from_records(image.version, &records), image);
    }

    #[test]
    fn flushed_partitions_survive_any_number_of_kills(steps in steps(false)) {
        let mut world = World::new(true);
        for step in &steps {
            world.step(step);
        }
        world.heal();
        prop_assert_eq!(world.unclean_elections, 0);
        for (_, id, state) in world.cluster.image.partitions() {
            prop_assert_eq!(state.isr.len(), state.replicas.len(), "{} {:?}", id, state);
            prop_assert!(state.leader.is_some() && state.adding.is_empty() && state.removing.is_empty());
        }
    }
}

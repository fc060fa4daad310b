//! A cluster for tests: plans are applied at once, and every step is held against the invariants.

use super::*;
use crate::config::{BrokerDefaults, min_insync_replicas};
use crate::image::MetadataImage;
use crate::invariants;
use crate::liveness::Liveness;
use crate::record::{Endpoint, PartitionRegistration};
use crate::request::*;
use milena_types::*;

pub(crate) struct Cluster {
    pub(crate) image: MetadataImage,
    pub(crate) live: Liveness,
    pub(crate) now: Timestamp,
    pub(crate) seed: u64,
    defaults: &'static BrokerDefaults,
}

pub(crate) fn heartbeat(broker: BrokerId, epoch: BrokerEpoch, applied: MetadataVersion) -> Heartbeat {
    Heartbeat {
        broker,
        epoch,
        applied,
        want_fence: false,
        want_shutdown: false,
    }
}

fn uuid(kind: u8, number: i32, run: u8) -> Uuid {
    let mut bytes = [kind; 16];
    bytes[8..12].copy_from_slice(&number.to_be_bytes());
    bytes[15] = run;
    Uuid(bytes)
}

/// The registration of a broker's `run`-th process; `disk` names its only directory.
pub(crate) fn registration(broker: BrokerId, run: u8, disk: u8) -> RegisterBroker {
    RegisterBroker {
        broker,
        cluster: Some(ClusterId("test".into())),
        incarnation: IncarnationId(uuid(1, broker.0, run)),
        endpoints: vec![Endpoint {
            listener: "PLAINTEXT".into(),
            host: "localhost".into(),
            port: 9092,
            security_protocol: "PLAINTEXT".into(),
        }],
        rack: None,
        directories: vec![DirectoryId(uuid(2, broker.0, disk))],
        unreadable_directories: 0,
        previous_epoch: None,
    }
}

impl Cluster {
    pub(crate) fn empty() -> Self {
        static DEFAULTS: std::sync::OnceLock<BrokerDefaults> = std::sync::OnceLock::new();
        let defaults = DEFAULTS
            .get_or_init(|| BrokerDefaults::new(None, [("min.insync.replicas".to_owned(), "2".to_owned())]));
        let live = Liveness::new(9_000);
        let mut cluster = Self {
            image: MetadataImage::default(),
            live,
            now: Timestamp(1),
            seed: 7,
            defaults,
        };
        cluster.plan(|image, ctx| bootstrap(image, &ClusterId("test".into()), ctx));
        cluster
    }

    /// Brokers 0.. registered and unfenced.
    pub(crate) fn with_brokers(count: i32) -> Self {
        let mut cluster = Self::empty();
        for id in (0..count).map(BrokerId) {
            assert!(cluster.register(&registration(id, 1, 1)).outcome.error.is_none());
            cluster.unfence(id);
        }
        cluster
    }

    pub(crate) fn ctx(&self) -> PlanContext<'static> {
        PlanContext {
            now: self.now,
            seed: self.seed,
            defaults: self.defaults,
        }
    }

    /// Plans, applies, checks; gives the reply.
    pub(crate) fn plan<R>(&mut self, plan: impl FnOnce(&MetadataImage, &PlanContext<'_>) -> Planned<R>) -> R {
        self.seed += 1;
        let planned = plan(&self.image, &self.ctx());
        if !planned.records.is_empty() {
            let before = self.image.clone();
            let delta = self.image.apply(&planned.batch(&self.image)).unwrap();
            invariants::check(&self.image).unwrap();
            invariants::check_step(&before, &self.image).unwrap();
            self.check_elr();
            let mut found = crate::MetadataDelta::between(&before, &self.image);
            found.dedup();
            assert!(found.partitions.iter().all(|p| delta.partitions.contains(p)));
            assert_eq!(found.topics_removed, delta.topics_removed);
        }
        planned.reply
    }

    /// INV-META-8, and: nobody is eligible while enough are in sync.
    fn check_elr(&self) {
        for (topic, id, state) in self.image.partitions() {
            let min = min_insync_replicas(&self.image, &topic.name, self.defaults).min(state.replicas.len());
            assert!(state.elr.is_empty() || state.isr.len() < min, "{id}: {state:?}");
            assert!(
                state.leader.is_none() || state.last_known_elr.is_empty(),
                "{id}: {state:?}"
            );
            assert!(state.leader.is_some() || state.isr.is_empty(), "{id}: {state:?}");
        }
    }

    pub(crate) fn epoch(&self, broker: i32) -> BrokerEpoch {
        self.image.broker(BrokerId(broker)).unwrap().epoch
    }

    pub(crate) fn register(&mut self, request: &RegisterBroker) -> RegisterBrokerReply {
        let live = self.live.clone();
        let reply = self.plan(|image, ctx| register_broker(image, request, &live, ctx));
        if reply.outcome.error.is_none() {
            self.live.on_registered(request.broker, reply.epoch, self.now);
        }
        reply
    }

    pub(crate) fn beat(&mut self, request: &Heartbeat) -> HeartbeatReply {
        let live = self.live.clone();
        let reply = self.plan(|image, ctx| super::heartbeat(image, request, &live, ctx));
        self.live.on_heartbeat(&self.image, request, self.now);
        reply
    }

    /// A heartbeat of a broker that has applied everything.
    pub(crate) fn unfence(&mut self, broker: BrokerId) {
        let reply = self.beat(&heartbeat(broker, self.epoch(broker.0), self.image.version));
        assert!(reply.is_caught_up && !reply.is_fenced);
    }

    pub(crate) fn fence(&mut self, broker: BrokerId) {
        assert!(self.plan(|image, ctx| fence_broker(image, broker, None, ctx)));
    }

    pub(crate) fn create(&mut self, name: &str, partitions: i32, factor: i16) -> TopicId {
        self.create_with(name, partitions, factor, &[])
    }

    pub(crate) fn create_with(
        &mut self,
        name: &str,
        partitions: i32,
        factor: i16,
        configs: &[(&str, &str)],
    ) -> TopicId {
        let topic = CreateTopic {
            name: name.into(),
            partitions: Some(partitions),
            replication_factor: Some(factor),
            assignments: vec![],
            configs: configs
                .iter()
                .map(|(k, v)| ((*k).into(), Some((*v).into())))
                .collect(),
        };
        let request = CreateTopics {
            topics: vec![topic],
            validate_only: false,
            default_partitions: 1,
            default_replication_factor: 1,
        };
        let results = self.plan(|image, ctx| create_topics(image, &request, ctx));
        assert_eq!(results[0].outcome, Outcome::OK);
        results[0].id
    }

    pub(crate) fn partition(&self, topic: TopicId, index: i32) -> PartitionRegistration {
        let id = TopicIdPartition {
            topic,
            partition: PartitionIndex(index),
        };
        self.image.partition(id).unwrap().clone()
    }

    /// What the leader would send to get `isr`.
    pub(crate) fn proposal(&self, topic: TopicId, index: i32, isr: &[BrokerId]) -> AlterPartition {
        let state = self.partition(topic, index);
        let leader = state.leader.unwrap();
        AlterPartition {
            broker: leader,
            broker_epoch: self.epoch(leader.0),
            partitions: vec![AlterPartitionItem {
                id: TopicIdPartition {
                    topic,
                    partition: PartitionIndex(index),
                },
                leader_epoch: state.leader_epoch,
                partition_epoch: state.partition_epoch,
                isr: isr.iter().map(|b| (*b, self.epoch(b.0))).collect(),
                recovering: false,
            }],
        }
    }

    pub(crate) fn alter(&mut self, request: &AlterPartition) -> ErrorCode {
        self.plan(|image, ctx| alter_partition(image, request, ctx))[0].error
    }

    /// The leader takes `broker` into the ISR, if there is a leader and it is not in yet.
    pub(crate) fn join_isr(&mut self, topic: TopicId, index: i32, broker: BrokerId) {
        let state = self.partition(topic, index);
        if state.leader.is_some() && state.replicas.contains(&broker) && !state.isr.contains(&broker) {
            let mut isr = state.isr;
            isr.push(broker);
            assert_eq!(self.alter(&self.proposal(topic, index, &isr)), ErrorCode::None);
        }
    }
}

//! A controller for tests: one image, changed under a lock, told to every live broker.

use futures_util::future::BoxFuture;
use milena_broker::shard::{ControlPlane, Router};
use milena_metadata::config::BrokerDefaults;
use milena_metadata::plan::{PlanContext, Planned, fence_broker, replica_states};
use milena_metadata::record::{
    BrokerRegistration, Endpoint, MetadataBatch, MetadataRecord, PartitionRegistration,
};
use milena_metadata::request::{AlterPartitionItem, ReplicaState, ReplicaStateItem, ReplicaStates};
use milena_metadata::{MetadataDelta, MetadataImage};
use milena_types::{
    BrokerEpoch, BrokerId, ClusterId, ErrorCode, IncarnationId, LeaderEpoch, MetadataVersion, PartitionIndex,
    Timestamp, TopicId, TopicIdPartition, TopicName,
};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

pub(crate) const CLUSTER: &str = "replication-tests";

/// The controller of a test.
#[derive(Default)]
pub(crate) struct Controller {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    image: MetadataImage,
    routers: BTreeMap<BrokerId, Router>,
    /// ISR proposals are answered with this error instead of being looked at.
    refuse_isr: Option<ErrorCode>,
    /// How many were.
    refused: usize,
    /// Brokers that reported a lost peer: (reporter, peer).
    lost: Vec<(BrokerId, BrokerId)>,
    reports: Vec<(BrokerId, ReplicaState)>,
    /// Brokers whose session may have ended, for all that they know.
    cut_off: BTreeSet<BrokerId>,
}

impl Controller {
    pub(crate) fn new() -> Arc<Self> {
        let controller = Arc::new(Self::default());
        let elr = MetadataRecord::Feature {
            name: "eligible.leader.replicas.version".to_owned(),
            level: 1,
        };
        controller.commit(vec![MetadataRecord::Cluster(ClusterId(CLUSTER.to_owned())), elr]);
        controller
    }

    pub(crate) fn image(&self) -> MetadataImage {
        self.state.lock().unwrap().image.clone()
    }

    pub(crate) fn partition(&self, id: TopicIdPartition) -> PartitionRegistration {
        self.image().partition(id).expect("the partition exists").clone()
    }

    /// Commits records and tells every broker.
    pub(crate) fn commit(&self, records: Vec<MetadataRecord>) {
        self.state.lock().unwrap().commit(records);
    }

    /// A broker joins: it is registered unfenced under a new epoch and follows from now on.
    pub(crate) fn register(&self, id: BrokerId, port: u16, router: Router) -> BrokerEpoch {
        let mut state = self.state.lock().unwrap();
        let epoch = BrokerEpoch(i64::try_from(state.image.version.0).unwrap() + 1);
        let registration = BrokerRegistration {
            id,
            epoch,
            incarnation: IncarnationId::random(),
            endpoints: vec![Endpoint {
                listener: "PLAINTEXT".to_owned(),
                host: "127.0.0.1".to_owned(),
                port,
                security_protocol: "PLAINTEXT".to_owned(),
            }],
            rack: Some(format!("r{id}")),
            directories: Vec::new(),
            fenced: false,
            in_controlled_shutdown: false,
        };
        state.routers.insert(id, router);
        state.commit(vec![MetadataRecord::Broker(registration)]);
        // The newcomer has missed everything before.
        let whole = Arc::new(MetadataDelta::between(&MetadataImage::default(), &state.image));
        state.tell(&whole);
        epoch
    }

    /// A broker is gone as far as the controller can tell: fenced, out of every ISR, its partitions led by others.
    pub(crate) fn fence(&self, id: BrokerId) {
        let mut state = self.state.lock().unwrap();
        state.routers.remove(&id);
        let mut registration = state.image.brokers.get(&id).unwrap().as_ref().clone();
        registration.fenced = true;
        let mut records = vec![MetadataRecord::Broker(registration)];
        let image = state.image.clone();
        for (_, partition, registration) in image.partitions() {
            let mut changed = registration.as_ref().clone();
            if changed.isr.len() > 1 {
                changed.isr.retain(|member| *member != id);
            }
            if changed.leader == Some(id) {
                changed.leader = changed
                    .replicas
                    .iter()
                    .copied()
                    .find(|r| *r != id && changed.isr.contains(r));
                changed.leader_epoch = LeaderEpoch(changed.leader_epoch.0 + 1);
            }
            if changed != **registration {
                changed.partition_epoch = changed.partition_epoch.next();
                records.push(MetadataRecord::Partition {
                    id: partition,
                    state: changed,
                });
            }
        }
        state.commit(records);
    }

    /// From now on the broker does not know whether its session goes on, or knows it again.
    pub(crate) fn cut_off(&self, broker: i32, cut: bool) {
        let mut state = self.state.lock().unwrap();
        match cut {
            true => state.cut_off.insert(BrokerId(broker)),
            false => state.cut_off.remove(&BrokerId(broker)),
        };
    }

    /// Creates a topic whose partitions are led by the first replica.
    pub(crate) fn create_topic(
        &self,
        name: &str,
        partitions: i32,
        replicas: &[i32],
        configs: &[(&str, &str)],
    ) -> TopicId {
        let (id, name) = (TopicId::random(), TopicName::new(name).unwrap());
        let mut records = vec![MetadataRecord::Topic {
            id,
            name: name.clone(),
        }];
        for (key, value) in configs {
            records.push(MetadataRecord::Config {
                resource: milena_metadata::record::ConfigResource::Topic(name.clone()),
                key: (*key).to_owned(),
                value: Some((*value).to_owned()),
            });
        }
        let replicas: Vec<BrokerId> = replicas.iter().map(|id| BrokerId(*id)).collect();
        for partition in 0..partitions {
            let state = PartitionRegistration::new(replicas.clone(), replicas.clone());
            let id = TopicIdPartition {
                topic: id,
                partition: PartitionIndex(partition),
            };
            records.push(MetadataRecord::Partition { id, state });
        }
        self.commit(records);
        id
    }

    /// Makes another replica the leader, in a new epoch.
    pub(crate) fn elect(&self, id: TopicIdPartition, leader: i32) {
        let mut state = self.partition(id);
        state.leader = Some(BrokerId(leader));
        if !state.isr.contains(&BrokerId(leader)) {
            state.isr.push(BrokerId(leader));
            state.elr.retain(|member| *member != BrokerId(leader));
        }
        state.leader_epoch = state.leader_epoch.next();
        state.partition_epoch = state.partition_epoch.next();
        self.commit(vec![MetadataRecord::Partition { id, state }]);
    }

    /// A replica that has never been there is in no ISR.
    pub(crate) fn fence_absent(&self, id: TopicIdPartition, broker: i32) {
        let mut state = self.partition(id);
        state.isr.retain(|member| *member != BrokerId(broker));
        state.partition_epoch = state.partition_epoch.next();
        self.commit(vec![MetadataRecord::Partition { id, state }]);
    }

    pub(crate) fn refuse_isr(&self, error: Option<ErrorCode>) {
        self.state.lock().unwrap().refuse_isr = error;
    }

    /// How many ISR proposals were refused so.
    pub(crate) fn refused(&self) -> usize {
        self.state.lock().unwrap().refused
    }

    pub(crate) fn lost(&self) -> Vec<(BrokerId, BrokerId)> {
        self.state.lock().unwrap().lost.clone()
    }

    /// KIP-497: compare and set on the partition epoch; members must be alive under the epoch they were seen with.
    fn alter_partition(&self, leader: BrokerId, item: &AlterPartitionItem) -> ErrorCode {
        let mut state = self.state.lock().unwrap();
        if let Some(error) = state.refuse_isr {
            state.refused += 1;
            return error;
        }
        let Some(current) = state.image.partition(item.id).cloned() else {
            return ErrorCode::UnknownTopicId;
        };
        if item.leader_epoch < current.leader_epoch || current.leader != Some(leader) {
            return ErrorCode::FencedLeaderEpoch;
        }
        if item.partition_epoch != current.partition_epoch {
            return ErrorCode::InvalidUpdateVersion;
        }
        let eligible = |(member, epoch): &(BrokerId, BrokerEpoch)| {
            state
                .image
                .brokers
                .get(member)
                .is_some_and(|broker| !broker.fenced && broker.epoch == *epoch)
        };
        if !item.isr.iter().all(eligible) {
            return ErrorCode::IneligibleReplica;
        }
        let mut changed = current;
        changed.isr = item.isr.iter().map(|(member, _)| *member).collect();
        if changed.isr.len() > 1 {
            changed.elr.clear();
        }
        changed.recovering = item.recovering;
        changed.partition_epoch = changed.partition_epoch.next();
        state.commit(vec![MetadataRecord::Partition {
            id: item.id,
            state: changed,
        }]);
        ErrorCode::None
    }
}

impl Controller {
    /// A broker is gone: fenced, out of every ISR, as [`Self::plan`] decides.
    pub(crate) fn lose(&self, id: BrokerId) {
        self.state.lock().unwrap().routers.remove(&id);
        self.plan(|image, context| fence_broker(image, id, None, context));
    }

    /// Commits what the controller decides, with min.insync.replicas 2: who leaves an ISR that small stays eligible.
    fn plan<R>(&self, decide: impl FnOnce(&MetadataImage, &PlanContext<'_>) -> Planned<R>) -> R {
        let mut state = self.state.lock().unwrap();
        let min_isr = ("min.insync.replicas".to_owned(), "2".to_owned());
        let context = PlanContext {
            now: Timestamp(0),
            seed: 0,
            defaults: &BrokerDefaults::new(None, [min_isr]),
        };
        let planned = decide(&state.image, &context);
        if !planned.records.is_empty() {
            state.commit(planned.records);
        }
        planned.reply
    }

    fn report_replica(&self, broker: BrokerId, item: ReplicaStateItem) -> ErrorCode {
        self.state.lock().unwrap().reports.push((broker, item.state));
        let results = self.plan(|image, context| {
            let request = ReplicaStates {
                broker,
                broker_epoch: image.broker(broker).unwrap().epoch,
                replicas: vec![item],
            };
            replica_states(image, &request, context)
        });
        results[0].error
    }

    /// What brokers have reported about their replicas.
    pub(crate) fn reports(&self) -> Vec<(BrokerId, ReplicaState)> {
        self.state.lock().unwrap().reports.clone()
    }
}

impl State {
    fn commit(&mut self, records: Vec<MetadataRecord>) {
        let batch = MetadataBatch {
            expected_version: self.image.version,
            records,
        };
        let delta = Arc::new(self.image.apply(&batch).expect("planned on this image"));
        self.tell(&delta);
    }

    fn tell(&self, delta: &Arc<MetadataDelta>) {
        let image = Arc::new(self.image.clone());
        for router in self.routers.values() {
            // Nobody waits for the effect.
            drop(router.apply_metadata(Arc::clone(&image), Arc::clone(delta)));
        }
    }
}

/// The control plane of one broker of a test.
pub(crate) struct Control {
    pub(crate) broker: BrokerId,
    pub(crate) epoch: Arc<Mutex<Option<BrokerEpoch>>>,
    pub(crate) controller: Arc<Controller>,
}

/// Decides off the data thread that asks: to the routers of the other brokers of this process it would look like their own.
fn elsewhere(decide: impl FnOnce() -> ErrorCode + Send + 'static) -> BoxFuture<'static, ErrorCode> {
    Box::pin(async move { tokio::task::spawn_blocking(decide).await.unwrap() })
}

impl ControlPlane for Control {
    fn broker_epoch(&self) -> Option<BrokerEpoch> {
        *self.epoch.lock().unwrap()
    }

    fn in_contact(&self, _followed: MetadataVersion) -> bool {
        !self
            .controller
            .state
            .lock()
            .unwrap()
            .cut_off
            .contains(&self.broker)
    }

    fn alter_partition(&self, item: AlterPartitionItem) -> BoxFuture<'static, ErrorCode> {
        let (broker, controller) = (self.broker, Arc::clone(&self.controller));
        elsewhere(move || controller.alter_partition(broker, &item))
    }

    fn report_replica(&self, item: ReplicaStateItem) -> BoxFuture<'static, ErrorCode> {
        let (broker, controller) = (self.broker, Arc::clone(&self.controller));
        elsewhere(move || controller.report_replica(broker, item))
    }

    fn peer_lost(&self, broker: BrokerId) {
        self.controller
            .state
            .lock()
            .unwrap()
            .lost
            .push((self.broker, broker));
    }
}

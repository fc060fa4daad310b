//! The controller: the product's own plans, committed at once.

use super::digest::digest;
use milena_metadata::config::BrokerDefaults;
use milena_metadata::liveness::Liveness;
use milena_metadata::plan::{self, PlanContext, Planned};
use milena_metadata::record::{Endpoint, PartitionRegistration};
use milena_metadata::request::{
    AdminRequest, AlterPartition, CreateTopic, CreateTopics, Heartbeat, RegisterBroker,
};
use milena_metadata::{MetadataImage, invariants};
use milena_types::{
    BrokerEpoch, BrokerId, ClusterId, DirectoryId, ErrorCode, IncarnationId, MetadataVersion, Timestamp,
    TopicIdPartition, Uuid,
};
use std::sync::{Arc, OnceLock};

/// One version of the metadata.
pub(super) struct Known {
    pub(super) image: MetadataImage,
    /// What of it may differ from another one of its version.
    pub(super) digest: u64,
}

impl Known {
    fn new(image: MetadataImage) -> Arc<Self> {
        let partitions: Vec<_> = image.partitions().map(|(_, id, state)| (id, state)).collect();
        let brokers: Vec<_> = image.brokers.values().collect();
        let digest = digest(&(image.version, partitions, brokers));
        Arc::new(Self { image, digest })
    }

    /// The only partition.
    pub(super) fn partition(&self) -> Option<(TopicIdPartition, &PartitionRegistration)> {
        let (_, id, state) = self.image.partitions().next()?;
        Some((id, state))
    }
}

/// The controllers, seen as one.
#[derive(Clone)]
pub(super) struct Controller {
    newest: Arc<Known>,
    is_sound: bool,
}

fn uuid(kind: u8, broker: BrokerId, number: u8) -> Uuid {
    let mut bytes = [kind; 16];
    bytes[8..12].copy_from_slice(&broker.0.to_be_bytes());
    bytes[15] = number;
    Uuid(bytes)
}

impl Controller {
    pub(super) fn new() -> Self {
        let empty = Known::new(MetadataImage::default());
        let mut new = Self {
            newest: empty,
            is_sound: true,
        };
        let cluster = ClusterId("model".to_owned());
        new.plan(|image, ctx| plan::bootstrap(image, &cluster, ctx));
        new
    }

    pub(super) fn newest(&self) -> &Known {
        &self.newest
    }

    pub(super) fn newest_known(&self) -> Arc<Known> {
        Arc::clone(&self.newest)
    }

    /// What the metadata's own invariants say of every version.
    pub(super) fn is_sound(&self) -> bool {
        self.is_sound
    }

    fn plan<R>(&mut self, plan: impl FnOnce(&MetadataImage, &PlanContext<'_>) -> Planned<R>) -> R {
        static DEFAULTS: OnceLock<BrokerDefaults> = OnceLock::new();
        let defaults = DEFAULTS
            .get_or_init(|| BrokerDefaults::new(None, [("min.insync.replicas".to_owned(), "2".to_owned())]));
        let newest = self.newest_known();
        let before = &newest.image;
        let ctx = PlanContext {
            now: Timestamp(1),
            seed: 7,
            defaults,
        };
        let planned = plan(before, &ctx);
        if planned.records.is_empty() {
            return planned.reply;
        }
        let mut image = before.clone();
        let applied = image.apply(&planned.batch(before)).is_ok();
        let sound = invariants::check(&image).and_then(|()| invariants::check_step(before, &image));
        self.is_sound &= applied && sound.is_ok();
        self.newest = Known::new(image);
        planned.reply
    }

    /// The `run`-th process of a broker, on its `disk`-th disk, gets its epoch.
    pub(super) fn register(&mut self, broker: BrokerId, run: u8, disk: u8) -> BrokerEpoch {
        let request = RegisterBroker {
            broker,
            cluster: None,
            incarnation: IncarnationId(uuid(1, broker, run)),
            endpoints: vec![Endpoint {
                listener: "PLAINTEXT".to_owned(),
                host: "localhost".to_owned(),
                port: 9092,
                security_protocol: "PLAINTEXT".to_owned(),
            }],
            rack: None,
            directories: vec![DirectoryId(uuid(2, broker, disk))],
            unreadable_directories: 0,
            previous_epoch: None,
        };
        // Nobody's session is known: whoever registers is believed that its former process is gone.
        let nobody = Liveness::new(1);
        self.plan(|image, ctx| plan::register_broker(image, &request, &nobody, ctx))
            .epoch
    }

    /// A broker that has applied its registration says that it is alive. False: that changes nothing.
    pub(super) fn unfence(&mut self, broker: BrokerId, epoch: BrokerEpoch, applied: MetadataVersion) -> bool {
        let before = self.newest().image.version;
        let request = Heartbeat {
            broker,
            epoch,
            applied,
            want_fence: false,
            want_shutdown: false,
        };
        let nobody = Liveness::new(1);
        self.plan(|image, ctx| plan::heartbeat(image, &request, &nobody, ctx));
        self.newest().image.version > before
    }

    /// Its session ends. False: it had none.
    pub(super) fn fence(&mut self, broker: BrokerId) -> bool {
        self.plan(|image, ctx| plan::fence_broker(image, broker, None, ctx))
    }

    pub(super) fn alter(&mut self, request: &AlterPartition) -> ErrorCode {
        let results = self.plan(|image, ctx| plan::alter_partition(image, request, ctx));
        results
            .first()
            .map_or(ErrorCode::UnknownServerError, |result| result.error)
    }

    /// The only topic, on all brokers; the first leads.
    pub(super) fn create_topic(&mut self, replicas: Vec<BrokerId>) {
        let topic = CreateTopic {
            name: "t".to_owned(),
            partitions: None,
            replication_factor: None,
            assignments: vec![(0, replicas)],
            configs: Vec::new(),
        };
        let request = AdminRequest::CreateTopics(CreateTopics {
            topics: vec![topic],
            validate_only: false,
            default_partitions: 1,
            default_replication_factor: 1,
        });
        self.plan(|image, ctx| plan::admin(image, &request, ctx));
    }
}

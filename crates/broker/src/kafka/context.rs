//! What every connection of a broker shares: immutable, or safe to use from every data thread.

use super::admission::Admission;
use super::auto_create::AutoCreation;
use super::endpoints;
use super::producer_ids::ProducerIds;
use super::session::FetchSessions;
use crate::config::BrokerConfig;
use crate::coordinator::{ClusterView, Groups};
use crate::metadata::MetadataCache;
use crate::shard::Router;
use milena_metadata::MetadataImage;
use milena_metadata::config::BrokerDefaults;
use std::sync::Arc;
use tokio::sync::watch;

/// What the Kafka front end is built on.
#[derive(Clone)]
pub struct KafkaParts {
    /// The broker's configuration.
    pub config: Arc<BrokerConfig>,
    /// The metadata image, and what is known of peers besides.
    pub metadata: Arc<MetadataCache>,
    /// The way to the active controller.
    pub cluster: Arc<dyn ClusterView>,
    /// The partitions of this broker.
    pub router: Router,
    /// The group coordinator.
    pub groups: Groups,
    /// Turns true, once, when clients may speak; what they send before waits in their sockets.
    pub open: watch::Receiver<bool>,
}

/// What handlers work with. One a broker, behind an `Arc`, used by all data threads.
pub struct KafkaContext {
    pub(super) config: Arc<BrokerConfig>,
    pub(super) metadata: Arc<MetadataCache>,
    pub(super) cluster: Arc<dyn ClusterView>,
    pub(super) router: Router,
    pub(super) groups: Groups,
    pub(super) open: watch::Receiver<bool>,
    /// Defaults of topic configurations from the properties file.
    pub(super) defaults: BrokerDefaults,
    pub(super) producer_ids: ProducerIds,
    pub(super) auto_creation: AutoCreation,
    pub(super) sessions: FetchSessions,
    pub(super) admission: Admission,
}

impl std::fmt::Debug for KafkaContext {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KafkaContext")
            .field("node", &self.config.node_id)
            .finish_non_exhaustive()
    }
}

impl KafkaContext {
    /// Puts the parts together.
    #[must_use]
    pub fn new(parts: KafkaParts) -> Arc<Self> {
        let KafkaParts {
            config,
            metadata,
            cluster,
            router,
            groups,
            open,
        } = parts;
        let properties = config.properties.clone();
        Arc::new(Self {
            defaults: BrokerDefaults::new(Some(config.node_id), properties),
            producer_ids: ProducerIds::new(config.node_id),
            auto_creation: AutoCreation::default(),
            sessions: FetchSessions::new(config.network.fetch_session_slots),
            admission: Admission::new(&config.network),
            config,
            metadata,
            cluster,
            router,
            groups,
            open,
        })
    }

    /// The last applied metadata image.
    pub(super) fn image(&self) -> Arc<MetadataImage> {
        self.metadata.image()
    }

    /// Whom a client on this listener is told to take for the controller; -1: nobody.
    pub(super) fn controller(&self, image: &MetadataImage, listener: &str) -> i32 {
        let active = self.cluster.active_controller();
        endpoints::controller(image, listener, self.config.node_id, active)
    }
}

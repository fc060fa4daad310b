//! The image: all cluster state at one version.
//!
//! Cheap to clone (one pointer per map) and cheap to change while old clones live, so that every plan works on its
//! own copy and every applied batch is published as an immutable image. Changed only by `apply` (folder `apply/`).

use crate::chunk_map::ChunkMap;
pub use crate::delta::MetadataDelta;
use crate::record::{BrokerRegistration, ConfigResource, MetadataRecord, PartitionRegistration};
use milena_types::{
    BrokerEpoch, BrokerId, ClusterId, MetadataVersion, PartitionIndex, TopicId, TopicIdPartition, TopicName,
};
use std::collections::BTreeMap;
use std::sync::Arc;

/// The feature that turns eligible leader replicas on (KIP-966).
pub const ELR_FEATURE: &str = "eligible.leader.replicas.version";

/// All cluster state at one version.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct MetadataImage {
    /// How many batches have been applied.
    pub version: MetadataVersion,
    /// The cluster's id, once known.
    pub cluster: Option<ClusterId>,
    /// Finalized features.
    pub features: ChunkMap<String, i16>,
    /// Registered brokers.
    pub brokers: ChunkMap<BrokerId, Arc<BrokerRegistration>>,
    /// Topics by id.
    pub topics: ChunkMap<TopicId, Arc<TopicImage>>,
    /// Topic ids by name.
    pub topic_ids: ChunkMap<TopicName, TopicId>,
    /// Configurations that were set; a resource without any has no entry.
    pub configs: ChunkMap<ConfigResource, Arc<BTreeMap<String, String>>>,
    /// The first producer id that has not been handed out.
    pub next_producer_id: i64,
}

/// One topic.
#[derive(Clone, Debug, PartialEq)]
pub struct TopicImage {
    /// Its id.
    pub id: TopicId,
    /// Its name.
    pub name: TopicName,
    /// Its partitions.
    pub partitions: ChunkMap<PartitionIndex, Arc<PartitionRegistration>>,
}

/// A batch that was planned against another version.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("batch was planned at metadata version {expected}, the image is at {actual}")]
pub struct Conflict {
    /// What the planner saw.
    pub expected: MetadataVersion,
    /// What the image is at.
    pub actual: MetadataVersion,
}

impl MetadataImage {
    /// The partition's registration, if it exists.
    #[must_use]
    pub fn partition(&self, id: TopicIdPartition) -> Option<&PartitionRegistration> {
        self.topics
            .get(&id.topic)?
            .partitions
            .get(&id.partition)
            .map(Arc::as_ref)
    }

    /// The topic of that name.
    #[must_use]
    pub fn topic_by_name(&self, name: &str) -> Option<&Arc<TopicImage>> {
        self.topics.get(self.topic_ids.get(name)?)
    }

    /// Every partition with its topic, topics in the order of their ids.
    pub fn partitions(
        &self,
    ) -> impl Iterator<Item = (&Arc<TopicImage>, TopicIdPartition, &Arc<PartitionRegistration>)> {
        self.topics.values().flat_map(|topic| {
            topic.partitions.iter().map(move |(index, state)| {
                (
                    topic,
                    TopicIdPartition {
                        topic: topic.id,
                        partition: *index,
                    },
                    state,
                )
            })
        })
    }

    /// The broker's registration.
    #[must_use]
    pub fn broker(&self, id: BrokerId) -> Option<&BrokerRegistration> {
        self.brokers.get(&id).map(Arc::as_ref)
    }

    /// The registration of the process that registered under `epoch`. `None`: the image is older or newer than that, or the
    /// process does not know its epoch yet; it must not act on such an image (INV-START-1).
    #[must_use]
    pub fn registration(&self, id: BrokerId, epoch: Option<BrokerEpoch>) -> Option<&BrokerRegistration> {
        self.broker(id).filter(|known| Some(known.epoch) == epoch)
    }

    /// True for a broker that may lead and join an ISR: registered, unfenced, not shutting down.
    #[must_use]
    pub fn is_active(&self, id: BrokerId) -> bool {
        self.broker(id)
            .is_some_and(|b| !b.fenced && !b.in_controlled_shutdown)
    }

    /// One configuration value that was set on a resource.
    #[must_use]
    pub fn config(&self, resource: &ConfigResource, key: &str) -> Option<&str> {
        self.configs.get(resource)?.get(key).map(String::as_str)
    }

    /// True when eligible leader replicas are maintained and elected (KIP-966).
    #[must_use]
    pub fn elr_enabled(&self) -> bool {
        self.features.get(ELR_FEATURE).is_some_and(|level| *level >= 1)
    }

    /// The image as records: applied to an empty image they give this one again (a snapshot).
    ///
    /// Ordering: the cluster first, then features, brokers, each topic with its partitions, configurations, producer ids.
    #[must_use]
    pub fn to_records(&self) -> Vec<MetadataRecord> {
        let mut records = Vec::new();
        records.extend(self.cluster.clone().map(MetadataRecord::Cluster));
        for (name, level) in &self.features {
            records.push(MetadataRecord::Feature {
                name: name.clone(),
                level: *level,
            });
        }
        records.extend(
            self.brokers
                .values()
                .map(|b| MetadataRecord::Broker(b.as_ref().clone())),
        );
        for topic in self.topics.values() {
            records.push(MetadataRecord::Topic {
                id: topic.id,
                name: topic.name.clone(),
            });
            for (index, state) in &topic.partitions {
                let id = TopicIdPartition {
                    topic: topic.id,
                    partition: *index,
                };
                records.push(MetadataRecord::Partition {
                    id,
                    state: state.as_ref().clone(),
                });
            }
        }
        for (resource, values) in &self.configs {
            records.extend(values.iter().map(|(key, value)| MetadataRecord::Config {
                resource: resource.clone(),
                key: key.clone(),
                value: Some(value.clone()),
            }));
        }
        if self.next_producer_id != 0 {
            records.push(MetadataRecord::ProducerIds {
                next: self.next_producer_id,
            });
        }
        records
    }

    /// The image that a snapshot's records describe.
    #[must_use]
    pub fn from_records(version: MetadataVersion, records: &[MetadataRecord]) -> Self {
        let mut image = MetadataImage::default();
        let mut delta = MetadataDelta::default();
        for record in records {
            image.apply_record(record, &mut delta);
        }
        image.version = version;
        image
    }
}

impl TopicImage {
    /// The partition's registration.
    #[must_use]
    pub fn partition(&self, index: PartitionIndex) -> Option<&PartitionRegistration> {
        self.partitions.get(&index).map(Arc::as_ref)
    }

    /// How many replicas the topic's first partition has; 0 for a topic without partitions.
    #[must_use]
    pub fn replication_factor(&self) -> usize {
        self.partitions
            .first_key_value()
            .map_or(0, |(_, p)| p.replicas.len())
    }
}

#[cfg(test)]
#[path = "image_test.rs"]
mod tests;

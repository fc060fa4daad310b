//! Metadata records and batches.

use super::{ConvertError, each, ids, narrow, required, topic_name, uuid, uuid_bytes};
use crate::proto::{self, config_resource::Resource, metadata_record::Record};
use milena_metadata::record::{
    BrokerRegistration, ConfigResource, Endpoint, MetadataBatch, MetadataRecord, PartitionRegistration,
};
use milena_types::{
    BrokerEpoch, BrokerId, ClusterId, DirectoryId, IncarnationId, LeaderEpoch, MetadataVersion,
    PartitionEpoch, TopicId,
};

/// A broker id in a record: plan has checked it, so that a negative one is damage.
fn broker_id(id: i32) -> Result<BrokerId, ConvertError> {
    if id < 0 {
        return Err(ConvertError::Range {
            field: "broker",
            value: i64::from(id),
        });
    }
    Ok(BrokerId(id))
}

fn broker_ids(list: &[i32]) -> Result<Vec<BrokerId>, ConvertError> {
    list.iter().map(|id| broker_id(*id)).collect()
}

impl From<&MetadataBatch> for proto::MetadataBatch {
    fn from(batch: &MetadataBatch) -> Self {
        Self {
            expected_version: batch.expected_version.0,
            records: batch.records.iter().map(Into::into).collect(),
        }
    }
}

impl TryFrom<proto::MetadataBatch> for MetadataBatch {
    type Error = ConvertError;

    fn try_from(batch: proto::MetadataBatch) -> Result<Self, ConvertError> {
        Ok(Self {
            expected_version: MetadataVersion(batch.expected_version),
            records: each(batch.records)?,
        })
    }
}

impl From<&MetadataRecord> for proto::MetadataRecord {
    fn from(record: &MetadataRecord) -> Self {
        let record = match record {
            MetadataRecord::Cluster(id) => Record::Cluster(id.0.clone()),
            MetadataRecord::Feature { name, level } => Record::Feature(proto::FeatureRecord {
                name: name.clone(),
                level: i32::from(*level),
            }),
            MetadataRecord::Broker(registration) => Record::Broker(registration.into()),
            MetadataRecord::BrokerRemoved(id) => Record::BrokerRemoved(id.0),
            MetadataRecord::Topic { id, name } => Record::Topic(proto::TopicRecord {
                id: uuid_bytes(id.0),
                name: name.as_str().to_owned(),
            }),
            MetadataRecord::TopicRemoved(id) => Record::TopicRemoved(uuid_bytes(id.0)),
            MetadataRecord::Partition { id, state } => Record::Partition(proto::PartitionRecord {
                id: Some(id.into()),
                state: Some(state.into()),
            }),
            MetadataRecord::Config { resource, key, value } => Record::Config(proto::ConfigRecord {
                resource: Some(resource.into()),
                key: key.clone(),
                value: value.clone(),
            }),
            MetadataRecord::ProducerIds { next } => Record::NextProducerId(*next),
        };
        Self { record: Some(record) }
    }
}

impl TryFrom<proto::MetadataRecord> for MetadataRecord {
    type Error = ConvertError;

    fn try_from(record: proto::MetadataRecord) -> Result<Self, ConvertError> {
        Ok(match required(record.record, "record")? {
            Record::Cluster(id) => MetadataRecord::Cluster(ClusterId(id)),
            Record::Feature(feature) => MetadataRecord::Feature {
                name: feature.name,
                level: narrow(feature.level, "level")?,
            },
            Record::Broker(registration) => MetadataRecord::Broker(registration.try_into()?),
            Record::BrokerRemoved(id) => MetadataRecord::BrokerRemoved(broker_id(id)?),
            Record::Topic(topic) => MetadataRecord::Topic {
                id: TopicId(uuid(&topic.id, "topic")?),
                name: topic_name(&topic.name)?,
            },
            Record::TopicRemoved(id) => MetadataRecord::TopicRemoved(TopicId(uuid(&id, "topic")?)),
            Record::Partition(partition) => MetadataRecord::Partition {
                id: required(partition.id, "id")?.try_into()?,
                state: required(partition.state, "state")?.try_into()?,
            },
            Record::Config(config) => MetadataRecord::Config {
                resource: required(config.resource, "resource")?.try_into()?,
                key: config.key,
                value: config.value,
            },
            Record::NextProducerId(next) => MetadataRecord::ProducerIds { next },
        })
    }
}

impl From<&Endpoint> for proto::Endpoint {
    fn from(endpoint: &Endpoint) -> Self {
        Self {
            listener: endpoint.listener.clone(),
            host: endpoint.host.clone(),
            port: u32::from(endpoint.port),
            security_protocol: endpoint.security_protocol.clone(),
        }
    }
}

impl TryFrom<proto::Endpoint> for Endpoint {
    type Error = ConvertError;

    fn try_from(endpoint: proto::Endpoint) -> Result<Self, ConvertError> {
        let port = u16::try_from(endpoint.port).map_err(|_| ConvertError::Range {
            field: "port",
            value: i64::from(endpoint.port),
        })?;
        Ok(Self {
            listener: endpoint.listener,
            host: endpoint.host,
            port,
            security_protocol: endpoint.security_protocol,
        })
    }
}

impl From<&BrokerRegistration> for proto::BrokerRegistration {
    fn from(broker: &BrokerRegistration) -> Self {
        Self {
            id: broker.id.0,
            epoch: broker.epoch.0,
            incarnation: uuid_bytes(broker.incarnation.0),
            endpoints: broker.endpoints.iter().map(Into::into).collect(),
            rack: broker.rack.clone(),
            directories: broker.directories.iter().map(|id| uuid_bytes(id.0)).collect(),
            fenced: broker.fenced,
            in_controlled_shutdown: broker.in_controlled_shutdown,
        }
    }
}

impl TryFrom<proto::BrokerRegistration> for BrokerRegistration {
    type Error = ConvertError;

    fn try_from(broker: proto::BrokerRegistration) -> Result<Self, ConvertError> {
        Ok(Self {
            id: broker_id(broker.id)?,
            epoch: BrokerEpoch(broker.epoch),
            incarnation: IncarnationId(uuid(&broker.incarnation, "incarnation")?),
            endpoints: each(broker.endpoints)?,
            rack: broker.rack,
            directories: super::broker::directories(&broker.directories)?,
            fenced: broker.fenced,
            in_controlled_shutdown: broker.in_controlled_shutdown,
        })
    }
}

impl From<&PartitionRegistration> for proto::PartitionRegistration {
    fn from(state: &PartitionRegistration) -> Self {
        Self {
            replicas: ids(&state.replicas),
            isr: ids(&state.isr),
            elr: ids(&state.elr),
            last_known_elr: ids(&state.last_known_elr),
            offline: ids(&state.offline),
            adding: ids(&state.adding),
            removing: ids(&state.removing),
            leader: state.leader.map(|id| id.0),
            recovering: state.recovering,
            unclean_epochs: state.unclean_epochs.iter().map(|epoch| epoch.0).collect(),
            leader_epoch: state.leader_epoch.0,
            partition_epoch: state.partition_epoch.0,
        }
    }
}

impl TryFrom<proto::PartitionRegistration> for PartitionRegistration {
    type Error = ConvertError;

    fn try_from(state: proto::PartitionRegistration) -> Result<Self, ConvertError> {
        Ok(Self {
            replicas: broker_ids(&state.replicas)?,
            isr: broker_ids(&state.isr)?,
            elr: broker_ids(&state.elr)?,
            last_known_elr: broker_ids(&state.last_known_elr)?,
            offline: broker_ids(&state.offline)?,
            adding: broker_ids(&state.adding)?,
            removing: broker_ids(&state.removing)?,
            leader: state.leader.map(broker_id).transpose()?,
            recovering: state.recovering,
            unclean_epochs: state.unclean_epochs.into_iter().map(LeaderEpoch).collect(),
            leader_epoch: LeaderEpoch(state.leader_epoch),
            partition_epoch: PartitionEpoch(state.partition_epoch),
        })
    }
}

impl From<&ConfigResource> for proto::ConfigResource {
    fn from(resource: &ConfigResource) -> Self {
        Self {
            resource: Some(match resource {
                ConfigResource::Topic(name) => Resource::Topic(name.as_str().to_owned()),
                ConfigResource::Broker(Some(id)) => Resource::Broker(id.0),
                ConfigResource::Broker(None) => Resource::BrokerDefault(true),
                ConfigResource::Group(name) => Resource::Group(name.clone()),
                ConfigResource::ClientMetrics(name) => Resource::ClientMetrics(name.clone()),
            }),
        }
    }
}

impl TryFrom<proto::ConfigResource> for ConfigResource {
    type Error = ConvertError;

    fn try_from(resource: proto::ConfigResource) -> Result<Self, ConvertError> {
        Ok(match required(resource.resource, "resource")? {
            Resource::Topic(name) => ConfigResource::Topic(topic_name(&name)?),
            Resource::Broker(id) => ConfigResource::Broker(Some(BrokerId(id))),
            Resource::BrokerDefault(_) => ConfigResource::Broker(None),
            Resource::Group(name) => ConfigResource::Group(name),
            Resource::ClientMetrics(name) => ConfigResource::ClientMetrics(name),
        })
    }
}

/// Log directory ids.
pub(super) fn directory_bytes(directories: &[DirectoryId]) -> Vec<bytes::Bytes> {
    directories.iter().map(|id| uuid_bytes(id.0)).collect()
}

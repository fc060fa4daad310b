//! Administrative requests. Names stay text here: `plan` validates what a client wrote.

use super::{ConvertError, each, ids, narrow, required, topic_name, uuid, uuid_bytes};
use crate::proto::{self, admin_request::Request, topic_ref::Topic};
use milena_metadata::request::{
    AdminRequest, AlterConfig, ConfigOp, CreateTopic, CreateTopics, ElectLeader, ElectionType, GrowTopic,
    Reassign, TopicRef,
};
use milena_types::{BrokerEpoch, BrokerId, TopicId};

fn brokers(list: Vec<i32>) -> Vec<BrokerId> {
    list.into_iter().map(BrokerId).collect()
}

impl From<&AdminRequest> for proto::AdminRequest {
    fn from(request: &AdminRequest) -> Self {
        let request = match request {
            AdminRequest::CreateTopics(request) => Request::CreateTopics(request.into()),
            AdminRequest::DeleteTopics(topics) => Request::DeleteTopics(proto::DeleteTopicsRequest {
                topics: topics.iter().map(Into::into).collect(),
            }),
            AdminRequest::CreatePartitions {
                topics,
                validate_only,
            } => Request::CreatePartitions(proto::CreatePartitionsRequest {
                topics: topics.iter().map(Into::into).collect(),
                validate_only: *validate_only,
            }),
            AdminRequest::AlterConfigs {
                resources,
                validate_only,
            } => Request::AlterConfigs(proto::AlterConfigsRequest {
                resources: resources.iter().map(Into::into).collect(),
                validate_only: *validate_only,
            }),
            AdminRequest::ElectLeaders { election, partitions } => {
                Request::ElectLeaders(proto::ElectLeadersRequest {
                    election: match election {
                        ElectionType::Preferred => proto::ElectionType::Preferred,
                        ElectionType::Unclean => proto::ElectionType::Unclean,
                    }
                    .into(),
                    partitions: partitions.as_ref().map(|list| proto::ElectLeaderList {
                        partitions: list.iter().map(Into::into).collect(),
                    }),
                })
            }
            AdminRequest::AlterPartitionReassignments {
                partitions,
                allow_replication_factor_change,
            } => Request::AlterPartitionReassignments(proto::AlterPartitionReassignmentsRequest {
                partitions: partitions.iter().map(Into::into).collect(),
                allow_replication_factor_change: *allow_replication_factor_change,
            }),
            AdminRequest::UnregisterBroker(id) => Request::UnregisterBroker(id.0),
            AdminRequest::AllocateProducerIds { broker, epoch } => {
                Request::AllocateProducerIds(proto::AllocateProducerIdsRequest {
                    broker: broker.0,
                    epoch: epoch.0,
                })
            }
        };
        Self {
            request: Some(request),
        }
    }
}

impl TryFrom<proto::AdminRequest> for AdminRequest {
    type Error = ConvertError;

    fn try_from(request: proto::AdminRequest) -> Result<Self, ConvertError> {
        Ok(match required(request.request, "request")? {
            Request::CreateTopics(request) => AdminRequest::CreateTopics(request.try_into()?),
            Request::DeleteTopics(request) => AdminRequest::DeleteTopics(each(request.topics)?),
            Request::CreatePartitions(request) => AdminRequest::CreatePartitions {
                topics: request.topics.into_iter().map(Into::into).collect(),
                validate_only: request.validate_only,
            },
            Request::AlterConfigs(request) => AdminRequest::AlterConfigs {
                resources: each(request.resources)?,
                validate_only: request.validate_only,
            },
            Request::ElectLeaders(request) => AdminRequest::ElectLeaders {
                election: match proto::ElectionType::try_from(request.election) {
                    Ok(proto::ElectionType::Preferred) => ElectionType::Preferred,
                    Ok(proto::ElectionType::Unclean) => ElectionType::Unclean,
                    Err(_) => {
                        return Err(ConvertError::Range {
                            field: "election",
                            value: i64::from(request.election),
                        });
                    }
                },
                partitions: request.partitions.map(|list| each(list.partitions)).transpose()?,
            },
            Request::AlterPartitionReassignments(request) => AdminRequest::AlterPartitionReassignments {
                partitions: request.partitions.into_iter().map(Into::into).collect(),
                allow_replication_factor_change: request.allow_replication_factor_change,
            },
            Request::UnregisterBroker(id) => AdminRequest::UnregisterBroker(BrokerId(id)),
            Request::AllocateProducerIds(request) => AdminRequest::AllocateProducerIds {
                broker: BrokerId(request.broker),
                epoch: BrokerEpoch(request.epoch),
            },
        })
    }
}

impl From<&CreateTopics> for proto::CreateTopicsRequest {
    fn from(request: &CreateTopics) -> Self {
        Self {
            topics: request.topics.iter().map(Into::into).collect(),
            validate_only: request.validate_only,
            default_partitions: request.default_partitions,
            default_replication_factor: i32::from(request.default_replication_factor),
        }
    }
}

impl TryFrom<proto::CreateTopicsRequest> for CreateTopics {
    type Error = ConvertError;

    fn try_from(request: proto::CreateTopicsRequest) -> Result<Self, ConvertError> {
        Ok(Self {
            topics: each(request.topics)?,
            validate_only: request.validate_only,
            default_partitions: request.default_partitions,
            default_replication_factor: narrow(
                request.default_replication_factor,
                "default_replication_factor",
            )?,
        })
    }
}

impl From<&CreateTopic> for proto::CreatableTopic {
    fn from(topic: &CreateTopic) -> Self {
        Self {
            name: topic.name.clone(),
            partitions: topic.partitions,
            replication_factor: topic.replication_factor.map(i32::from),
            assignments: topic
                .assignments
                .iter()
                .map(|(partition, brokers)| proto::ManualAssignment {
                    partition: *partition,
                    brokers: ids(brokers),
                })
                .collect(),
            configs: topic
                .configs
                .iter()
                .map(|(key, value)| proto::ConfigEntry {
                    key: key.clone(),
                    value: value.clone(),
                })
                .collect(),
        }
    }
}

impl TryFrom<proto::CreatableTopic> for CreateTopic {
    type Error = ConvertError;

    fn try_from(topic: proto::CreatableTopic) -> Result<Self, ConvertError> {
        Ok(Self {
            name: topic.name,
            partitions: topic.partitions,
            replication_factor: topic
                .replication_factor
                .map(|rf| narrow(rf, "replication_factor"))
                .transpose()?,
            assignments: topic
                .assignments
                .into_iter()
                .map(|item| (item.partition, brokers(item.brokers)))
                .collect(),
            configs: topic
                .configs
                .into_iter()
                .map(|entry| (entry.key, entry.value))
                .collect(),
        })
    }
}

impl From<&TopicRef> for proto::TopicRef {
    fn from(topic: &TopicRef) -> Self {
        Self {
            topic: Some(match topic {
                TopicRef::Name(name) => Topic::Name(name.clone()),
                TopicRef::Id(id) => Topic::Id(uuid_bytes(id.0)),
            }),
        }
    }
}

impl TryFrom<proto::TopicRef> for TopicRef {
    type Error = ConvertError;

    fn try_from(topic: proto::TopicRef) -> Result<Self, ConvertError> {
        Ok(match required(topic.topic, "topic")? {
            Topic::Name(name) => TopicRef::Name(name),
            Topic::Id(id) => TopicRef::Id(TopicId(uuid(&id, "topic")?)),
        })
    }
}

impl From<&GrowTopic> for proto::GrowTopic {
    fn from(topic: &GrowTopic) -> Self {
        Self {
            name: topic.name.clone(),
            count: topic.count,
            assignments: topic.assignments.as_ref().map(|lists| proto::GrowAssignments {
                partitions: lists
                    .iter()
                    .map(|list| proto::ReplicaList { brokers: ids(list) })
                    .collect(),
            }),
        }
    }
}

impl From<proto::GrowTopic> for GrowTopic {
    fn from(topic: proto::GrowTopic) -> Self {
        Self {
            name: topic.name,
            count: topic.count,
            assignments: topic.assignments.map(|lists| {
                lists
                    .partitions
                    .into_iter()
                    .map(|list| brokers(list.brokers))
                    .collect()
            }),
        }
    }
}

impl From<&Reassign> for proto::Reassign {
    fn from(item: &Reassign) -> Self {
        Self {
            topic: item.topic.clone(),
            partition: item.partition,
            replicas: item
                .replicas
                .as_ref()
                .map(|list| proto::ReplicaList { brokers: ids(list) }),
        }
    }
}

impl From<proto::Reassign> for Reassign {
    fn from(item: proto::Reassign) -> Self {
        Self {
            topic: item.topic,
            partition: item.partition,
            replicas: item.replicas.map(|list| brokers(list.brokers)),
        }
    }
}

impl From<&AlterConfig> for proto::AlterConfig {
    fn from(change: &AlterConfig) -> Self {
        let op = |op: &ConfigOp| match op {
            ConfigOp::Set => proto::ConfigOp::Set,
            ConfigOp::Delete => proto::ConfigOp::Delete,
            ConfigOp::Append => proto::ConfigOp::Append,
            ConfigOp::Subtract => proto::ConfigOp::Subtract,
        };
        Self {
            resource: Some((&change.resource).into()),
            changes: change
                .changes
                .iter()
                .map(|(key, how, value)| proto::ConfigChange {
                    key: key.clone(),
                    op: op(how).into(),
                    value: value.clone(),
                })
                .collect(),
            replace_all: change.replace_all,
        }
    }
}

impl TryFrom<proto::AlterConfig> for AlterConfig {
    type Error = ConvertError;

    fn try_from(change: proto::AlterConfig) -> Result<Self, ConvertError> {
        let op = |op: i32| {
            Ok(match proto::ConfigOp::try_from(op) {
                Ok(proto::ConfigOp::Set) => ConfigOp::Set,
                Ok(proto::ConfigOp::Delete) => ConfigOp::Delete,
                Ok(proto::ConfigOp::Append) => ConfigOp::Append,
                Ok(proto::ConfigOp::Subtract) => ConfigOp::Subtract,
                Err(_) => {
                    return Err(ConvertError::Range {
                        field: "op",
                        value: i64::from(op),
                    });
                }
            })
        };
        Ok(Self {
            resource: required(change.resource, "resource")?.try_into()?,
            changes: change
                .changes
                .into_iter()
                .map(|item| Ok((item.key, op(item.op)?, item.value)))
                .collect::<Result<_, ConvertError>>()?,
            replace_all: change.replace_all,
        })
    }
}

impl From<&ElectLeader> for proto::ElectLeader {
    fn from(item: &ElectLeader) -> Self {
        Self {
            topic: item.topic.as_str().to_owned(),
            partition: item.partition,
        }
    }
}

impl TryFrom<proto::ElectLeader> for ElectLeader {
    type Error = ConvertError;

    fn try_from(item: proto::ElectLeader) -> Result<Self, ConvertError> {
        Ok(Self {
            topic: topic_name(&item.topic)?,
            partition: item.partition,
        })
    }
}

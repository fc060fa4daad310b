//! Answers to administrative requests.

use super::{ConvertError, each, narrow, outcome, required, topic_name, uuid, uuid_bytes};
use crate::proto::{self, admin_response::Reply};
use milena_metadata::request::{
    AdminReply, AlterConfigResult, CreateTopicResult, DeleteTopicResult, Outcome,
};
use milena_types::{MetadataVersion, TopicId, TopicName};

impl From<(&AdminReply, MetadataVersion)> for proto::AdminResponse {
    /// The version is that of the image in which the effects are visible.
    fn from((reply, version): (&AdminReply, MetadataVersion)) -> Self {
        Self {
            reply: Some(reply.into()),
            version: version.0,
        }
    }
}

impl From<&AdminReply> for Reply {
    fn from(reply: &AdminReply) -> Self {
        match reply {
            AdminReply::CreateTopics(topics) => Reply::CreateTopics(proto::CreateTopicsResponse {
                topics: topics.iter().map(Into::into).collect(),
            }),
            AdminReply::DeleteTopics(topics) => Reply::DeleteTopics(proto::DeleteTopicsResponse {
                topics: topics.iter().map(Into::into).collect(),
            }),
            AdminReply::CreatePartitions(topics) => {
                Reply::CreatePartitions(proto::CreatePartitionsResponse {
                    topics: topics
                        .iter()
                        .map(|(name, outcome)| proto::CreatePartitionsResult {
                            name: name.clone(),
                            outcome: Some(outcome.into()),
                        })
                        .collect(),
                })
            }
            AdminReply::AlterConfigs(results) => Reply::AlterConfigs(proto::AlterConfigsResponse {
                resources: results.iter().map(Into::into).collect(),
            }),
            AdminReply::ElectLeaders(results) => Reply::ElectLeaders(proto::ElectLeadersResponse {
                partitions: results.iter().map(elected).collect(),
            }),
            AdminReply::AlterPartitionReassignments(outcomes) => {
                Reply::AlterPartitionReassignments(proto::AlterPartitionReassignmentsResponse {
                    outcomes: outcomes.iter().map(Into::into).collect(),
                })
            }
            AdminReply::UnregisterBroker(outcome) => Reply::UnregisterBroker(outcome.into()),
            AdminReply::AllocateProducerIds {
                outcome,
                first,
                count,
            } => Reply::AllocateProducerIds(proto::AllocateProducerIdsResponse {
                outcome: Some(outcome.into()),
                first: *first,
                count: *count,
            }),
        }
    }
}

impl TryFrom<proto::AdminResponse> for AdminReply {
    type Error = ConvertError;

    fn try_from(response: proto::AdminResponse) -> Result<Self, ConvertError> {
        Ok(match required(response.reply, "reply")? {
            Reply::CreateTopics(reply) => AdminReply::CreateTopics(each(reply.topics)?),
            Reply::DeleteTopics(reply) => AdminReply::DeleteTopics(each(reply.topics)?),
            Reply::CreatePartitions(reply) => AdminReply::CreatePartitions(
                reply
                    .topics
                    .into_iter()
                    .map(|topic| Ok((topic.name, outcome(topic.outcome)?)))
                    .collect::<Result<_, ConvertError>>()?,
            ),
            Reply::AlterConfigs(reply) => AdminReply::AlterConfigs(each(reply.resources)?),
            Reply::ElectLeaders(reply) => AdminReply::ElectLeaders(
                reply
                    .partitions
                    .into_iter()
                    .map(|item| Ok((topic_name(&item.topic)?, item.partition, outcome(item.outcome)?)))
                    .collect::<Result<_, ConvertError>>()?,
            ),
            Reply::AlterPartitionReassignments(reply) => {
                AdminReply::AlterPartitionReassignments(reply.outcomes.into_iter().map(Into::into).collect())
            }
            Reply::UnregisterBroker(outcome) => AdminReply::UnregisterBroker(outcome.into()),
            Reply::AllocateProducerIds(reply) => AdminReply::AllocateProducerIds {
                outcome: outcome(reply.outcome)?,
                first: reply.first,
                count: reply.count,
            },
        })
    }
}

fn elected((topic, partition, outcome): &(TopicName, i32, Outcome)) -> proto::ElectLeaderResult {
    proto::ElectLeaderResult {
        topic: topic.as_str().to_owned(),
        partition: *partition,
        outcome: Some(outcome.into()),
    }
}

impl From<&CreateTopicResult> for proto::CreateTopicResult {
    fn from(result: &CreateTopicResult) -> Self {
        Self {
            name: result.name.clone(),
            outcome: Some((&result.outcome).into()),
            id: uuid_bytes(result.id.0),
            partitions: result.partitions,
            replication_factor: i32::from(result.replication_factor),
        }
    }
}

impl TryFrom<proto::CreateTopicResult> for CreateTopicResult {
    type Error = ConvertError;

    fn try_from(result: proto::CreateTopicResult) -> Result<Self, ConvertError> {
        Ok(Self {
            name: result.name,
            outcome: outcome(result.outcome)?,
            id: TopicId(uuid(&result.id, "id")?),
            partitions: result.partitions,
            replication_factor: narrow(result.replication_factor, "replication_factor")?,
        })
    }
}

impl From<&DeleteTopicResult> for proto::DeleteTopicResult {
    fn from(result: &DeleteTopicResult) -> Self {
        Self {
            name: result.name.clone(),
            id: uuid_bytes(result.id.0),
            outcome: Some((&result.outcome).into()),
        }
    }
}

impl TryFrom<proto::DeleteTopicResult> for DeleteTopicResult {
    type Error = ConvertError;

    fn try_from(result: proto::DeleteTopicResult) -> Result<Self, ConvertError> {
        Ok(Self {
            name: result.name,
            id: TopicId(uuid(&result.id, "id")?),
            outcome: outcome(result.outcome)?,
        })
    }
}

impl From<&AlterConfigResult> for proto::AlterConfigResult {
    fn from(result: &AlterConfigResult) -> Self {
        Self {
            resource: Some((&result.resource).into()),
            outcome: Some((&result.outcome).into()),
        }
    }
}

impl TryFrom<proto::AlterConfigResult> for AlterConfigResult {
    type Error = ConvertError;

    fn try_from(result: proto::AlterConfigResult) -> Result<Self, ConvertError> {
        Ok(Self {
            resource: required(result.resource, "resource")?.try_into()?,
            outcome: outcome(result.outcome)?,
        })
    }
}

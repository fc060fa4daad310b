//! Ids of partitions.

use super::{ConvertError, uuid, uuid_bytes};
use crate::proto;
use milena_types::{PartitionIndex, TopicId, TopicIdPartition};

impl From<&TopicIdPartition> for proto::TopicIdPartition {
    fn from(id: &TopicIdPartition) -> Self {
        Self {
            topic: uuid_bytes(id.topic.0),
            partition: id.partition.0,
        }
    }
}

impl TryFrom<proto::TopicIdPartition> for TopicIdPartition {
    type Error = ConvertError;

    fn try_from(id: proto::TopicIdPartition) -> Result<Self, ConvertError> {
        if id.partition < 0 {
            return Err(ConvertError::Range {
                field: "partition",
                value: i64::from(id.partition),
            });
        }
        Ok(Self {
            topic: TopicId(uuid(&id.topic, "topic")?),
            partition: PartitionIndex(id.partition),
        })
    }
}

//! OffsetDelete (47): forgets committed offsets. Source: `KafkaApis.handleOffsetDeleteRequest`.

use super::text::{owned, topic_name};
use crate::coordinator::OffsetDeleteTopic;
use crate::kafka::dispatch::Call;
use crate::kafka::topics;
use milena_types::{ErrorCode, PartitionIndex};
use milena_wire::messages::offset_delete_response::{
    OffsetDeleteResponsePartition, OffsetDeleteResponseTopic,
};
use milena_wire::messages::{OffsetDeleteRequest, OffsetDeleteResponse};
use std::collections::HashMap;

pub(in crate::kafka) async fn handle(call: &Call, request: OffsetDeleteRequest) -> OffsetDeleteResponse {
    let image = call.peer.ctx.image();
    let known = request.topics.iter().map(|topic| {
        let name = owned(&topic.name.0);
        let indexes = topic.partitions.iter().map(|partition| partition.partition_index);
        let existing = indexes.filter(|index| topics::partition_by_name(&image, &name, *index).is_ok());
        let partitions = existing.map(PartitionIndex).collect();
        OffsetDeleteTopic { name, partitions }
    });
    let delete = crate::coordinator::OffsetDeleteRequest {
        group_id: owned(&request.group_id.0),
        topics: known.filter(|topic| !topic.partitions.is_empty()).collect(),
    };
    let answer = call.peer.ctx.groups.offset_delete(delete).await;
    if !answer.error.is_none() {
        return OffsetDeleteResponse::default().with_error_code(answer.error.code());
    }
    let answered = answer.topics.into_iter().flat_map(|topic| {
        topic
            .partitions
            .into_iter()
            .map(move |partition| ((topic.name.clone(), partition.partition.0), partition.error))
    });
    let errors: HashMap<(String, i32), ErrorCode> = answered.collect();
    let rows = request.topics.iter().map(|topic| {
        let name = owned(&topic.name.0);
        let partitions = topic.partitions.iter().map(|partition| {
            let key = (name.clone(), partition.partition_index);
            let error = errors
                .get(&key)
                .copied()
                .unwrap_or(ErrorCode::UnknownTopicOrPartition);
            OffsetDeleteResponsePartition::default()
                .with_partition_index(partition.partition_index)
                .with_error_code(error.code())
        });
        OffsetDeleteResponseTopic::default()
            .with_partitions(partitions.collect())
            .with_name(topic_name(name))
    });
    OffsetDeleteResponse::default().with_topics(rows.collect())
}

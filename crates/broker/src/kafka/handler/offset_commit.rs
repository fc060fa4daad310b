//! OffsetCommit (8): answered when the offsets are committed. Source: `KafkaApis.handleOffsetCommitRequest`.

use super::group_context::context;
use super::text::{owned, topic_name};
use crate::coordinator::{CommitPartition, CommitRequest, CommitTopic};
use crate::kafka::dispatch::Call;
use milena_types::{ErrorCode, LeaderEpoch, Offset, PartitionIndex, TopicId};
use milena_wire::messages::OffsetCommitResponse;
use milena_wire::messages::offset_commit_request::OffsetCommitRequestTopic;
use milena_wire::messages::offset_commit_response::{
    OffsetCommitResponsePartition, OffsetCommitResponseTopic,
};
use milena_wire::split::OffsetCommitRequest;
use std::collections::HashMap;

pub(in crate::kafka) async fn handle(call: &Call, request: OffsetCommitRequest) -> OffsetCommitResponse {
    let image = call.peer.ctx.image();
    let exists = |name: &str, index: i32| {
        image
            .topic_by_name(name)
            .filter(|topic| topic.partitions.get(&PartitionIndex(index)).is_some())
    };
    // Offsets of partitions that do not exist are refused one by one; the others are committed.
    let known = request.iter().filter_map(|topic| {
        let partitions = topic
            .partitions
            .iter()
            .filter(|p| exists(topic.name.as_str(), p.partition_index).is_some());
        let partitions: Vec<_> = partitions
            .map(|p| CommitPartition {
                partition: PartitionIndex(p.partition_index),
                offset: Offset(p.committed_offset),
                leader_epoch: (p.committed_leader_epoch >= 0)
                    .then_some(LeaderEpoch(p.committed_leader_epoch)),
                metadata: p.committed_metadata.as_ref().map(owned),
            })
            .collect();
        let topic_id = image
            .topic_by_name(topic.name.as_str())
            .map_or(TopicId::default(), |found| found.id);
        (!partitions.is_empty()).then(|| CommitTopic {
            topic_id,
            name: owned(&topic.name.0),
            partitions,
        })
    });
    let commit = CommitRequest {
        context: context(call),
        group_id: owned(&request.head.group_id.0),
        generation_id: request.head.generation_id_or_member_epoch,
        member_id: owned(&request.head.member_id),
        group_instance_id: request.head.group_instance_id.as_ref().map(owned),
        retention_ms: (request.head.retention_time_ms >= 0).then_some(request.head.retention_time_ms),
        topics: known.collect(),
    };
    let mut errors = HashMap::new();
    if !commit.topics.is_empty() || request.is_empty() {
        for topic in call.peer.ctx.groups.commit(commit).await.topics {
            for partition in topic.partitions {
                errors.insert((topic.name.clone(), partition.partition.0), partition.error);
            }
        }
    }
    let rows = request.iter().map(|topic| row(&topic, &errors)).collect();
    OffsetCommitResponse::default().with_topics(rows)
}

fn row(
    topic: &OffsetCommitRequestTopic,
    errors: &HashMap<(String, i32), ErrorCode>,
) -> OffsetCommitResponseTopic {
    let name = owned(&topic.name.0);
    let partitions = topic.partitions.iter().map(|partition| {
        let key = (name.clone(), partition.partition_index);
        let error = errors
            .get(&key)
            .copied()
            .unwrap_or(ErrorCode::UnknownTopicOrPartition);
        OffsetCommitResponsePartition::default()
            .with_partition_index(partition.partition_index)
            .with_error_code(error.code())
    });
    OffsetCommitResponseTopic::default()
        .with_partitions(partitions.collect())
        .with_name(topic_name(name))
}

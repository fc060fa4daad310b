//! OffsetFetch (9): committed offsets of one group, or of several since version 8. Source:
//! `KafkaApis.handleOffsetFetchRequest`, `OffsetFetchResponse`.

use super::group_context::context;
use super::text::{group_id, owned, text, topic_name};
use crate::coordinator::{FetchRequest, FetchResponse, FetchTopic, FetchTopicResult};
use crate::kafka::dispatch::Call;
use milena_types::{ErrorCode, PartitionIndex, TopicId};
use milena_wire::messages::OffsetFetchResponse;
use milena_wire::messages::offset_fetch_response::{
    OffsetFetchResponseGroup, OffsetFetchResponsePartition, OffsetFetchResponsePartitions,
    OffsetFetchResponseTopic, OffsetFetchResponseTopics,
};
use milena_wire::offset_fetch::{OffsetFetchGroup, OffsetFetchRequest};

pub(in crate::kafka) async fn handle(call: &Call, request: OffsetFetchRequest) -> OffsetFetchResponse {
    if call.version < 8 {
        return one_group(call, request).await;
    }
    let mut groups = Vec::new();
    for group in request.groups() {
        let fetch = asked(call, &group, request.require_stable);
        groups.push(group_row(call.peer.ctx.groups.fetch(fetch).await));
    }
    OffsetFetchResponse::default().with_groups(groups)
}

fn asked(call: &Call, group: &OffsetFetchGroup, require_stable: bool) -> FetchRequest {
    let topics = group.topics.as_ref().map(|topics| {
        let topics = topics.iter();
        topics
            .map(|(name, partitions)| wanted(call, owned(&name), &partitions))
            .collect()
    });
    FetchRequest {
        context: context(call),
        group_id: owned(&group.group_id),
        member_id: group.member_id.as_ref().map(owned),
        member_epoch: group.member_epoch,
        topics,
        require_stable,
    }
}

fn wanted(call: &Call, name: String, partitions: &[i32]) -> FetchTopic {
    let topic_id = call
        .peer
        .ctx
        .image()
        .topic_by_name(&name)
        .map_or(TopicId::default(), |topic| topic.id);
    FetchTopic {
        topic_id,
        name,
        partitions: partitions.iter().copied().map(PartitionIndex).collect(),
    }
}

fn group_row(answer: FetchResponse) -> OffsetFetchResponseGroup {
    let topic = |topic: FetchTopicResult| {
        let partitions = topic.partitions.into_iter().map(|partition| {
            OffsetFetchResponsePartitions::default()
                .with_partition_index(partition.partition.0)
                .with_committed_offset(partition.offset.map_or(-1, |offset| offset.0))
                .with_committed_leader_epoch(partition.leader_epoch.map_or(-1, |epoch| epoch.0))
                .with_metadata(Some(text(partition.metadata)))
                .with_error_code(partition.error.code())
        });
        OffsetFetchResponseTopics::default()
            .with_partitions(partitions.collect())
            .with_name(topic_name(topic.name))
    };
    OffsetFetchResponseGroup::default()
        .with_group_id(group_id(answer.group_id))
        .with_error_code(answer.error.code())
        .with_topics(answer.topics.into_iter().map(topic).collect())
}

/// Versions 1 to 7.
async fn one_group(call: &Call, request: OffsetFetchRequest) -> OffsetFetchResponse {
    let Some(group) = request.groups().next() else {
        return OffsetFetchResponse::default();
    };
    // Null means all topics since version 2; version 1 has no null.
    let fetch = asked(call, &group, request.require_stable);
    let topics = fetch.topics.clone();
    let answer = call.peer.ctx.groups.fetch(fetch).await;
    if !answer.error.is_none() && call.version < 2 {
        // No error of its own: it is repeated on every partition.
        return OffsetFetchResponse::default().with_topics(failed(topics.unwrap_or_default(), answer.error));
    }
    let topics = answer.topics.into_iter().map(|topic| {
        let partitions = topic.partitions.into_iter().map(|partition| {
            OffsetFetchResponsePartition::default()
                .with_partition_index(partition.partition.0)
                .with_committed_offset(partition.offset.map_or(-1, |offset| offset.0))
                .with_committed_leader_epoch(partition.leader_epoch.map_or(-1, |epoch| epoch.0))
                .with_metadata(Some(text(partition.metadata)))
                .with_error_code(partition.error.code())
        });
        OffsetFetchResponseTopic::default()
            .with_name(topic_name(topic.name))
            .with_partitions(partitions.collect())
    });
    OffsetFetchResponse::default()
        .with_error_code(answer.error.code())
        .with_topics(topics.collect())
}

fn failed(topics: Vec<FetchTopic>, error: ErrorCode) -> Vec<OffsetFetchResponseTopic> {
    let row = |topic: FetchTopic| {
        let partitions = topic.partitions.iter().map(|partition| {
            OffsetFetchResponsePartition::default()
                .with_partition_index(partition.0)
                .with_committed_offset(-1)
                .with_metadata(Some(text("")))
                .with_error_code(error.code())
        });
        OffsetFetchResponseTopic::default()
            .with_name(topic_name(topic.name))
            .with_partitions(partitions.collect())
    };
    topics.into_iter().map(row).collect()
}

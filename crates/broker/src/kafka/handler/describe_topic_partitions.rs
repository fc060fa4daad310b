//! DescribeTopicPartitions (75): topics in pages, with eligible leader replicas. Source:
//! `DescribeTopicPartitionsRequestHandler`, KIP-966.

use super::partition_view::view;
use super::text::{brokers, owned, topic_name};
use crate::kafka::authorized_operations;
use crate::kafka::dispatch::Call;
use milena_metadata::MetadataImage;
use milena_metadata::image::TopicImage;
use milena_metadata::record::PartitionRegistration;
use milena_types::{ErrorCode, PartitionIndex, TopicName};
use milena_wire::messages::describe_topic_partitions_response::{
    Cursor, DescribeTopicPartitionsResponsePartition, DescribeTopicPartitionsResponseTopic,
};
use milena_wire::messages::{DescribeTopicPartitionsRequest, DescribeTopicPartitionsResponse};
use milena_wire::uuid;
use std::collections::BTreeSet;

pub(in crate::kafka) async fn handle(
    call: &Call,
    request: DescribeTopicPartitionsRequest,
) -> DescribeTopicPartitionsResponse {
    let image = call.peer.ctx.image();
    let (first_topic, first_partition) = match &request.cursor {
        Some(cursor) => (owned(&cursor.topic_name.0), cursor.partition_index.max(0)),
        None => (String::new(), 0),
    };
    let all = request.topics.is_empty();
    let names: BTreeSet<String> = match all {
        true => image
            .topic_ids
            .keys()
            .map(|name| name.as_str().to_owned())
            .collect(),
        false => request.topics.iter().map(|topic| owned(&topic.name.0)).collect(),
    };
    let limit = call.peer.ctx.config.network.request_partitions_max.max(1);
    let limit =
        usize::try_from(request.response_partition_limit).map_or(limit, |asked| asked.clamp(1, limit));
    let mut page = Page {
        image: &image,
        listener: &call.peer.listener,
        left: limit,
        topics: Vec::new(),
        next: None,
    };
    for name in names.range(first_topic.clone()..) {
        let from = if *name == first_topic { first_partition } else { 0 };
        match image.topic_by_name(name) {
            _ if page.left == 0 => page.next = Some((name.clone(), from)),
            Some(topic) => page.add(topic, from),
            None => page.topics.push(missing(name)),
        }
        if page.next.is_some() {
            break;
        }
    }
    let cursor = page.next.map(|(name, partition)| {
        Cursor::default()
            .with_topic_name(topic_name(name))
            .with_partition_index(partition)
    });
    DescribeTopicPartitionsResponse::default()
        .with_topics(page.topics)
        .with_next_cursor(cursor)
}

/// What fits into one response.
struct Page<'a> {
    image: &'a MetadataImage,
    listener: &'a str,
    left: usize,
    topics: Vec<DescribeTopicPartitionsResponseTopic>,
    next: Option<(String, i32)>,
}

impl Page<'_> {
    fn add(&mut self, topic: &TopicImage, from: i32) {
        let mut rest = topic.partitions.iter_from(&PartitionIndex(from));
        let shown: Vec<_> = rest
            .by_ref()
            .take(self.left)
            .map(|(index, state)| self.partition(index.0, state))
            .collect();
        self.left -= shown.len();
        self.next = rest
            .next()
            .map(|(index, _)| (topic.name.as_str().to_owned(), index.0));
        let row = DescribeTopicPartitionsResponseTopic::default()
            .with_name(Some(topic_name(topic.name.as_str())))
            .with_topic_id(uuid(topic.id))
            .with_is_internal(topic.name.is_internal())
            .with_partitions(shown)
            .with_topic_authorized_operations(authorized_operations::of_topic(true));
        self.topics.push(row);
    }

    fn partition(
        &self,
        index: i32,
        state: &PartitionRegistration,
    ) -> DescribeTopicPartitionsResponsePartition {
        let seen = view(self.image, self.listener, state, true);
        DescribeTopicPartitionsResponsePartition::default()
            .with_error_code(seen.error.code())
            .with_partition_index(index)
            .with_leader_id(seen.leader.into())
            .with_leader_epoch(state.leader_epoch.0)
            .with_replica_nodes(brokers(&state.replicas))
            .with_isr_nodes(brokers(&state.isr))
            .with_eligible_leader_replicas(Some(brokers(&state.elr)))
            .with_last_known_elr(Some(brokers(&state.last_known_elr)))
            .with_offline_replicas(brokers(&seen.offline))
    }
}

fn missing(name: &str) -> DescribeTopicPartitionsResponseTopic {
    let error = match TopicName::new(name) {
        Ok(_) => ErrorCode::UnknownTopicOrPartition,
        Err(error) => crate::kafka::error_map::topic_name_error(&error),
    };
    DescribeTopicPartitionsResponseTopic::default()
        .with_error_code(error.code())
        .with_name(Some(topic_name(name)))
}

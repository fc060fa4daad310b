//! ListPartitionReassignments (46): which partitions are on their way to other replicas. Source:
//! `ReplicationControlManager.listPartitionReassignments`, KIP-455.

use super::text::{brokers, topic_name};
use crate::kafka::dispatch::Call;
use milena_metadata::image::TopicImage;
use milena_metadata::reassignment::Reassignment;
use milena_metadata::record::PartitionRegistration;
use milena_types::PartitionIndex;
use milena_wire::messages::list_partition_reassignments_response::{
    OngoingPartitionReassignment, OngoingTopicReassignment,
};
use milena_wire::messages::{ListPartitionReassignmentsRequest, ListPartitionReassignmentsResponse};

pub(in crate::kafka) async fn handle(
    call: &Call,
    request: ListPartitionReassignmentsRequest,
) -> ListPartitionReassignmentsResponse {
    let image = call.peer.ctx.image();
    let topics = match &request.topics {
        None => {
            let all = image.topic_ids.values().filter_map(|id| image.topics.get(id));
            all.filter_map(|topic| {
                let partitions = topic.partitions.iter();
                row(
                    topic,
                    partitions.filter_map(|(index, state)| ongoing(*index, state)),
                )
            })
            .collect()
        }
        Some(asked) => {
            // A topic that nobody knows is left out, as is one that stays where it is.
            let known = asked.iter().filter_map(|item| {
                let topic = image.topic_by_name(&item.name.0)?;
                Some((topic, &item.partition_indexes))
            });
            known
                .filter_map(|(topic, asked)| {
                    let partitions = asked.iter().filter_map(|index| {
                        let index = PartitionIndex(*index);
                        ongoing(index, topic.partitions.get(&index)?)
                    });
                    row(topic, partitions)
                })
                .collect()
        }
    };
    ListPartitionReassignmentsResponse::default().with_topics(topics)
}

fn ongoing(index: PartitionIndex, state: &PartitionRegistration) -> Option<OngoingPartitionReassignment> {
    let now = Reassignment::of(state)?;
    Some(
        OngoingPartitionReassignment::default()
            .with_partition_index(index.0)
            .with_replicas(brokers(&now.replicas))
            .with_adding_replicas(brokers(&now.adding))
            .with_removing_replicas(brokers(&now.removing)),
    )
}

fn row(
    topic: &TopicImage,
    partitions: impl Iterator<Item = OngoingPartitionReassignment>,
) -> Option<OngoingTopicReassignment> {
    let partitions: Vec<_> = partitions.collect();
    (!partitions.is_empty()).then(|| {
        OngoingTopicReassignment::default()
            .with_name(topic_name(topic.name.as_str()))
            .with_partitions(partitions)
    })
}

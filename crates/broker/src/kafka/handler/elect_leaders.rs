//! ElectLeaders (43): preferred or unclean elections. Source: `ReplicationControlManager.electLeaders`, KIP-460.

use super::text::{text, topic_name};
use super::too_much;
use crate::kafka::dispatch::Call;
use crate::kafka::error_map::{code_and_message, controller_failed};
use milena_metadata::MetadataImage;
use milena_metadata::image::TopicImage;
use milena_metadata::request::{AdminReply, AdminRequest, ElectLeader, ElectionType, Outcome};
use milena_types::{ErrorCode, TopicName};
use milena_wire::messages::elect_leaders_request::TopicPartitions;
use milena_wire::messages::elect_leaders_response::{PartitionResult, ReplicaElectionResult};
use milena_wire::messages::{ElectLeadersRequest, ElectLeadersResponse};
use std::collections::BTreeMap;

pub(in crate::kafka) async fn handle(call: &Call, request: ElectLeadersRequest) -> ElectLeadersResponse {
    let topics = request.topic_partitions;
    let refused = |outcome| match &topics {
        Some(topics) => refused(call.version, topics, outcome),
        // Kafka answers nothing then, as if no election were needed.
        None if call.version == 0 => refused(0, &all(&call.peer.ctx.image()), outcome),
        None => refused(call.version, &[], outcome),
    };
    let election = match request.election_type {
        0 => ElectionType::Preferred,
        1 => ElectionType::Unclean,
        other => {
            let message = format!("Unknown election type {other}");
            return refused(Outcome::failed(ErrorCode::InvalidRequest, message));
        }
    };
    let sizes = topics
        .iter()
        .flatten()
        .map(|t| (t.topic.len(), t.partitions.len()));
    if let Err(outcome) = too_much::check(sizes) {
        return self::refused(call.version, &[], outcome);
    }
    let mut rows: BTreeMap<String, Vec<PartitionResult>> = BTreeMap::new();
    let partitions = topics.as_deref().map(|topics| known(topics, &mut rows));
    let asked = AdminRequest::ElectLeaders { election, partitions };
    let results = match call.peer.ctx.cluster.admin(asked).await {
        Ok(AdminReply::ElectLeaders(results)) => results,
        Ok(_) => return refused(controller_failed(ErrorCode::None)),
        Err(error) => return refused(controller_failed(error)),
    };
    for (topic, partition, outcome) in results {
        // Asked for all, partitions that need no election are left out.
        if topics.is_some() || outcome.error != ErrorCode::ElectionNotNeeded {
            rows.entry(topic.as_str().to_owned())
                .or_default()
                .push(row(partition, outcome));
        }
    }
    let rows = rows.into_iter().map(|(topic, partitions)| {
        ReplicaElectionResult::default()
            .with_topic(topic_name(topic))
            .with_partition_result(partitions)
    });
    ElectLeadersResponse::default().with_replica_election_results(rows.collect())
}

fn all(image: &MetadataImage) -> Vec<TopicPartitions> {
    let topic = |topic: &TopicImage| {
        TopicPartitions::default()
            .with_topic(topic_name(topic.name.as_str()))
            .with_partitions(topic.partitions.keys().map(|index| index.0).collect())
    };
    let topics = image.topic_ids.values().filter_map(|id| image.topics.get(id));
    topics.map(|known| topic(known)).collect()
}

/// The partitions to ask for. No topic can have a name that is not legal: `rows` gets their answers.
fn known(topics: &[TopicPartitions], rows: &mut BTreeMap<String, Vec<PartitionResult>>) -> Vec<ElectLeader> {
    let mut known = Vec::new();
    for topic in topics {
        let name = topic.topic.as_str();
        if let Ok(name) = TopicName::new(name) {
            known.extend(topic.partitions.iter().map(|partition| ElectLeader {
                topic: name.clone(),
                partition: *partition,
            }));
        } else {
            // A request with one long name and many partitions does not get the name back as often.
            let shown: String = name.chars().take(TopicName::LENGTH_MAX).collect();
            let message = format!("No such topic as {shown}");
            let outcome = Outcome::failed(ErrorCode::UnknownTopicOrPartition, message);
            let answers = topic
                .partitions
                .iter()
                .map(|partition| row(*partition, outcome.clone()));
            rows.entry(name.to_owned()).or_default().extend(answers);
        }
    }
    known
}

fn row(partition: i32, outcome: Outcome) -> PartitionResult {
    let (code, message) = code_and_message(outcome);
    let message = message.or_else(|| (code != 0).then(|| text(ErrorCode::from_code(code).to_string())));
    PartitionResult::default()
        .with_partition_id(partition)
        .with_error_code(code)
        .with_error_message(message)
}

/// The answer when nothing was tried: for each partition that was named, and as a whole. Source:
/// `ElectLeadersRequest.getErrorResponse`.
fn refused(version: i16, topics: &[TopicPartitions], outcome: Outcome) -> ElectLeadersResponse {
    // Version 0 has no error of its own.
    let code = if version >= 1 { outcome.error.code() } else { 0 };
    let of_topic = |topic: &TopicPartitions| {
        let partitions = topic.partitions.iter();
        ReplicaElectionResult::default()
            .with_topic(topic.topic.clone())
            .with_partition_result(partitions.map(|p| row(*p, outcome.clone())).collect())
    };
    ElectLeadersResponse::default()
        .with_error_code(code)
        .with_replica_election_results(topics.iter().map(of_topic).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_partition_is_told_that_nothing_was_tried() {
        let topics = [("a", vec![0, 3]), ("b/c", vec![1])].map(|(name, partitions)| {
            TopicPartitions::default()
                .with_topic(topic_name(name))
                .with_partitions(partitions)
        });
        for (version, code) in [(0, 0), (1, 7), (2, 7)] {
            let answer = refused(version, &topics, controller_failed(ErrorCode::None));
            assert_eq!(answer.error_code, code);
            let rows = answer.replica_election_results.iter().flat_map(|topic| {
                let name = topic.topic.as_str();
                topic
                    .partition_result
                    .iter()
                    .map(move |p| (name, p.partition_id, p.error_code))
            });
            assert_eq!(
                rows.collect::<Vec<_>>(),
                [("a", 0, 7), ("a", 3, 7), ("b/c", 1, 7)]
            );
        }
    }

    #[test]
    fn names_that_no_topic_can_have_are_answered_here() {
        let long = "x".repeat(30_000);
        let topics =
            [("a", vec![0, 3]), ("a/b", vec![1, 1]), (long.as_str(), vec![5])].map(|(name, partitions)| {
                TopicPartitions::default()
                    .with_topic(topic_name(name))
                    .with_partitions(partitions)
            });
        let mut rows = BTreeMap::new();
        let asked = known(&topics, &mut rows);
        let asked: Vec<_> = asked
            .iter()
            .map(|item| (item.topic.as_str(), item.partition))
            .collect();
        assert_eq!(asked, [("a", 0), ("a", 3)]);
        let row = |partition, name: &str| {
            PartitionResult::default()
                .with_partition_id(partition)
                .with_error_code(3)
                .with_error_message(Some(text(format!("No such topic as {name}"))))
        };
        assert_eq!(rows["a/b"], [row(1, "a/b"), row(1, "a/b")]);
        assert_eq!(rows[&long], [row(5, &long[..249])]);
    }
}

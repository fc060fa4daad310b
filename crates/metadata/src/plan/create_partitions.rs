//! CreatePartitions (37): topics grow; partitions are never taken away.
//!
//! Source: `ReplicationControlManager.createPartitions`; the texts are Kafka's.

use super::assignment::{add_partition, cannot_place, check_manual, new_partition, nobody_active};
use super::context::{PlanContext, Planned, RECORDS_MAX, too_many};
use super::draft::Draft;
use super::repeated::repeated;
use super::seed::SeedRng;
use crate::image::{MetadataImage, TopicImage};
use crate::placement;
use crate::record::PartitionRegistration;
use crate::request::{GrowTopic, Outcome};
use milena_types::{ErrorCode, PartitionIndex, TopicIdPartition};
use std::sync::Arc;

/// Plans all topics of one request, each alone: (name, outcome) in the order of the request.
#[must_use]
pub fn create_partitions(
    image: &MetadataImage,
    topics: &[GrowTopic],
    validate_only: bool,
    ctx: &PlanContext<'_>,
) -> Planned<Vec<(String, Outcome)>> {
    let mut draft = Draft::new(image, ctx);
    let mut rng = SeedRng::new(ctx.seed);
    let twice = repeated(topics.iter().map(|topic| topic.name.as_str()));
    let mut results = Vec::with_capacity(topics.len());
    for topic in topics {
        let outcome = if twice.contains(topic.name.as_str()) {
            Outcome::failed(ErrorCode::InvalidRequest, "Duplicate topic name.")
        } else {
            grow(&mut draft, topic, &mut rng).err().unwrap_or(Outcome::OK)
        };
        results.push((topic.name.clone(), outcome));
    }
    if validate_only {
        Planned::reply(results)
    } else {
        draft.reply(results)
    }
}

fn grow(draft: &mut Draft<'_>, request: &GrowTopic, rng: &mut SeedRng) -> Result<(), Outcome> {
    let topic = draft.image.topic_by_name(&request.name).ok_or_else(|| {
        let message = "This server does not host this topic-partition.";
        Outcome::failed(ErrorCode::UnknownTopicOrPartition, message)
    })?;
    let topic = Arc::clone(topic);
    let additional = additional(&topic, request)?;
    if draft.len() + additional > RECORDS_MAX {
        return Err(too_many());
    }
    let partitions = match &request.assignments {
        Some(assignments) => take_manual(&draft.image, &topic, assignments, additional)?,
        None => place(&draft.image, &topic, additional, rng)?,
    };
    let start = i32::try_from(topic.partitions.len()).unwrap_or(i32::MAX);
    for (index, state) in (start..).zip(partitions) {
        let id = TopicIdPartition {
            topic: topic.id,
            partition: PartitionIndex(index),
        };
        add_partition(draft, &topic.name, id, state);
    }
    Ok(())
}

fn additional(topic: &TopicImage, request: &GrowTopic) -> Result<usize, Outcome> {
    let invalid = |message: String| Err(Outcome::failed(ErrorCode::InvalidPartitions, message));
    let (current, wanted) = (
        topic.partitions.len(),
        usize::try_from(request.count).unwrap_or(0),
    );
    if wanted == current {
        return invalid(format!("Topic already has {current} partition(s)."));
    }
    if wanted < current {
        return invalid(format!(
            "The topic {} currently has {current} partition(s); {} would not be an increase.",
            topic.name, request.count
        ));
    }
    Ok(wanted - current)
}

fn take_manual(
    image: &MetadataImage,
    topic: &TopicImage,
    assignments: &[Vec<milena_types::BrokerId>],
    additional: usize,
) -> Result<Vec<PartitionRegistration>, Outcome> {
    if assignments.len() != additional {
        return Err(Outcome::failed(
            ErrorCode::InvalidReplicaAssignment,
            format!(
                "Attempted to add {additional} additional partition(s), but only {} assignment(s) were specified.",
                assignments.len()
            ),
        ));
    }
    let (factor, start) = (topic.replication_factor(), topic.partitions.len());
    let mut partitions = Vec::with_capacity(additional);
    for (replicas, index) in assignments.iter().zip(start..) {
        check_manual(image, replicas, Some(factor))?;
        partitions.push(new_partition(image, replicas).ok_or_else(|| nobody_active(index))?);
    }
    Ok(partitions)
}

fn place(
    image: &MetadataImage,
    topic: &TopicImage,
    additional: usize,
    rng: &mut SeedRng,
) -> Result<Vec<PartitionRegistration>, Outcome> {
    let factor = topic.replication_factor();
    let brokers = placement::usable_brokers(image);
    let placed = placement::place(&brokers, additional, factor, rng);
    // Here, unlike in CreateTopics, Kafka gives the placer's words alone.
    let placed = placed.map_err(|e| Outcome::failed(ErrorCode::InvalidReplicationFactor, e.to_string()))?;
    let nobody = || {
        cannot_place(
            factor,
            "All brokers are currently fenced or in controlled shutdown.",
        )
    };
    placed
        .iter()
        .map(|replicas| new_partition(image, replicas).ok_or_else(nobody))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::testing::Cluster;
    use milena_types::BrokerId;

    fn ask(name: &str, count: i32, assignments: Option<&[&[i32]]>) -> GrowTopic {
        let lists = |l: &[&[i32]]| {
            l.iter()
                .map(|r| r.iter().map(|b| BrokerId(*b)).collect())
                .collect()
        };
        GrowTopic {
            name: name.into(),
            count,
            assignments: assignments.map(lists),
        }
    }

    #[test]
    fn a_hundred_thousand_topics_are_judged_each() {
        let mut cluster = Cluster::with_brokers(1);
        let id = cluster.create("t", 1, 1);
        let mut topics: Vec<_> = (0..100_000).map(|n| ask(&format!("x{n}"), 2, None)).collect();
        topics.push(ask("t", 2, None));
        topics.push(ask("x7", 3, None));
        let results = cluster.plan(|image, ctx| create_partitions(image, &topics, false, ctx));
        let named = |error| results.iter().filter(move |(_, outcome)| outcome.error == error);
        assert_eq!(named(ErrorCode::UnknownTopicOrPartition).count(), 99_999);
        let twice: Vec<_> = named(ErrorCode::InvalidRequest)
            .map(|(name, _)| name.as_str())
            .collect();
        assert_eq!((twice, results.len()), (vec!["x7", "x7"], topics.len()));
        assert_eq!(cluster.image.topics[&id].partitions.len(), 2);
    }

    #[test]
    fn a_topic_grows_and_never_shrinks() {
        let mut cluster = Cluster::with_brokers(3);
        let id = cluster.create("t", 2, 2);
        let cases = [
            (ask("x", 3, None), ErrorCode::UnknownTopicOrPartition),
            (ask("t", 2, None), ErrorCode::InvalidPartitions),
            (ask("t", 1, None), ErrorCode::InvalidPartitions),
            (ask("t", -1, None), ErrorCode::InvalidPartitions),
            (ask("t", 20_000, None), ErrorCode::PolicyViolation),
            (ask("t", 4, Some(&[&[0, 1]])), ErrorCode::InvalidReplicaAssignment),
            (ask("t", 3, Some(&[&[0]])), ErrorCode::InvalidReplicaAssignment),
            (ask("t", 3, Some(&[&[0, 9]])), ErrorCode::InvalidReplicaAssignment),
        ];
        for (topic, error) in cases {
            let planned = create_partitions(&cluster.image, &[topic], false, &cluster.ctx());
            assert_eq!((planned.reply[0].1.error, planned.records.len()), (error, 0));
        }
        let check_only = create_partitions(&cluster.image, &[ask("t", 5, None)], true, &cluster.ctx());
        assert!(check_only.reply[0].1.error.is_none() && check_only.records.is_empty());
        cluster.plan(|image, ctx| create_partitions(image, &[ask("t", 5, None)], false, ctx));
        let manual = [ask("t", 6, Some(&[&[2, 0]]))];
        cluster.plan(|image, ctx| create_partitions(image, &manual, false, ctx));
        let topic = &cluster.image.topics[&id];
        assert_eq!(topic.partitions.len(), 6);
        assert_eq!(
            topic.partition(PartitionIndex(5)).unwrap().replicas,
            [BrokerId(2), BrokerId(0)]
        );
    }
}

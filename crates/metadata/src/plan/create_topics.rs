//! CreateTopics (19).
//!
//! Source: `ControllerApis.createTopics`, `ReplicationControlManager.createTopics`; the texts are Kafka's.

use super::assignment::{add_partition, cannot_place, check_manual, new_partition, nobody_active};
use super::context::{PlanContext, Planned, RECORDS_MAX, too_many};
use super::draft::Draft;
use super::metric_names::MetricNames;
use super::repeated::repeated;
use super::seed::SeedRng;
use crate::config;
use crate::image::MetadataImage;
use crate::placement;
use crate::record::{ConfigResource, MetadataRecord, PartitionRegistration};
use crate::request::{CreateTopic, CreateTopicResult, CreateTopics, Outcome};
use milena_types::{ErrorCode, PartitionIndex, TopicId, TopicIdPartition, TopicName, Uuid};
use std::collections::BTreeMap;

/// The metadata topic of Kafka's controllers: nobody may create it.
const CLUSTER_METADATA: &str = "__cluster_metadata";

/// Plans all topics of one request, each alone; results are in the order of the request.
#[must_use]
pub fn create_topics(
    image: &MetadataImage,
    request: &CreateTopics,
    ctx: &PlanContext<'_>,
) -> Planned<Vec<CreateTopicResult>> {
    let mut draft = Draft::new(image, ctx);
    let mut rng = SeedRng::new(ctx.seed);
    let mut names = MetricNames::default();
    let twice = repeated(request.topics.iter().map(|topic| topic.name.as_str()));
    let mut results = Vec::with_capacity(request.topics.len());
    for topic in &request.topics {
        let created = if twice.contains(topic.name.as_str()) {
            Err(Outcome::failed(
                ErrorCode::InvalidRequest,
                "Duplicate topic name.",
            ))
        } else {
            create(&mut draft, topic, request, &mut names, &mut rng)
        };
        results.push(created.unwrap_or_else(|outcome| failed(topic, outcome)));
    }
    if request.validate_only {
        Planned::reply(results)
    } else {
        draft.reply(results)
    }
}

fn failed(topic: &CreateTopic, outcome: Outcome) -> CreateTopicResult {
    CreateTopicResult {
        name: topic.name.clone(),
        outcome,
        id: TopicId(Uuid::ZERO),
        partitions: -1,
        replication_factor: -1,
    }
}

fn create(
    draft: &mut Draft<'_>,
    topic: &CreateTopic,
    request: &CreateTopics,
    names: &mut MetricNames,
    rng: &mut SeedRng,
) -> Result<CreateTopicResult, Outcome> {
    let name = check_name(&draft.image, &topic.name, names)?;
    let configs = check_configs(draft, topic)?;
    let room = RECORDS_MAX.saturating_sub(draft.len() + configs.len() + 1);
    let partitions = if topic.assignments.is_empty() {
        place(&draft.image, topic, request, room, rng)?
    } else {
        take_manual(&draft.image, topic, room)?
    };
    let mut id = rng.topic_id();
    while draft.image.topics.contains_key(&id) {
        id = rng.topic_id();
    }
    let factor = partitions.first().map_or(0, |p| p.replicas.len());
    check_min_isr(&topic.name, &configs, factor)?;
    let result = CreateTopicResult {
        name: topic.name.clone(),
        outcome: Outcome::OK,
        id,
        partitions: i32::try_from(partitions.len()).unwrap_or(i32::MAX),
        replication_factor: i16::try_from(factor).unwrap_or(i16::MAX),
    };
    names.add(&name);
    draft.push(MetadataRecord::Topic {
        id,
        name: name.clone(),
    });
    for (key, value) in configs {
        let resource = ConfigResource::Topic(name.clone());
        draft.push(MetadataRecord::Config {
            resource,
            key,
            value: Some(value),
        });
    }
    for (index, state) in (0..).zip(partitions) {
        let id = TopicIdPartition {
            topic: id,
            partition: PartitionIndex(index),
        };
        add_partition(draft, &name, id, state);
    }
    Ok(result)
}

fn check_name(image: &MetadataImage, name: &str, names: &mut MetricNames) -> Result<TopicName, Outcome> {
    if name == CLUSTER_METADATA {
        let message = format!("Creation of internal topic {CLUSTER_METADATA} is prohibited.");
        return Err(Outcome::failed(ErrorCode::InvalidRequest, message));
    }
    let name =
        TopicName::new(name).map_err(|e| Outcome::failed(ErrorCode::InvalidTopicException, e.to_string()))?;
    if image.topic_ids.contains_key(&name) {
        let message = format!("Topic '{name}' already exists.");
        return Err(Outcome::failed(ErrorCode::TopicAlreadyExists, message));
    }
    if let Some(other) = names.collision(image, &name) {
        let message = format!("Topic '{name}' collides with existing topic: {other}");
        return Err(Outcome::failed(ErrorCode::InvalidTopicException, message));
    }
    Ok(name)
}

fn check_configs(draft: &Draft<'_>, topic: &CreateTopic) -> Result<BTreeMap<String, String>, Outcome> {
    let invalid = |message: String| Outcome::failed(ErrorCode::InvalidConfig, message);
    let nulls: Vec<&str> = topic
        .configs
        .iter()
        .filter(|(_, v)| v.is_none())
        .map(|(k, _)| k.as_str())
        .collect();
    if !nulls.is_empty() {
        return Err(invalid(format!(
            "Null value not supported for topic configs: {}",
            nulls.join(",")
        )));
    }
    let values: BTreeMap<String, String> = topic
        .configs
        .iter()
        .filter_map(|(k, v)| Some((k.clone(), v.clone()?)))
        .collect();
    config::validate_topic(&draft.image, &values, draft.ctx.defaults).map_err(|e| invalid(e.to_string()))?;
    Ok(values)
}

/// A topic's own `min.insync.replicas` above its replication factor, which promises more than there can be. Kafka creates the
/// topic and counts the factor instead (`Partition.effectiveMinIsr`), as Milena does with a broker's setting, which is for topics
/// of all factors.
fn check_min_isr(topic: &str, configs: &BTreeMap<String, String>, factor: usize) -> Result<(), Outcome> {
    let own = configs.get("min.insync.replicas");
    match own.and_then(|value| value.trim().parse::<usize>().ok()) {
        Some(min) if min > factor => Err(Outcome::failed(
            ErrorCode::InvalidConfig,
            format!(
                "min.insync.replicas {min} is larger than the replication factor {factor} of topic '{topic}': \
                 so many replicas cannot be in sync. Set it to {factor} at most, or raise the replication factor."
            ),
        )),
        _ => Ok(()),
    }
}

fn take_manual(
    image: &MetadataImage,
    topic: &CreateTopic,
    room: usize,
) -> Result<Vec<PartitionRegistration>, Outcome> {
    let invalid = |message: &str| Err(Outcome::failed(ErrorCode::InvalidRequest, message));
    if topic.replication_factor.is_some() {
        return invalid(
            "A manual partition assignment was specified, but replication factor was not set to -1.",
        );
    }
    if topic.partitions.is_some() {
        return invalid("A manual partition assignment was specified, but numPartitions was not set to -1.");
    }
    if topic.assignments.len() > room {
        return Err(too_many());
    }
    let wrong = |message: String| Outcome::failed(ErrorCode::InvalidReplicaAssignment, message);
    let mut partitions = BTreeMap::new();
    let mut factor = None;
    for (index, replicas) in &topic.assignments {
        if partitions.contains_key(index) {
            return Err(wrong(format!(
                "Found multiple manual partition assignments for partition {index}"
            )));
        }
        check_manual(image, replicas, factor)?;
        factor = Some(replicas.len());
        partitions.insert(
            *index,
            new_partition(image, replicas).ok_or_else(|| nobody_active(index))?,
        );
    }
    if partitions.keys().zip(0..).any(|(index, at)| *index != at) {
        return Err(wrong(
            "partitions should be a consecutive 0-based integer sequence".to_owned(),
        ));
    }
    Ok(partitions.into_values().collect())
}

fn place(
    image: &MetadataImage,
    topic: &CreateTopic,
    request: &CreateTopics,
    room: usize,
    rng: &mut SeedRng,
) -> Result<Vec<PartitionRegistration>, Outcome> {
    if topic.replication_factor.is_some_and(|factor| factor <= 0) {
        let message = "Replication factor must be larger than 0, or -1 to use the default value.";
        return Err(Outcome::failed(ErrorCode::InvalidReplicationFactor, message));
    }
    let count = topic.partitions.unwrap_or(request.default_partitions);
    let Some(count) = usize::try_from(count).ok().filter(|count| *count > 0) else {
        let message = "Number of partitions was set to an invalid non-positive value.";
        return Err(Outcome::failed(ErrorCode::InvalidPartitions, message));
    };
    if count > room {
        return Err(too_many());
    }
    let factor = topic
        .replication_factor
        .unwrap_or(request.default_replication_factor);
    let factor = usize::try_from(factor).unwrap_or(0);
    let placed = placement::place(&placement::usable_brokers(image), count, factor, rng)
        .map_err(|e| cannot_place(factor, e))?;
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
#[path = "create_topics_test.rs"]
mod tests;

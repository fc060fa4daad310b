//! DeleteTopics (20), by name or by id. Whether deletion is allowed at all is the broker's matter.
//!
//! Source: `ControllerApis.deleteTopics`, `ReplicationControlManager.deleteTopics`.

use super::context::{PlanContext, Planned, RECORDS_MAX, too_many};
use super::draft::Draft;
use super::repeated::repeated;
use crate::image::MetadataImage;
use crate::record::MetadataRecord;
use crate::request::{DeleteTopicResult, Outcome, TopicRef};
use milena_types::{ErrorCode, TopicId, Uuid};
use std::collections::HashSet;

/// Plans all topics of one request. Results are in the order of the request; what is named more than once is not deleted and has
/// one result: for all entries with that name, for all with that id, or for the name of two that mean the same topic.
#[must_use]
pub fn delete_topics(
    image: &MetadataImage,
    topics: &[TopicRef],
    ctx: &PlanContext<'_>,
) -> Planned<Vec<DeleteTopicResult>> {
    let nothing = TopicRef::Id(TopicId(Uuid::ZERO));
    let twice = repeated(topics.iter().filter(|topic| **topic != nothing));
    let once = || topics.iter().filter(|topic| !twice.contains(topic));
    let is_name = |topic: &&TopicRef| matches!(topic, TopicRef::Name(_));
    let named: HashSet<TopicId> = once()
        .filter(is_name)
        .filter_map(|topic| find(image, topic))
        .collect();
    let by_id: HashSet<TopicId> = topics
        .iter()
        .filter(|topic| !is_name(topic))
        .filter_map(|topic| find(image, topic))
        .collect();
    let mut draft = Draft::new(image, ctx);
    let mut told = HashSet::new();
    let mut results = Vec::with_capacity(topics.len());
    for topic in topics {
        if twice.contains(topic) {
            if told.insert(topic) {
                results.push(duplicate(topic));
            }
            continue;
        }
        let outcome = match (topic, find(image, topic)) {
            // The name's result says it.
            (TopicRef::Id(_), Some(id)) if named.contains(&id) => continue,
            (TopicRef::Name(_), Some(id)) if by_id.contains(&id) => Outcome::failed(
                ErrorCode::InvalidRequest,
                "The provided topic name maps to an ID that was already supplied.",
            ),
            (_, Some(_)) if draft.len() >= RECORDS_MAX => too_many(),
            (_, Some(id)) => {
                draft.push(MetadataRecord::TopicRemoved(id));
                Outcome::OK
            }
            (_, None) => unknown(topic),
        };
        results.push(result(image, topic, outcome));
    }
    draft.reply(results)
}

fn find(image: &MetadataImage, topic: &TopicRef) -> Option<TopicId> {
    match topic {
        TopicRef::Name(name) => image.topic_ids.get(name.as_str()).copied(),
        TopicRef::Id(id) => image.topics.contains_key(id).then_some(*id),
    }
}

fn unknown(topic: &TopicRef) -> Outcome {
    match topic {
        TopicRef::Name(_) => Outcome::failed(
            ErrorCode::UnknownTopicOrPartition,
            "This server does not host this topic-partition.",
        ),
        TopicRef::Id(TopicId(Uuid::ZERO)) => Outcome::failed(
            ErrorCode::InvalidRequest,
            "Neither topic name nor id were specified.",
        ),
        TopicRef::Id(_) => Outcome::failed(
            ErrorCode::UnknownTopicId,
            "This server does not host this topic ID.",
        ),
    }
}

fn duplicate(topic: &TopicRef) -> DeleteTopicResult {
    let (name, id, message) = match topic {
        TopicRef::Name(name) => (Some(name.clone()), TopicId(Uuid::ZERO), "Duplicate topic name."),
        TopicRef::Id(id) => (None, *id, "Duplicate topic id."),
    };
    let outcome = Outcome::failed(ErrorCode::InvalidRequest, message);
    DeleteTopicResult { name, id, outcome }
}

fn result(image: &MetadataImage, topic: &TopicRef, outcome: Outcome) -> DeleteTopicResult {
    let known = find(image, topic).and_then(|id| image.topics.get(&id));
    let (name, id) = match topic {
        TopicRef::Name(name) => (Some(name.clone()), known.map_or(TopicId(Uuid::ZERO), |t| t.id)),
        TopicRef::Id(id) => (known.map(|t| t.name.to_string()), *id),
    };
    DeleteTopicResult { name, id, outcome }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::testing::Cluster;

    fn name(name: &str) -> TopicRef {
        TopicRef::Name(name.into())
    }

    /// Plans, and gives what each result says: name, id, error, text.
    fn delete(cluster: &mut Cluster, refs: &[TopicRef]) -> Vec<(Option<String>, TopicId, ErrorCode, String)> {
        let results = cluster.plan(|image, ctx| delete_topics(image, refs, ctx));
        let told = results.into_iter().map(|r| {
            let Outcome { error, message } = r.outcome;
            (r.name, r.id, error, message.unwrap_or_default())
        });
        told.collect()
    }

    const NO_ID: TopicId = TopicId(Uuid::ZERO);

    #[test]
    fn topics_go_by_name_or_by_id() {
        let mut cluster = Cluster::with_brokers(1);
        let ids = ["a", "b", "c"].map(|n| cluster.create(n, 1, 1));
        let strange = TopicId(Uuid([7; 16]));
        let refs = [name("a"), TopicRef::Id(ids[1]), name("x"), TopicRef::Id(strange)];
        let refs = [&refs[..], &[TopicRef::Id(NO_ID), TopicRef::Id(NO_ID)]].concat();
        use ErrorCode::{InvalidRequest, None, UnknownTopicId, UnknownTopicOrPartition};
        let told = |name: &str, id, error, text: &str| {
            let name = Some(name.to_owned()).filter(|name| !name.is_empty());
            (name, id, error, text.to_owned())
        };
        let neither = || {
            told(
                "",
                NO_ID,
                InvalidRequest,
                "Neither topic name nor id were specified.",
            )
        };
        let expected = [
            told("a", ids[0], None, ""),
            told("b", ids[1], None, ""),
            told(
                "x",
                NO_ID,
                UnknownTopicOrPartition,
                "This server does not host this topic-partition.",
            ),
            told(
                "",
                strange,
                UnknownTopicId,
                "This server does not host this topic ID.",
            ),
            neither(),
            neither(),
        ];
        assert_eq!(delete(&mut cluster, &refs), expected);
        assert_eq!(cluster.image.topics.len(), 1);
        assert!(cluster.image.topic_by_name("c").is_some());
    }

    #[test]
    fn what_is_named_twice_stays_and_is_answered_once() {
        let mut cluster = Cluster::with_brokers(1);
        let ids = ["a", "b", "c", "d"].map(|n| cluster.create(n, 1, 1));
        let id = |at: usize| TopicRef::Id(ids[at]);
        let refs = [
            name("a"),
            name("x"),
            id(1),
            id(2),
            name("a"),
            name("c"),
            name("x"),
            id(1),
            name("b"),
            name("d"),
            id(1),
        ];
        let told = |name: Option<&str>, id, text: &str| {
            let name = name.map(str::to_owned);
            (name, id, ErrorCode::InvalidRequest, text.to_owned())
        };
        let both = "The provided topic name maps to an ID that was already supplied.";
        let expected = [
            told(Some("a"), NO_ID, "Duplicate topic name."),
            told(Some("x"), NO_ID, "Duplicate topic name."),
            told(None, ids[1], "Duplicate topic id."),
            told(Some("c"), ids[2], both),
            told(Some("b"), ids[1], both),
            (Some("d".to_owned()), ids[3], ErrorCode::None, String::new()),
        ];
        assert_eq!(delete(&mut cluster, &refs), expected);
        assert_eq!(cluster.image.topics.len(), 3);
    }
}

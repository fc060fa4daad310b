//! DeleteTopics (20), by name or by id. Whether deletion is allowed at all is the broker's matter.
//!
//! Source: `ControllerApis.deleteTopics`, `ReplicationControlManager.deleteTopics`.

use super::context::{PlanContext, Planned};
use super::draft::Draft;
use crate::image::MetadataImage;
use crate::record::MetadataRecord;
use crate::request::{DeleteTopicResult, Outcome, TopicRef};
use milena_types::{ErrorCode, TopicId, Uuid};
use std::collections::HashMap;

/// Plans all topics of one request; results are in the order of the request. A topic that is named more than once, by
/// name or by id, is deleted by none of the entries.
#[must_use]
pub fn delete_topics(
    image: &MetadataImage,
    topics: &[TopicRef],
    ctx: &PlanContext<'_>,
) -> Planned<Vec<DeleteTopicResult>> {
    let mut occurrences: HashMap<TopicId, usize> = HashMap::new();
    for id in topics.iter().filter_map(|topic| find(image, topic)) {
        *occurrences.entry(id).or_default() += 1;
    }
    let mut draft = Draft::new(image, ctx);
    let mut results = Vec::with_capacity(topics.len());
    for topic in topics {
        let outcome = match find(image, topic) {
            Some(id) if occurrences.get(&id).is_some_and(|n| *n > 1) => duplicate(topic),
            Some(id) => {
                draft.push(MetadataRecord::TopicRemoved(id));
                Outcome::OK
            }
            None => unknown(topic),
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

fn duplicate(topic: &TopicRef) -> Outcome {
    let message = match topic {
        TopicRef::Name(_) => "Duplicate topic name.",
        TopicRef::Id(_) => "Duplicate topic id.",
    };
    Outcome::failed(ErrorCode::InvalidRequest, message)
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

    #[test]
    fn topics_go_by_name_or_by_id_and_never_twice() {
        let mut cluster = Cluster::with_brokers(1);
        let ids: Vec<_> = ["a", "b", "c"].iter().map(|n| cluster.create(n, 1, 1)).collect();
        let refs = [
            TopicRef::Name("a".into()),
            TopicRef::Id(ids[1]),
            TopicRef::Name("c".into()),
            TopicRef::Id(ids[2]),
            TopicRef::Name("x".into()),
            TopicRef::Id(TopicId(Uuid([7; 16]))),
            TopicRef::Id(TopicId(Uuid::ZERO)),
        ];
        let results = cluster.plan(|image, ctx| delete_topics(image, &refs, ctx));
        let errors: Vec<_> = results.iter().map(|r| r.outcome.error).collect();
        use ErrorCode::{InvalidRequest, None, UnknownTopicId, UnknownTopicOrPartition};
        assert_eq!(
            errors,
            [
                None,
                None,
                InvalidRequest,
                InvalidRequest,
                UnknownTopicOrPartition,
                UnknownTopicId,
                InvalidRequest
            ]
        );
        assert_eq!((results[1].name.as_deref(), results[0].id), (Some("b"), ids[0]));
        assert_eq!(cluster.image.topics.len(), 1);
        assert!(cluster.image.topic_by_name("c").is_some());
    }
}

//! CreateTopics: each refusal with Kafka's words, and what a topic looks like at birth.

use super::*;
use crate::plan::create_partitions;
use crate::plan::testing::{Cluster, registration};
use crate::request::GrowTopic;
use milena_types::BrokerId;

fn ask(name: &str) -> CreateTopic {
    CreateTopic {
        name: name.into(),
        partitions: None,
        replication_factor: None,
        assignments: vec![],
        configs: vec![],
    }
}

fn request(topics: Vec<CreateTopic>) -> CreateTopics {
    CreateTopics {
        topics,
        validate_only: false,
        default_partitions: 2,
        default_replication_factor: 3,
    }
}

fn manual(lists: &[(i32, &[i32])]) -> CreateTopic {
    let assignments = lists
        .iter()
        .map(|(p, r)| (*p, r.iter().map(|b| BrokerId(*b)).collect()))
        .collect();
    CreateTopic {
        assignments,
        ..ask("new")
    }
}

fn config(key: &str, value: Option<&str>) -> CreateTopic {
    CreateTopic {
        configs: vec![(key.into(), value.map(str::to_owned))],
        ..ask("new")
    }
}

/// Each topic alone is refused with the code and (part of) the text, by a cluster in which broker 3 is fenced.
fn refused(cases: Vec<(CreateTopic, ErrorCode, &str)>) {
    let mut cluster = Cluster::with_brokers(3);
    cluster.create("existing.topic", 1, 1);
    cluster.register(&registration(BrokerId(3), 1, 1));
    for (topic, error, text) in cases {
        let planned = create_topics(&cluster.image, &request(vec![topic]), &cluster.ctx());
        let outcome = &planned.reply[0].outcome;
        assert_eq!(outcome.error, error, "{text}");
        assert!(
            outcome.message.as_ref().unwrap().contains(text),
            "{outcome:?}\n{text}"
        );
        assert!(planned.records.is_empty(), "nothing half-created: {text}");
        assert_eq!(
            (planned.reply[0].partitions, planned.reply[0].replication_factor),
            (-1, -1)
        );
    }
}

#[test]
fn bad_names_get_kafkas_words() {
    use ErrorCode::*;
    refused(vec![
        (
            ask("a/b"),
            InvalidTopicException,
            "Topic name is invalid: 'a/b' contains",
        ),
        (ask(""), InvalidTopicException, "the empty string is not allowed"),
        (ask(".."), InvalidTopicException, "'..' is not allowed"),
        (
            ask(&"x".repeat(250)),
            InvalidTopicException,
            "longer than the max allowed length 249",
        ),
        (
            ask("existing.topic"),
            TopicAlreadyExists,
            "Topic 'existing.topic' already exists.",
        ),
        (
            ask("existing_topic"),
            InvalidTopicException,
            "Topic 'existing_topic' collides with existing topic: existing.topic",
        ),
        (
            ask("__cluster_metadata"),
            InvalidRequest,
            "Creation of internal topic __cluster_metadata is prohibited.",
        ),
    ]);
}

#[test]
fn bad_counts_and_configs_get_kafkas_words() {
    use ErrorCode::*;
    refused(vec![
        (
            CreateTopic {
                replication_factor: Some(5),
                ..ask("new")
            },
            InvalidReplicationFactor,
            "Unable to replicate the partition 5 time(s): The target replication factor of 5 cannot be reached \
             because only 4 broker(s) are registered.",
        ),
        (
            CreateTopic {
                replication_factor: Some(0),
                ..ask("new")
            },
            InvalidReplicationFactor,
            "Replication factor must be larger than 0, or -1 to use the default value.",
        ),
        (
            CreateTopic {
                partitions: Some(0),
                ..ask("new")
            },
            InvalidPartitions,
            "Number of partitions was set to an invalid non-positive value.",
        ),
        (
            CreateTopic {
                partitions: Some(i32::MAX),
                ..ask("new")
            },
            PolicyViolation,
            "Unable to perform excessively large batch operation.",
        ),
        (
            config("retension.ms", Some("1")),
            InvalidConfig,
            "Unknown topic config name: retension.ms",
        ),
        (
            config("retention.ms", Option::None),
            InvalidConfig,
            "Null value not supported for topic configs: retention.ms",
        ),
        (
            config("cleanup.policy", Some("gone")),
            InvalidConfig,
            "Invalid value gone for configuration cleanup.policy: String must be one of: compact, delete",
        ),
    ]);
}

#[test]
fn bad_assignments_get_kafkas_words() {
    use ErrorCode::*;
    refused(vec![
        (
            CreateTopic {
                partitions: Some(1),
                ..manual(&[(0, &[0])])
            },
            InvalidRequest,
            "A manual partition assignment was specified, but numPartitions was not set to -1.",
        ),
        (
            CreateTopic {
                replication_factor: Some(1),
                ..manual(&[(0, &[0])])
            },
            InvalidRequest,
            "A manual partition assignment was specified, but replication factor was not set to -1.",
        ),
        (
            manual(&[(0, &[0]), (0, &[1])]),
            InvalidReplicaAssignment,
            "Found multiple manual partition assignments for partition 0",
        ),
        (
            manual(&[(0, &[])]),
            InvalidReplicaAssignment,
            "includes an empty replica list.",
        ),
        (
            manual(&[(0, &[9])]),
            InvalidReplicaAssignment,
            "includes broker 9, but no such broker is registered.",
        ),
        (
            manual(&[(0, &[1, 1])]),
            InvalidReplicaAssignment,
            "includes the broker 1 more than once.",
        ),
        (
            manual(&[(0, &[0, 1]), (1, &[1])]),
            InvalidReplicaAssignment,
            "includes a partition with 1 replica(s), but this is not consistent with previous partitions, which have \
             2 replica(s).",
        ),
        (
            manual(&[(0, &[3])]),
            InvalidReplicaAssignment,
            "for partition 0 are fenced or in controlled shutdown.",
        ),
        (
            manual(&[(1, &[0]), (2, &[1])]),
            InvalidReplicaAssignment,
            "partitions should be a consecutive 0-based integer sequence",
        ),
    ]);
}

#[test]
fn without_brokers_there_is_no_topic() {
    let cluster = Cluster::empty();
    let planned = create_topics(&cluster.image, &request(vec![ask("t")]), &cluster.ctx());
    let outcome = &planned.reply[0].outcome;
    assert_eq!(outcome.error, ErrorCode::InvalidReplicationFactor);
    let text = "Unable to replicate the partition 3 time(s): All brokers are currently fenced.";
    assert_eq!(outcome.message.as_deref(), Some(text));
}

#[test]
fn items_are_decided_alone_and_duplicates_by_nobody() {
    let mut cluster = Cluster::with_brokers(3);
    let topics = vec![
        ask("a"),
        ask("twice"),
        ask("a.b"),
        ask("a_b"),
        ask("twice"),
        ask("/"),
    ];
    let results = cluster.plan(|image, ctx| create_topics(image, &request(topics), ctx));
    let errors: Vec<_> = results.iter().map(|r| r.outcome.error).collect();
    use ErrorCode::{InvalidRequest, InvalidTopicException, None};
    assert_eq!(
        errors,
        [
            None,
            InvalidRequest,
            None,
            InvalidTopicException,
            InvalidRequest,
            InvalidTopicException
        ]
    );
    assert_eq!(cluster.image.topics.len(), 2);
    assert_eq!((results[0].partitions, results[0].replication_factor), (2, 3));
    assert_ne!(results[0].id, results[2].id);
}

#[test]
fn validate_only_creates_nothing() {
    let cluster = Cluster::with_brokers(3);
    let asked = CreateTopics {
        validate_only: true,
        ..request(vec![ask("a"), ask("/")])
    };
    let planned = create_topics(&cluster.image, &asked, &cluster.ctx());
    assert!(planned.records.is_empty());
    assert_eq!(planned.reply[0].outcome, Outcome::OK);
    assert_eq!(planned.reply[1].outcome.error, ErrorCode::InvalidTopicException);
}

#[test]
fn a_new_partition_is_led_by_an_active_replica_and_fenced_ones_are_not_in_sync() {
    let mut cluster = Cluster::with_brokers(3);
    cluster.fence(BrokerId(1));
    let results = cluster.plan(|image, ctx| create_topics(image, &request(vec![ask("t")]), ctx));
    for index in 0..2 {
        let state = cluster.partition(results[0].id, index);
        assert_eq!((state.replicas.len(), state.isr.len()), (3, 2));
        assert!(!state.isr.contains(&BrokerId(1)) && state.leader == Some(state.isr[0]));
    }
    let lists = manual(&[(0, &[1, 2]), (1, &[2, 1])]);
    let results = cluster.plan(|image, ctx| create_topics(image, &request(vec![lists]), ctx));
    assert_eq!(cluster.partition(results[0].id, 0).leader, Some(BrokerId(2)));
}

#[test]
fn who_is_away_when_a_partition_is_made_may_lead_it_while_nothing_can_be_committed() {
    let mut cluster = Cluster::with_brokers(3);
    cluster.fence(BrokerId(1));
    cluster.fence(BrokerId(2));
    let enough = cluster.create_with("enough", 1, 3, &[("min.insync.replicas", "1")]);
    assert_eq!(cluster.partition(enough, 0).elr, []);
    let topic = cluster.create("t", 1, 3);
    let mut away = cluster.partition(topic, 0).elr;
    away.sort_unstable();
    assert_eq!(away, [BrokerId(1), BrokerId(2)]);
    let grown = GrowTopic {
        name: "t".into(),
        count: 2,
        assignments: None,
    };
    cluster.plan(|image, ctx| create_partitions(image, &[grown], false, ctx));
    assert_eq!(cluster.partition(topic, 1).elr.len(), 2);
    // The disk of the only one in sync is exchanged.
    cluster.fence(BrokerId(0));
    cluster.register(&registration(BrokerId(0), 2, 9));
    cluster.unfence(BrokerId(0));
    assert_eq!(cluster.partition(topic, 0).leader, None);
    cluster.unfence(BrokerId(2));
    assert_eq!(cluster.partition(topic, 0).leader, Some(BrokerId(2)));
    assert_eq!(
        cluster.partition(enough, 0).leader,
        None,
        "it may have lost something"
    );
}

#[test]
fn a_topic_cannot_have_more_in_sync_than_replicas() {
    let above = |min: &str, topic: CreateTopic| CreateTopic {
        configs: vec![("min.insync.replicas".into(), Some(min.into()))],
        ..topic
    };
    let text = "min.insync.replicas 4 is larger than the replication factor 3 of topic 'new'";
    refused(vec![
        (above("4", ask("new")), ErrorCode::InvalidConfig, text),
        (
            above("2", manual(&[(0, &[1])])),
            ErrorCode::InvalidConfig,
            "Set it to 1 at most",
        ),
    ]);
    let mut cluster = Cluster::with_brokers(3);
    // The cluster's setting (2) counts for topics of one replica too.
    cluster.create("one", 1, 1);
    let topic = cluster.create_with("equal", 1, 3, &[("min.insync.replicas", "3")]);
    let name = TopicName::new("equal").unwrap();
    assert_eq!(
        cluster
            .image
            .config(&ConfigResource::Topic(name), "min.insync.replicas"),
        Some("3")
    );
    cluster.plan(|image, ctx| crate::plan::delete_topics(image, &[crate::request::TopicRef::Id(topic)], ctx));
    assert!(
        cluster
            .image
            .configs
            .keys()
            .all(|r| !matches!(r, ConfigResource::Topic(_)))
    );
}

#[test]
fn a_hundred_thousand_names_are_held_against_those_there_are() {
    let mut cluster = Cluster::with_brokers(3);
    cluster.create("a.1", 1, 1);
    let names = (0..100_000).map(|n| format!("a_{n}"));
    let mut topics: Vec<_> = names.map(|name| ask(&name)).collect();
    topics.push(ask("a.2"));
    topics.push(ask("a_7"));
    let results = cluster.plan(|image, ctx| create_topics(image, &request(topics.clone()), ctx));
    let message = |at: usize| results[at].outcome.message.clone().unwrap_or_default();
    assert_eq!(message(1), "Topic 'a_1' collides with existing topic: a.1");
    assert_eq!(message(100_000), "Topic 'a.2' collides with existing topic: a_2");
    assert_eq!([message(7), message(100_001)], ["Duplicate topic name."; 2]);
    let error = |error| results.iter().filter(|r| r.outcome.error == error).count();
    assert_eq!(
        error(ErrorCode::None),
        10_000 / 3,
        "a topic and its two partitions are three records"
    );
    assert_eq!(error(ErrorCode::PolicyViolation), 100_002 - 10_000 / 3 - 4);
}

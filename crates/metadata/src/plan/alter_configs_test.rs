//! Configuration changes, and what they do to elections.

use super::*;
use crate::plan::testing::Cluster;
use milena_types::{BrokerId, TopicName};

fn topic(name: &str) -> ConfigResource {
    ConfigResource::Topic(TopicName::new(name).unwrap())
}

fn ask(resource: ConfigResource, changes: &[(&str, ConfigOp, Option<&str>)]) -> AlterConfig {
    let changes = changes
        .iter()
        .map(|(k, op, v)| ((*k).into(), *op, v.map(str::to_owned)))
        .collect();
    AlterConfig {
        resource,
        changes,
        replace_all: false,
    }
}

fn alter(cluster: &mut Cluster, request: AlterConfig) -> Outcome {
    cluster
        .plan(|image, ctx| alter_configs(image, &[request], false, ctx))
        .remove(0)
        .outcome
}

use ConfigOp::{Append, Delete, Set, Subtract};

#[test]
fn values_are_set_deleted_and_edited() {
    let mut cluster = Cluster::with_brokers(1);
    cluster.create("t", 1, 1);
    let t = || topic("t");
    let get = |cluster: &Cluster, key: &str| cluster.image.config(&t(), key).map(str::to_owned);
    let steps: [(&str, ConfigOp, Option<&str>, Option<&str>); 7] = [
        ("retention.ms", Set, Some("5"), Some("5")),
        ("retention.ms", Set, Some("6"), Some("6")),
        ("retention.ms", Delete, None, None),
        ("cleanup.policy", Append, Some("compact"), Some("delete,compact")),
        ("cleanup.policy", Append, Some("compact"), Some("delete,compact")),
        ("cleanup.policy", Subtract, Some("delete"), Some("compact")),
        (
            "leader.replication.throttled.replicas",
            Append,
            Some("0:1,1:2"),
            Some("0:1,1:2"),
        ),
    ];
    for (key, op, value, expected) in steps {
        assert_eq!(alter(&mut cluster, ask(t(), &[(key, op, value)])), Outcome::OK);
        assert_eq!(get(&cluster, key).as_deref(), expected, "{key} {op:?} {value:?}");
    }
    let old = AlterConfig {
        replace_all: true,
        ..ask(t(), &[("segment.ms", Set, Some("9"))])
    };
    assert_eq!(alter(&mut cluster, old), Outcome::OK);
    assert_eq!(cluster.image.configs[&t()].len(), 1);
}

/// Each request alone is refused with this code and text, and commits nothing.
fn refused(cases: Vec<(AlterConfig, ErrorCode, &str)>) {
    let mut cluster = Cluster::with_brokers(1);
    cluster.create("t", 1, 1);
    for (request, error, text) in cases {
        let planned = alter_configs(&cluster.image, &[request], false, &cluster.ctx());
        let outcome = &planned.reply[0].outcome;
        assert_eq!((outcome.error, outcome.message.as_deref()), (error, Some(text)));
        assert!(planned.records.is_empty());
    }
}

#[test]
fn refused_topic_changes_get_kafkas_words() {
    refused(vec![
        (
            ask(topic("x"), &[]),
            ErrorCode::UnknownTopicOrPartition,
            "The topic 'x' does not exist.",
        ),
        (
            ask(topic("t"), &[("retention.ms", Append, Some("5"))]),
            ErrorCode::InvalidConfig,
            "Can't APPEND to key retention.ms because its type is not LIST.",
        ),
        (
            ask(topic("t"), &[("retention.ms", Set, None)]),
            ErrorCode::InvalidRequest,
            "Null value not supported for : retention.ms",
        ),
        (
            ask(
                topic("t"),
                &[("retention.ms", Set, Some("1")), ("retention.ms", Delete, None)],
            ),
            ErrorCode::InvalidRequest,
            "Error due to duplicate config keys",
        ),
        (
            ask(
                topic("t"),
                &[("flush.ms", Set, Some("1")), ("no.such", Set, Some("1"))],
            ),
            ErrorCode::InvalidConfig,
            "Unknown topic config name: no.such",
        ),
    ]);
}

#[test]
fn other_refused_changes_get_kafkas_words() {
    refused(vec![
        (
            ask(
                ConfigResource::Broker(Some(BrokerId(7))),
                &[("log.retention.ms", Set, Some("5"))],
            ),
            ErrorCode::BrokerIdNotRegistered,
            "No node with id 7 found.",
        ),
        (
            ask(
                ConfigResource::Broker(None),
                &[("log.retention.ms", Set, Some("x"))],
            ),
            ErrorCode::InvalidRequest,
            "Invalid value x for configuration log.retention.ms: Not a number of type LONG",
        ),
        (
            ask(
                ConfigResource::Broker(Some(BrokerId(0))),
                &[("num.partitions", Set, Some("5"))],
            ),
            ErrorCode::InvalidRequest,
            "Cannot update these configs dynamically: [num.partitions]",
        ),
        (
            ask(
                ConfigResource::Broker(Some(BrokerId(0))),
                &[("min.insync.replicas", Set, Some("2"))],
            ),
            ErrorCode::InvalidConfig,
            "Broker-level min.insync.replicas cannot be altered while ELR is enabled.",
        ),
        (
            ask(
                ConfigResource::Broker(Some(BrokerId(0))),
                &[("ack.durability", Set, Some("replicated"))],
            ),
            ErrorCode::InvalidConfig,
            "Broker-level ack.durability cannot be altered: set it for the cluster (--entity-default), or for a topic.",
        ),
        (
            ask(
                ConfigResource::Broker(None),
                &[("min.insync.replicas", Delete, None)],
            ),
            ErrorCode::InvalidConfig,
            "Cluster-level min.insync.replicas cannot be removed while ELR is enabled.",
        ),
        (
            ask(ConfigResource::Group("g".into()), &[("nonsense", Set, Some("1"))]),
            ErrorCode::InvalidConfig,
            "Unknown group config name: nonsense",
        ),
    ]);
}

#[test]
fn a_resource_is_named_once_and_validation_commits_nothing() {
    let mut cluster = Cluster::with_brokers(1);
    cluster.create("t", 1, 1);
    let twice = [
        ask(topic("t"), &[("flush.ms", Set, Some("1"))]),
        ask(topic("t"), &[]),
    ];
    let planned = alter_configs(&cluster.image, &twice, false, &cluster.ctx());
    assert!(
        planned
            .reply
            .iter()
            .all(|r| r.outcome.error == ErrorCode::InvalidRequest)
    );
    let check_only = [ask(topic("t"), &[("flush.ms", Set, Some("1"))])];
    let planned = alter_configs(&cluster.image, &check_only, true, &cluster.ctx());
    assert!(planned.records.is_empty() && planned.reply[0].outcome == Outcome::OK);
}

#[test]
fn fewer_replicas_needed_clears_the_elr() {
    let mut cluster = Cluster::with_brokers(3);
    let id = cluster.create("t", 1, 3);
    let others: Vec<_> = cluster.partition(id, 0).replicas[1..].to_vec();
    for broker in others {
        cluster.fence(broker);
    }
    assert_eq!(
        (
            cluster.partition(id, 0).isr.len(),
            cluster.partition(id, 0).elr.len()
        ),
        (1, 1)
    );
    // From here on the leader acknowledges alone: who is only eligible may miss that.
    assert_eq!(
        alter(
            &mut cluster,
            ask(topic("t"), &[("min.insync.replicas", Set, Some("1"))])
        ),
        Outcome::OK
    );
    assert_eq!(cluster.partition(id, 0).elr, vec![]);
}

#[test]
fn allowing_unclean_elections_elects() {
    let mut cluster = Cluster::with_brokers(2);
    let id = cluster.create_with("t", 1, 2, &[("min.insync.replicas", "1")]);
    let leader = cluster.partition(id, 0).leader.unwrap();
    let other = BrokerId(1 - leader.0);
    cluster.fence(other);
    cluster.fence(leader);
    cluster.unfence(other);
    assert_eq!(cluster.partition(id, 0).leader, None);
    let allow = ask(
        topic("t"),
        &[("unclean.leader.election.enable", Set, Some("true"))],
    );
    assert_eq!(alter(&mut cluster, allow), Outcome::OK);
    let state = cluster.partition(id, 0);
    assert_eq!((state.leader, state.recovering), (Some(other), true));
}

#[test]
fn a_hundred_thousand_resources_are_judged_each() {
    let mut cluster = Cluster::with_brokers(1);
    cluster.create("t", 1, 1);
    let set = [("flush.ms", Set, Some("1"))];
    let mut asked: Vec<_> = (0..100_000).map(|n| ask(topic(&format!("x{n}")), &set)).collect();
    asked.push(ask(topic("t"), &set));
    asked.push(ask(topic("x7"), &set));
    let results = cluster.plan(|image, ctx| alter_configs(image, &asked, false, ctx));
    let count = |error| results.iter().filter(|r| r.outcome.error == error).count();
    assert_eq!(count(ErrorCode::UnknownTopicOrPartition), 99_999);
    assert_eq!(count(ErrorCode::InvalidRequest), 2, "x7 is named twice");
    assert_eq!(cluster.image.config(&topic("t"), "flush.ms"), Some("1"));
}

/// A plugin's keys: Kafka takes them, and they may be many.
fn keys(count: usize) -> AlterConfig {
    let key = |n| (format!("plugin.{n}"), Set, Some("1".to_owned()));
    AlterConfig {
        resource: ConfigResource::Broker(Some(BrokerId(0))),
        changes: (0..count).map(key).collect(),
        replace_all: false,
    }
}

#[test]
fn a_request_makes_so_many_records_and_no_more() {
    let mut cluster = Cluster::with_brokers(1);
    cluster.create("t", 1, 1);
    let last = || ask(topic("t"), &[("flush.ms", Set, Some("1"))]);
    let too_many = Outcome::failed(
        ErrorCode::PolicyViolation,
        "Unable to perform excessively large batch operation.",
    );
    assert_eq!(alter(&mut cluster, keys(RECORDS_MAX + 1)), too_many);
    let of_broker = |cluster: &Cluster| {
        let set = cluster
            .image
            .configs
            .get(&ConfigResource::Broker(Some(BrokerId(0))));
        set.map_or(0, |set| set.len())
    };
    assert_eq!(of_broker(&cluster), 0);
    let full = [keys(RECORDS_MAX), last()];
    let results = cluster.plan(|image, ctx| alter_configs(image, &full, false, ctx));
    assert_eq!(
        (&results[0].outcome, &results[1].outcome),
        (&Outcome::OK, &too_many)
    );
    // What is left out is as much of a change.
    let none = AlterConfig {
        replace_all: true,
        ..keys(0)
    };
    let results = cluster.plan(|image, ctx| alter_configs(image, &[last(), none], false, ctx));
    assert_eq!(
        (&results[0].outcome, &results[1].outcome),
        (&Outcome::OK, &too_many)
    );
    assert_eq!(of_broker(&cluster), RECORDS_MAX);
}

#[test]
fn a_hundred_thousand_keys_or_items_are_judged_each() {
    let mut cluster = Cluster::with_brokers(1);
    cluster.create("t", 1, 1);
    let mut twice = keys(100_000);
    twice.changes.push(("plugin.7".to_owned(), Delete, None));
    let outcome = alter(&mut cluster, twice);
    assert_eq!(
        outcome.message.as_deref(),
        Some("Error due to duplicate config keys")
    );
    let throttled = "leader.replication.throttled.replicas";
    let list = |from, to| (from..to).map(|n| format!("{n}:1")).collect::<Vec<_>>().join(",");
    for (op, value, expected) in [
        (Append, list(0, 100_000), list(0, 100_000)),
        (Append, list(50_000, 150_000), list(0, 150_000)),
        (Subtract, list(1, 149_999), "0:1,149999:1".to_owned()),
    ] {
        let asked = ask(topic("t"), &[(throttled, op, Some(value.as_str()))]);
        assert_eq!(alter(&mut cluster, asked), Outcome::OK);
        assert!(cluster.image.config(&topic("t"), throttled) == Some(expected.as_str()));
    }
    let many = ["delete"; 100_000].join(",");
    let asked = ask(topic("t"), &[("cleanup.policy", Set, Some(many.as_str()))]);
    assert_eq!(alter(&mut cluster, asked).error, ErrorCode::InvalidConfig);
}

#[test]
fn an_item_is_taken_from_a_list_once_for_each_time_it_is_named() {
    let mut items = vec!["a", "b", "a", "c", "a", "b"];
    take_once_each(&mut items, ["a", "x", "b", "a"].into_iter());
    assert_eq!(items, ["c", "a", "b"]);
}

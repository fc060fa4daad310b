//! The cleaner on replicated logs: every replica compacts by itself, and none forgets what another one lacks.

use crate::background::metric;
use crate::cluster::{Cluster, fetch, keyed, partition, produce_batch, until};
use milena_metadata::record::{ConfigResource, MetadataRecord};
use milena_types::{Acks, ErrorCode, Offset, TopicIdPartition, TopicName};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// Segments of a few batches, compacted whenever one is closed; tombstones may go at once.
const COMPACTED: &[(&str, &str)] = &[
    ("cleanup.policy", "compact"),
    ("internal.segment.bytes", "400"),
    ("min.cleanable.dirty.ratio", "0"),
    ("delete.retention.ms", "0"),
    ("min.insync.replicas", "2"),
];

async fn put(cluster: &Cluster, leader: i32, id: TopicIdPartition, key: &str, value: Option<&str>) -> Offset {
    let batch = keyed(key, value);
    let result = produce_batch(
        cluster.router(leader),
        id,
        Acks::All,
        batch,
        Duration::from_secs(20),
    )
    .await;
    assert_eq!(result.error, ErrorCode::None);
    result.base_offset.unwrap()
}

/// Every record on a broker's disk as (offset, key, value), the active segment included; `None` while a swap is under way,
/// when names come and go.
fn on_disk(cluster: &Cluster, broker: i32) -> Option<Vec<(i64, String, Option<String>)>> {
    let dir = cluster.disk(broker).join("compacted-0");
    let mut names: Vec<_> = std::fs::read_dir(dir)
        .ok()?
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<Result<_, _>>()
        .ok()?;
    names.sort();
    let is_log = |name: &&std::path::PathBuf| name.extension().is_some_and(|end| end == "log");
    let mut bytes = Vec::new();
    for name in names.iter().filter(is_log) {
        bytes.extend(std::fs::read(name).ok()?);
    }
    let bytes = bytes::Bytes::from(bytes);
    let text = |bytes: bytes::Bytes| String::from_utf8(bytes.to_vec()).unwrap();
    let mut all = Vec::new();
    for batch in milena_record::batches(&bytes) {
        let (_, batch) = batch.ok()?;
        for record in milena_record::records(&bytes.slice_ref(batch), 1 << 20).ok()? {
            let key = text(record.key.unwrap_or_default());
            all.push((record.offset.0, key, record.value.map(text)));
        }
    }
    Some(all)
}

fn offsets_of(cluster: &Cluster, broker: i32, key: &str) -> Option<Vec<i64>> {
    let all = on_disk(cluster, broker)?.into_iter();
    Some(all.filter(|(_, k, _)| k == key).map(|(at, ..)| at).collect())
}

/// Waits until the key is at these offsets of a broker's disk, and nowhere else.
async fn wait_offsets(cluster: &Cluster, broker: i32, key: &str, expected: &[i64]) {
    until(&format!("{key} at {expected:?} on broker {broker}"), || async {
        offsets_of(cluster, broker, key).as_deref() == Some(expected)
    })
    .await;
}

/// Every record that a consumer from the beginning is given, as (offset, key, value).
async fn consumed(
    cluster: &Cluster,
    leader: i32,
    id: TopicIdPartition,
) -> Vec<(i64, String, Option<String>)> {
    let (mut all, mut at) = (Vec::new(), 0);
    loop {
        let read = fetch(cluster.router(leader), id, at).await;
        assert_eq!(read.error, ErrorCode::None);
        let mut next = at;
        for batch in milena_record::batches(&read.records) {
            let (header, batch) = batch.unwrap();
            next = header.next_offset().0;
            for record in milena_record::records(&read.records.slice_ref(batch), 1 << 20).unwrap() {
                let text = |bytes: bytes::Bytes| String::from_utf8(bytes.to_vec()).unwrap();
                let key = text(record.key.unwrap());
                all.push((record.offset.0, key, record.value.map(text)));
            }
        }
        if next == at {
            assert_eq!(at, read.high_watermark.0, "nothing is shown before the end");
            return all;
        }
        at = next;
    }
}

/// What that consumer knows at the end.
async fn table(cluster: &Cluster, leader: i32, id: TopicIdPartition) -> BTreeMap<String, String> {
    let mut table = BTreeMap::new();
    for (_, key, value) in consumed(cluster, leader, id).await {
        match value {
            Some(value) => table.insert(key, value),
            None => table.remove(&key),
        };
    }
    table
}

/// Closes the active segment by filling it with a key of its own.
async fn fill(cluster: &Cluster, leader: i32, id: TopicIdPartition) {
    for _ in 0..6 {
        put(cluster, leader, id, "filler", Some(&"x".repeat(60))).await;
    }
}

#[tokio::test]
async fn every_replica_keeps_the_last_value_of_each_key() {
    let mut cluster = Cluster::start(3, 2).await;
    let topic = cluster
        .controller
        .create_topic("compacted", 1, &[1, 2, 3], COMPACTED);
    let id = partition(topic, 0);
    for round in 0..20 {
        for key in ["a", "b", "c"] {
            put(&cluster, 1, id, key, Some(&format!("{key}{round}"))).await;
        }
    }
    put(&cluster, 1, id, "once", Some("kept")).await;
    fill(&cluster, 1, id).await;
    for broker in [1, 2, 3] {
        until("the old values to go", || async {
            ["a", "b", "c"]
                .iter()
                .all(|key| offsets_of(&cluster, broker, key).is_some_and(|found| found.len() <= 2))
        })
        .await;
        wait_offsets(&cluster, broker, "once", &[60]).await;
    }
    until("a consumer to be given what is on disk, and no more", || async {
        on_disk(&cluster, 1) == Some(consumed(&cluster, 1, id).await)
    })
    .await;
    let expected = table(&cluster, 1, id).await;
    assert_eq!(
        (expected["a"].as_str(), expected["once"].as_str()),
        ("a19", "kept")
    );
    // Another replica leads; one that has lost its disk is filled through the holes.
    cluster.controller.elect(id, 2);
    put_until_ok(&cluster, 2, id, "d", "d0").await;
    cluster.stop_node(3).await;
    cluster.controller.fence(milena_types::BrokerId(3));
    std::fs::remove_dir_all(cluster.disk(3)).unwrap();
    cluster.start_node(3).await;
    cluster.wait_isr(id, &[1, 2, 3]).await;
    cluster.controller.elect(id, 3);
    put_until_ok(&cluster, 3, id, "e", "e0").await;
    let mut expected = expected;
    expected.extend([
        ("d".to_owned(), "d0".to_owned()),
        ("e".to_owned(), "e0".to_owned()),
    ]);
    assert_eq!(table(&cluster, 3, id).await, expected);
    cluster.stop().await;
}

async fn put_until_ok(cluster: &Cluster, leader: i32, id: TopicIdPartition, key: &str, value: &str) {
    let done = || async {
        let batch = keyed(key, Some(value));
        let result = produce_batch(
            cluster.router(leader),
            id,
            Acks::All,
            batch,
            Duration::from_secs(5),
        )
        .await;
        result.error == ErrorCode::None
    };
    until("the new leader", done).await;
}

/// The cleaner keeps a list of the logs that it looks at.
#[tokio::test]
async fn a_topic_that_becomes_compacted_is_compacted_and_no_longer_when_it_is_not() {
    let cluster = Cluster::start(1, 2).await;
    let policy = |value: &str| {
        cluster.controller.commit(vec![MetadataRecord::Config {
            resource: ConfigResource::Topic(TopicName::new("compacted").unwrap()),
            key: "cleanup.policy".to_owned(),
            value: Some(value.to_owned()),
        }]);
    };
    let mut configs = COMPACTED.to_vec();
    configs[0].1 = "delete";
    configs[4].1 = "1";
    let topic = cluster.controller.create_topic("compacted", 1, &[1], &configs);
    let id = partition(topic, 0);
    for value in ["0", "1", "2"] {
        put(&cluster, 1, id, "k", Some(value)).await;
    }
    fill(&cluster, 1, id).await;
    wait_offsets(&cluster, 1, "k", &[0, 1, 2]).await;
    policy("compact");
    wait_offsets(&cluster, 1, "k", &[2]).await;
    policy("delete");
    put(&cluster, 1, id, "k", Some("3")).await;
    fill(&cluster, 1, id).await;
    // One thread cleans: when it looks a second time, the first look is over.
    for _ in 0..2 {
        let asked = Instant::now();
        until("the cleaner to look", || async {
            metric(&cluster, 1, "time-since-last-run-ms") < asked.elapsed().as_secs_f64() * 1000.0
        })
        .await;
    }
    assert_eq!(offsets_of(&cluster, 1, "k"), Some(vec![2, 9]));
    policy("compact");
    wait_offsets(&cluster, 1, "k", &[9]).await;
    cluster.stop().await;
}

#[tokio::test]
async fn a_tombstone_waits_for_the_replica_that_is_away() {
    let mut cluster = Cluster::start(3, 1).await;
    let topic = cluster
        .controller
        .create_topic("compacted", 1, &[1, 2, 3], COMPACTED);
    let id = partition(topic, 0);
    put(&cluster, 1, id, "key", Some("value")).await;
    fill(&cluster, 1, id).await;
    cluster.stop_node(3).await;
    cluster.controller.fence(milena_types::BrokerId(3));
    cluster.wait_isr(id, &[1, 2]).await;
    let tombstone = put(&cluster, 1, id, "key", None).await;
    // Many passes, each with something new to compact: the first sets the horizon, which has passed at once.
    for broker in [1, 2] {
        for _ in 0..4 {
            let filler = put(&cluster, 1, id, "filler", Some("y")).await;
            fill(&cluster, 1, id).await;
            until("a pass over the log", || async {
                offsets_of(&cluster, broker, "filler").is_some_and(|found| !found.contains(&filler.0))
            })
            .await;
        }
        // While segments are swapped their names are not there; once it is gone it stays gone.
        wait_offsets(&cluster, broker, "key", &[tombstone.0]).await;
    }
    // It has the value and not the tombstone.
    wait_offsets(&cluster, 3, "key", &[0]).await;
    cluster.start_node(3).await;
    cluster.wait_isr(id, &[1, 2, 3]).await;
    for broker in [1, 2, 3] {
        until("the tombstone to go", || async {
            fill(&cluster, 1, id).await;
            offsets_of(&cluster, broker, "key").is_some_and(|found| found.is_empty())
        })
        .await;
    }
    cluster.controller.elect(id, 3);
    put_until_ok(&cluster, 3, id, "other", "1").await;
    assert!(
        !table(&cluster, 3, id).await.contains_key("key"),
        "what was deleted stays deleted"
    );
    cluster.stop().await;
}

#[tokio::test]
async fn a_topic_that_is_deleted_and_created_again_while_it_is_compacted_starts_empty() {
    let cluster = Cluster::start(2, 1).await;
    for round in 0..5 {
        let topic = cluster
            .controller
            .create_topic("compacted", 1, &[1, 2], COMPACTED);
        let id = partition(topic, 0);
        put_until_ok(&cluster, 1, id, "round", &round.to_string()).await;
        for _ in 0..4 {
            fill(&cluster, 1, id).await;
        }
        let table = table(&cluster, 1, id).await;
        assert_eq!(table["round"], round.to_string());
        wait_offsets(&cluster, 1, "round", &[0]).await;
        let removed = milena_metadata::record::MetadataRecord::TopicRemoved(topic);
        cluster.controller.commit(vec![removed]);
    }
    cluster.stop().await;
}

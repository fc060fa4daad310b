//! Old segments go, on every replica, when time, size or DeleteRecords say so, and no restart brings them back.

use milena_cluster_tests::{Cluster, Settings, admin, until};
use rdkafka::Offset;
use rdkafka::TopicPartitionList;
use rdkafka::admin::{AdminClient, AdminOptions, AlterConfig, ResourceSpecifier};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::producer::{BaseRecord, DefaultProducerContext, Producer, ThreadedProducer};
use std::collections::HashMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

const HOUR_MS: i64 = 3_600_000;
const WAIT: Duration = Duration::from_secs(30);
const SEGMENT: u64 = 20_000;

fn cluster() -> Cluster {
    let settings = Settings::default()
        .with("log.initial.task.delay.ms", "100")
        .with("log.retention.check.interval.ms", "200")
        .with("replica.high.watermark.checkpoint.interval.ms", "200");
    Cluster::start(3, settings)
}

/// Topics have these settings unless `more` says otherwise.
fn settings<'a>(more: &[(&'a str, &'a str)]) -> HashMap<&'a str, &'a str> {
    let mut all = HashMap::from([
        ("internal.segment.bytes", "20000"),
        ("file.delete.delay.ms", "300"),
        ("message.timestamp.after.max.ms", "9223372036854775807"),
        ("retention.ms", "-1"),
        ("min.insync.replicas", "2"),
    ]);
    all.extend(more.iter().copied());
    all
}

fn create(cluster: &Cluster, topic: &str, more: &[(&str, &str)]) {
    let all: Vec<(&str, &str)> = settings(more).into_iter().collect();
    admin::create_topic(&cluster.bootstrap(), topic, 1, 3, &all);
}

fn alter(cluster: &Cluster, topic: &str, more: &[(&str, &str)]) {
    let admin: AdminClient<DefaultClientContext> =
        admin::client(&cluster.bootstrap()).create().expect("client");
    let altered = AlterConfig {
        specifier: ResourceSpecifier::Topic(topic),
        entries: settings(more),
    };
    let done = admin::block_on(admin.alter_configs([&altered], &AdminOptions::new()));
    for result in done.expect("alter") {
        result.expect("altered");
    }
}

/// Writes `count` records of a kilobyte, dated `age_ms` ago.
fn produce(cluster: &Cluster, topic: &str, count: usize, age_ms: i64) {
    let producer: ThreadedProducer<DefaultProducerContext> = admin::client(&cluster.bootstrap())
        .set("acks", "all")
        .set("enable.idempotence", "true")
        .set("batch.size", "4000")
        .create()
        .expect("producer");
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .expect("clock")
        .as_millis();
    let time = i64::try_from(now).expect("a time") - age_ms;
    let value = [b'x'; 1000];
    for i in 0..count {
        let record = BaseRecord::to(topic)
            .key(b"k")
            .payload(&value[..])
            .timestamp(time + i as i64);
        producer.send(record).map_err(|(error, _)| error).expect("send");
    }
    producer.flush(WAIT).expect("flush");
}

/// First and last offset, as a client is told.
fn watermarks(cluster: &Cluster, topic: &str) -> Option<(i64, i64)> {
    let consumer: BaseConsumer = admin::client(&cluster.bootstrap()).create().expect("consumer");
    consumer.fetch_watermarks(topic, 0, Duration::from_secs(2)).ok()
}

/// Names and sizes of the files in the topic's directory on one node.
fn files(cluster: &Cluster, node: i32, topic: &str) -> Vec<(String, u64)> {
    let dir = cluster.log_dir(node).join(format!("{topic}-0"));
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
    entries
        .filter_map(|entry| {
            Some((
                entry.file_name().into_string().ok()?,
                entry.metadata().ok()?.len(),
            ))
        })
        .collect()
}

/// Waits until every node has `segments`, nothing that waits for its removal, and the client sees `first` as the first offset.
fn wait_for(
    cluster: &Cluster,
    topic: &str,
    segments: std::ops::RangeInclusive<usize>,
    bytes: u64,
    first: Option<i64>,
) {
    let settled = |node: &i32| {
        let files = files(cluster, *node, topic);
        let logs: Vec<u64> = files
            .iter()
            .filter(|(name, _)| name.ends_with(".log"))
            .map(|(_, size)| *size)
            .collect();
        let waiting = files.iter().any(|(name, _)| name.ends_with(".deleted"));
        segments.contains(&logs.len()) && logs.iter().sum::<u64>() <= bytes && !waiting
    };
    let seen = || {
        let all = cluster.ids().iter().all(settled);
        let found = watermarks(cluster, topic).map(|(low, _)| low);
        (all && (first.is_none() || found == first)).then_some(())
    };
    let what = format!("{topic}: {segments:?} segments, first offset {first:?}");
    until(&what, WAIT, seen);
}

#[test]
fn time_and_size_take_segments_on_every_replica() {
    let cluster = cluster();
    create(&cluster, "time", &[]);
    create(&cluster, "size", &[]);
    create(&cluster, "future", &[]);
    produce(&cluster, "time", 200, 2 * HOUR_MS);
    produce(&cluster, "size", 200, 2 * HOUR_MS);
    produce(&cluster, "future", 200, -48 * HOUR_MS);
    for topic in ["time", "size", "future"] {
        wait_for(&cluster, topic, 10..=12, u64::MAX, Some(0));
    }

    // What is dated tomorrow is never too old.
    alter(&cluster, "future", &[("retention.ms", "3600000")]);
    // A changed setting takes effect at once; the active segment goes too, when all of it is old.
    alter(&cluster, "time", &[("retention.ms", "3600000")]);
    wait_for(&cluster, "time", 1..=1, 0, Some(200));
    produce(&cluster, "time", 3, 0);
    assert_eq!(watermarks(&cluster, "time"), Some((200, 203)));

    alter(&cluster, "size", &[("retention.bytes", "70000")]);
    wait_for(&cluster, "size", 4..=5, 70_000 + SEGMENT, None);
    let (low, high) = watermarks(&cluster, "size").expect("watermarks");
    assert!(low > 100 && high == 200, "{low} {high}");

    assert_eq!(
        watermarks(&cluster, "future"),
        Some((0, 200)),
        "checked as often as the others"
    );
    let both = [("retention.ms", "3600000"), ("retention.bytes", "70000")];
    alter(&cluster, "future", &both);
    wait_for(&cluster, "future", 4..=5, 70_000 + SEGMENT, None);
    let (low, _) = watermarks(&cluster, "future").expect("watermarks");
    assert!(low > 100, "{low}");
}

#[test]
fn deleted_records_stay_deleted() {
    let mut cluster = cluster();
    create(&cluster, "deleted", &[]);
    produce(&cluster, "deleted", 100, 0);
    let admin: AdminClient<DefaultClientContext> =
        admin::client(&cluster.bootstrap()).create().expect("client");
    let mut before = TopicPartitionList::new();
    before
        .add_partition_offset("deleted", 0, Offset::Offset(57))
        .expect("offset");
    let done = admin::block_on(admin.delete_records(&before, &AdminOptions::new())).expect("delete");
    assert_eq!(
        done.elements()[0].offset(),
        Offset::Offset(57),
        "the new first offset"
    );
    // 57 lies inside a segment: the ones below go, that one stays.
    wait_for(&cluster, "deleted", 2..=4, u64::MAX, Some(57));
    let known = |node: &i32| {
        let text = std::fs::read_to_string(cluster.log_dir(*node).join("log-start-offset-checkpoint"));
        text.is_ok_and(|text| text.lines().any(|line| line == "deleted 0 57"))
    };
    until("the offset is in every replica's checkpoint", WAIT, || {
        cluster.ids().iter().all(known).then_some(())
    });
    for id in cluster.ids() {
        cluster.kill(id);
    }
    for id in cluster.ids() {
        cluster.start_node(id);
    }
    cluster.wait_brokers(3);
    let seen = until("the topic is there again", WAIT, || {
        watermarks(&cluster, "deleted")
    });
    assert_eq!(seen, (57, 100));
}

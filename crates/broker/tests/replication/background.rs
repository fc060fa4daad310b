//! Settings of background work that are altered while brokers run: the cleaner's, and the rate of moves between directories.

use crate::cluster::*;
use milena_broker::shard::{AlterLogDirItem, CleanerRefused};
use milena_metadata::record::{ConfigResource, MetadataRecord};
use milena_metrics::Metric;
use milena_types::{Acks, BrokerId, ErrorCode, PartitionIndex, TopicName, TopicPartition};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// Sets a key of one broker, or of all, or takes it back.
pub(crate) fn set(cluster: &Cluster, broker: Option<i32>, key: &str, value: Option<&str>) {
    cluster.controller.commit(vec![MetadataRecord::Config {
        resource: ConfigResource::Broker(broker.map(BrokerId)),
        key: key.to_owned(),
        value: value.map(str::to_owned),
    }]);
}

/// How many threads of this process have this name: every broker of these tests has a `log-cleaner-0`, no other test more.
fn threads_named(name: &str) -> usize {
    let tasks = std::fs::read_dir("/proc/self/task").unwrap().flatten();
    let names = tasks.filter_map(|task| std::fs::read_to_string(task.path().join("comm")).ok());
    names.filter(|found| found.trim_end() == name).count()
}

async fn wait_threads(counts: &[(&str, usize)]) {
    for (name, count) in counts {
        until(&format!("{count} threads {name}"), || async {
            threads_named(name) == *count
        })
        .await;
    }
}

pub(crate) fn metric(cluster: &Cluster, broker: i32, name: &str) -> f64 {
    let metrics: Vec<Metric> = cluster.router(broker).metrics();
    metrics
        .iter()
        .find(|metric| metric.name == name)
        .and_then(Metric::number)
        .unwrap()
}

#[tokio::test]
async fn the_cleaner_follows_its_settings() {
    let mut cluster = Cluster::start(1, 2).await;
    let key = "log.cleaner.threads";
    set(&cluster, None, key, Some("2"));
    wait_threads(&[("log-cleaner-1", 1), ("log-cleaner-2", 0)]).await;
    let four = BTreeMap::from([(key.to_owned(), "4".to_owned())]);
    let five = BTreeMap::from([(key.to_owned(), "5".to_owned())]);
    let router = cluster.router(1);
    assert_eq!(router.check_settings(None, Some(&four)), Ok(()));
    assert_eq!(
        router.check_settings(Some(&four), Some(&five)),
        Err(CleanerRefused::TooMany(2)),
        "its own value counts"
    );
    // One that the controller let pass does not count, but what comes with it does.
    set(&cluster, Some(1), key, Some("5"));
    set(&cluster, Some(1), "log.cleaner.backoff.ms", Some("3600000"));
    set(&cluster, Some(1), key, Some("3"));
    wait_threads(&[("log-cleaner-2", 1), ("log-cleaner-3", 0)]).await;
    // Now they sleep for an hour, unless they are woken.
    let slept = || async { metric(&cluster, 1, "time-since-last-run-ms") >= 50.0 };
    until("the cleaner to sleep", slept).await;
    let before = Instant::now();
    set(
        &cluster,
        Some(1),
        "log.cleaner.io.max.bytes.per.second",
        Some("1000000000"),
    );
    until("the cleaner to wake", || async {
        metric(&cluster, 1, "time-since-last-run-ms") < before.elapsed().as_secs_f64() * 1000.0
    })
    .await;
    set(&cluster, Some(1), key, None);
    wait_threads(&[("log-cleaner-2", 0), ("log-cleaner-1", 1)]).await;
    set(&cluster, None, key, None);
    wait_threads(&[("log-cleaner-1", 0)]).await;
    assert_eq!(metric(&cluster, 1, "DeadThreadCount"), 0.0);
    // At a start any number will do.
    set(&cluster, None, key, Some("3"));
    cluster.stop_node(1).await;
    cluster.start_node(1).await;
    wait_threads(&[("log-cleaner-2", 1)]).await;
    cluster.stop().await;
    assert_eq!(threads_named("log-cleaner-2"), 0);
}

#[tokio::test]
async fn a_move_keeps_to_its_rate_and_flushes_do_not_wait_for_it() {
    let rate = "replica.alter.log.dirs.io.max.bytes.per.second";
    let cluster = Cluster::start_with_two_disks(1, 1).await;
    set(&cluster, None, rate, Some("1"));
    let id = partition(cluster.controller.create_topic("t", 1, &[1], &[]), 0);
    cluster.produce_until_ok(1, id, "0").await;
    let large = "x".repeat(500_000);
    for _ in 0..6 {
        cluster.produce_until_ok(1, id, &large).await;
    }
    let (first, second) = (cluster.disk(1), cluster.second_disk(1));
    let to = if first.join("t-0").exists() { second } else { first };
    let item = AlterLogDirItem {
        id: Some(id),
        name: TopicPartition {
            topic: TopicName::new("t").unwrap(),
            partition: PartitionIndex(0),
        },
        path: to.display().to_string().into(),
    };
    let begun = cluster.router(1).alter_log_dirs(vec![item]).await;
    assert_eq!(begun, [ErrorCode::None]);
    let copied = async || {
        let dirs = cluster.router(1).describe_log_dirs().await;
        let mut replicas = dirs.into_iter().flat_map(|dir| dir.replicas);
        replicas
            .find(|replica| replica.is_future)
            .map(|copy| copy.size_bytes)
    };
    until("the first piece", || async { copied().await > Some(0) }).await;
    let piece = copied().await;
    for number in 0..20 {
        let result = produce_within(
            cluster.router(1),
            id,
            Acks::All,
            &number.to_string(),
            Duration::from_secs(20),
        )
        .await;
        assert_eq!(result.error, ErrorCode::None, "it goes on meanwhile");
    }
    assert_eq!(copied().await, piece, "the next piece waits for ten days");
    set(&cluster, Some(1), rate, Some("9223372036854775807"));
    until("the move", || async {
        copied().await.is_none() && to.join("t-0").exists()
    })
    .await;
    cluster.stop().await;
}

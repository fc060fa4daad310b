//! Replicas that were moved away or deleted while their broker was down: set aside at its next start.

use crate::cluster::*;
use milena_broker::config::ReplicaConfig;
use milena_metadata::record::MetadataRecord;
use milena_types::{BrokerId, Offset, TopicIdPartition};
use std::path::Path;
use std::time::Duration;

fn names(disk: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(disk).unwrap().flatten();
    let dirs = entries.filter(|entry| entry.path().is_dir());
    let mut names: Vec<_> = dirs.map(|dir| dir.file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

fn is_stray_of(name: &str, log: &str) -> bool {
    name.starts_with(&format!("{log}.")) && name.ends_with("-stray")
}

async fn served(cluster: &Cluster, broker: i32) -> Vec<String> {
    let dirs = cluster.router(broker).describe_log_dirs().await;
    let replicas = dirs.into_iter().flat_map(|dir| dir.replicas);
    let mut topics: Vec<_> = replicas.map(|replica| replica.topic.to_string()).collect();
    topics.sort();
    topics
}

fn fast_checkpoints() -> ReplicaConfig {
    ReplicaConfig {
        high_watermark_checkpoint_interval: Duration::from_millis(20),
        ..ReplicaConfig::default()
    }
}

const TOPICS: [&str; 3] = ["gone", "moved", "stays"];

/// Two brokers with a partition of each topic, of which the second has lost the first two while it was down.
async fn lost_while_down(clean: bool) -> (Cluster, [TopicIdPartition; 3], [Vec<u8>; 3]) {
    let mut cluster = Cluster::start_with(2, 2, fast_checkpoints()).await;
    let ids = TOPICS.map(|name| partition(cluster.controller.create_topic(name, 1, &[1, 2], &[]), 0));
    for id in ids {
        for number in 0..3 {
            cluster.produce_until_ok(1, id, &number.to_string()).await;
        }
    }
    let before = TOPICS.map(|topic| cluster.segments(2, topic, 0));
    match clean {
        true => cluster.stop_clean(2).await,
        false => cluster.stop_node(2).await,
    }
    let removed = MetadataRecord::TopicRemoved(ids[0].topic);
    cluster.controller.commit(vec![removed]);
    reassign(&cluster, ids[1], &[1]);
    (cluster, ids, before)
}

/// The first of the replicas is in sync.
fn reassign(cluster: &Cluster, id: TopicIdPartition, replicas: &[i32]) {
    let mut state = cluster.controller.partition(id);
    state.replicas = replicas.iter().copied().map(BrokerId).collect();
    state.isr = vec![state.replicas[0]];
    state.partition_epoch = state.partition_epoch.next();
    cluster
        .controller
        .commit(vec![MetadataRecord::Partition { id, state }]);
}

/// Waits for the strays of "gone" and "moved" beside the log that stays; their names.
async fn wait_strays(disk: &Path) -> Vec<String> {
    until("the strays", || async {
        let strays = names(disk).into_iter().filter(|name| name.ends_with("-stray"));
        strays.count() == 2
    })
    .await;
    let mut strays = names(disk);
    assert_eq!(strays.pop().as_deref(), Some("stays-0"));
    assert!(
        is_stray_of(&strays[0], "gone-0") && is_stray_of(&strays[1], "moved-0"),
        "{strays:?}"
    );
    strays
}

#[tokio::test]
async fn what_was_deleted_or_moved_away_while_a_broker_was_down_is_set_aside() {
    for clean in [true, false] {
        let (mut cluster, [_, moved, _], before) = lost_while_down(clean).await;
        let disk = cluster.disk(2);
        cluster.start_node(2).await;
        let strays = wait_strays(&disk).await;
        for (name, bytes) in strays.iter().zip(&before) {
            let log = disk.join(name).join("00000000000000000000.log");
            assert_eq!(&std::fs::read(log).unwrap(), bytes, "{name}");
        }
        until("the one that stays", || async {
            served(&cluster, 2).await == ["stays"]
        })
        .await;
        until("the checkpoints to forget them", || async {
            let file = disk.join("recovery-point-offset-checkpoint");
            let points = std::fs::read_to_string(file).unwrap();
            points.contains("stays 0 ") && !points.contains("gone 0 ") && !points.contains("moved 0 ")
        })
        .await;

        // Who takes the names has nothing of the old logs.
        let again = partition(cluster.controller.create_topic("gone", 1, &[2], &[]), 0);
        assert_eq!(cluster.produce_until_ok(2, again, "new").await, Offset(0));
        assert_eq!(read_all(cluster.router(2), again).await, ["new"]);
        reassign(&cluster, moved, &[1, 2]);
        cluster.wait_isr(moved, &[1, 2]).await;
        assert_eq!(cluster.segments(2, "moved", 0), before[1]);

        // They are kept, and what is there now is kept too.
        cluster.stop_node(2).await;
        cluster.start_node(2).await;
        until("all to be served", || async {
            served(&cluster, 2).await == TOPICS
        })
        .await;
        let mut expected = strays;
        expected.extend(["gone-0", "moved-0", "stays-0"].map(str::to_owned));
        expected.sort();
        assert_eq!(names(&disk), expected);
        wait_served(cluster.router(2), again, 1).await;
        assert_eq!(read_all(cluster.router(2), again).await, ["new"]);
        cluster.stop().await;
    }
}

#[tokio::test]
async fn the_log_of_a_topic_that_was_deleted_and_made_again_meanwhile_is_set_aside_too() {
    let mut cluster = Cluster::start(1, 2).await;
    let old = partition(cluster.controller.create_topic("t", 1, &[1], &[]), 0);
    for number in 0..3 {
        cluster.produce_until_ok(1, old, &number.to_string()).await;
    }
    let before = cluster.segments(1, "t", 0);
    cluster.stop_node(1).await;
    let removed = MetadataRecord::TopicRemoved(old.topic);
    cluster.controller.commit(vec![removed]);
    let new = partition(cluster.controller.create_topic("t", 1, &[1], &[]), 0);
    cluster.start_node(1).await;
    assert_eq!(cluster.produce_until_ok(1, new, "new").await, Offset(0));
    assert_eq!(read_all(cluster.router(1), new).await, ["new"]);
    let disk = cluster.disk(1);
    let found = names(&disk);
    assert!(
        found.len() == 2 && found[0] == "t-0" && is_stray_of(&found[1], "t-0"),
        "{found:?}"
    );
    let log = disk.join(&found[1]).join("00000000000000000000.log");
    assert_eq!(std::fs::read(log).unwrap(), before);
    cluster.stop().await;
}

//! What is not used costs nothing; what is deleted goes.

use crate::cluster::{Cluster, fetch, partition, partition_dirs, until, values};
use milena_broker::config::ReplicaConfig;
use milena_broker::shard::{ListOffsetsItem, OffsetSpec, ReplicaRole};
use milena_metadata::record::MetadataRecord;
use milena_types::{Offset, TopicIdPartition};
use std::path::PathBuf;
use std::time::Duration;

#[tokio::test]
async fn idle_partitions_have_no_file_and_no_descriptor() {
    let cluster = Cluster::start(3, 2).await;
    let descriptors = || std::fs::read_dir("/proc/self/fd").unwrap().count();
    let before = descriptors();
    let topic = cluster.controller.create_topic("idle", 2000, &[1, 2, 3], &[]);
    cluster.produce_until_ok(1, partition(topic, 77), "x").await;
    for broker in [1, 2, 3] {
        assert_eq!(partition_dirs(&cluster.disk(broker)), 1, "broker {broker}");
    }
    let of_topic = open_files(&cluster, "idle-");
    let used = |path: &PathBuf| path.to_string_lossy().contains("/idle-77/");
    assert!(of_topic.iter().all(used), "{of_topic:?}");
    // Streams (2 lanes x 2 threads x 6 directions at most), files of one partition on three brokers, and other tests.
    let grown = descriptors().saturating_sub(before);
    assert!(grown < 1000, "{grown} descriptors for 2000 idle partitions");
    cluster.stop().await;
}

/// The files below the test's disks that are open now and have this in their path.
fn open_files(cluster: &Cluster, part: &str) -> Vec<PathBuf> {
    let descriptors = std::fs::read_dir("/proc/self/fd").unwrap();
    let names = descriptors.filter_map(|entry| std::fs::read_link(entry.ok()?.path()).ok());
    let disks = cluster.disk(1).parent().unwrap().to_owned();
    let of_test = |name: &PathBuf| name.starts_with(&disks) && name.to_string_lossy().contains(part);
    names.filter(of_test).collect()
}

#[tokio::test]
async fn the_files_of_a_partition_are_closed_after_its_last_record() {
    let replica = ReplicaConfig {
        high_watermark_checkpoint_interval: Duration::from_millis(20),
        ..ReplicaConfig::default()
    };
    let mut cluster = Cluster::start_with(0, 2, replica).await;
    cluster.log_work.close_after = Duration::from_millis(50);
    cluster.start_node(1).await;
    let topic = cluster.controller.create_topic("brief", 30, &[1], &[]);
    for index in 0..30 {
        cluster.produce_until_ok(1, partition(topic, index), "x").await;
    }
    let open = || open_files(&cluster, "brief-").len();
    until("all files to be closed", || async { open() == 0 }).await;
    // A record opens them again, and not for ever.
    assert_eq!(
        cluster.produce_until_ok(1, partition(topic, 3), "y").await,
        Offset(1)
    );
    until("a file to be seen open", || async {
        cluster.produce_until_ok(1, partition(topic, 3), "z").await;
        open() > 0
    })
    .await;
    until("the files to be closed again", || async { open() == 0 }).await;
    cluster.stop().await;
}

/// Every file of every partition is out of the way while the broker starts: whoever looks for one finds an empty directory.
#[tokio::test]
async fn a_start_after_a_clean_stop_looks_at_no_file_of_a_partition() {
    let mut cluster = Cluster::start(1, 2).await;
    let topic = cluster.controller.create_topic("kept", 60, &[1], &[]);
    for index in 0..60 {
        cluster.produce_until_ok(1, partition(topic, index), "x").await;
        cluster.produce_until_ok(1, partition(topic, index), "y").await;
    }
    cluster.stop_clean(1).await;
    let dirs: Vec<_> = (0..60)
        .map(|index| cluster.disk(1).join(format!("kept-{index}")))
        .collect();
    for dir in &dirs {
        std::fs::rename(dir, dir.with_extension("away")).unwrap();
        std::fs::create_dir(dir).unwrap();
    }
    cluster.start_node(1).await;
    for index in 0..60 {
        let id = partition(topic, index);
        until("the end of the log", || async {
            latest(&cluster, id).await == Some(Offset(2))
        })
        .await;
    }
    for dir in &dirs {
        assert_eq!(
            std::fs::read_dir(dir).unwrap().count(),
            0,
            "a start writes no file"
        );
        std::fs::remove_dir(dir).unwrap();
        std::fs::rename(dir.with_extension("away"), dir).unwrap();
    }
    let fetched = fetch(cluster.router(1), partition(topic, 7), 0).await;
    assert_eq!(
        values(&fetched.records),
        [(0, "x".to_owned()), (1, "y".to_owned())]
    );
    assert_eq!(
        cluster.produce_until_ok(1, partition(topic, 7), "z").await,
        Offset(2)
    );
    cluster.stop().await;
}

#[tokio::test]
async fn a_start_after_a_crash_opens_every_log_off_the_data_threads() {
    let mut cluster = Cluster::start(1, 2).await;
    let topic = cluster.controller.create_topic("kept", 40, &[1], &[]);
    for index in 0..40 {
        cluster.produce_until_ok(1, partition(topic, index), "x").await;
    }
    cluster.stop_clean(1).await;
    // As after a crash: nobody says that the directory was left in order.
    std::fs::remove_file(cluster.disk(1).join(".kafka_cleanshutdown")).unwrap();
    std::fs::remove_file(cluster.disk(1).join("milena-idle-logs")).unwrap();
    cluster.start_node(1).await;
    for index in 0..40 {
        let id = partition(topic, index);
        assert_eq!(cluster.produce_until_ok(1, id, "y").await, Offset(1));
    }
    assert_eq!(cluster.router(1).logs_opened(Duration::ZERO).await, 0);
    cluster.stop().await;
}

/// Deleting a topic and making another of its name is possible at any moment, also while its logs are being opened.
#[tokio::test]
async fn a_topic_made_again_while_its_logs_are_opened_begins_anew() {
    let mut cluster = Cluster::start(1, 2).await;
    let topic = cluster.controller.create_topic("twice", 20, &[1], &[]);
    for index in 0..20 {
        cluster.produce_until_ok(1, partition(topic, index), "x").await;
    }
    cluster.stop_clean(1).await;
    std::fs::remove_file(cluster.disk(1).join(".kafka_cleanshutdown")).unwrap();
    std::fs::remove_file(cluster.disk(1).join("milena-idle-logs")).unwrap();
    cluster.start_node(1).await;
    cluster
        .controller
        .commit(vec![MetadataRecord::TopicRemoved(topic)]);
    let again = cluster.controller.create_topic("twice", 20, &[1], &[]);
    for index in 0..20 {
        let id = partition(again, index);
        assert_eq!(cluster.produce_until_ok(1, id, "y").await, Offset(0), "{index}");
    }
    cluster.stop().await;
}

async fn latest(cluster: &Cluster, id: TopicIdPartition) -> Option<Offset> {
    let item = ListOffsetsItem {
        id,
        current_leader_epoch: None,
        spec: OffsetSpec::Latest,
        read_committed: false,
        any_replica: false,
    };
    cluster.router(1).list_offsets(vec![item]).await[0].offset
}

#[tokio::test]
async fn a_deleted_topic_leaves_the_disk() {
    let cluster = Cluster::start(2, 1).await;
    let topic = cluster.controller.create_topic("doomed", 3, &[1, 2], &[]);
    for index in 0..3 {
        cluster.produce_until_ok(1, partition(topic, index), "x").await;
    }
    cluster
        .controller
        .commit(vec![MetadataRecord::TopicRemoved(topic)]);
    for broker in [1, 2] {
        until("the directories to go", || async {
            partition_dirs(&cluster.disk(broker)) == 0
        })
        .await;
    }
    // A topic of the same name is another topic.
    let again = cluster.controller.create_topic("doomed", 1, &[1, 2], &[]);
    assert_eq!(cluster.produce_until_ok(1, partition(again, 0), "y").await.0, 0);
    cluster.stop().await;
}

#[tokio::test]
async fn coordinators_hear_of_internal_partitions() {
    let cluster = Cluster::start(2, 2).await;
    let mut events = cluster.router(1).leadership_events();
    let topic = cluster
        .controller
        .create_topic("__consumer_offsets", 2, &[1, 2], &[]);
    let mut led = std::collections::BTreeSet::new();
    while led.len() < 2 {
        let event = events.recv().await.unwrap();
        assert!(matches!(event.role, ReplicaRole::Leader(_)), "{event:?}");
        led.insert(event.id);
    }
    cluster.controller.elect(partition(topic, 0), 2);
    let event = events.recv().await.unwrap();
    assert_eq!(
        (event.id, event.role),
        (partition(topic, 0), ReplicaRole::Follower)
    );
    cluster.stop().await;
}

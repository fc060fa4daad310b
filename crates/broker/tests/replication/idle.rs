//! What is not used costs nothing; what is deleted goes.

use crate::cluster::{Cluster, partition, partition_dirs, until};
use milena_broker::shard::ReplicaRole;
use milena_metadata::record::MetadataRecord;

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
    // Streams (2 lanes x 2 threads x 6 directions at most), files of one partition on three brokers, and other tests.
    let grown = descriptors().saturating_sub(before);
    assert!(grown < 1000, "{grown} descriptors for 2000 idle partitions");
    cluster.stop().await;
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

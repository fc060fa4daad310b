//! A disk that does not come back from a flush, or from a write: whoever else is in sync goes on.

use crate::cluster::*;
use crate::opened_files::OpensFiles as _;
use crate::slow_fs::SlowFs;
use milena_broker::config::ReplicaConfig;
use milena_types::{Acks, BrokerId, ErrorCode, TopicIdPartition};
use std::time::Duration;

/// Two brokers that give a flush 600 ms and never put anybody out of an ISR for lagging; broker 1 leads.
async fn two_on_slow_disks() -> (Cluster, SlowFs, TopicIdPartition) {
    let replica = ReplicaConfig {
        flush_stall: Duration::from_millis(600),
        lag_time_max: Duration::from_secs(3_600),
        ..ReplicaConfig::default()
    };
    let fs = SlowFs::default();
    let cluster = Cluster::start_on(2, 1, replica, fs.env()).await;
    let configs = [("min.insync.replicas", "1")];
    let id = partition(cluster.controller.create_topic("t", 1, &[1, 2], &configs), 0);
    cluster.produce_until_ok(1, id, "before").await;
    cluster.wait_isr(id, &[1, 2]).await;
    (cluster, fs, id)
}

#[tokio::test]
async fn a_leader_whose_flush_does_not_come_back_gives_way_and_comes_back_with_it() {
    let (cluster, fs, id) = two_on_slow_disks().await;
    fs.hold(Some(cluster.disk(1)));
    let stuck = produce_within(cluster.router(1), id, Acks::All, "stuck", Duration::from_secs(20));
    let (stuck, ()) = tokio::join!(stuck, async {
        until("another leader", async || {
            cluster.controller.partition(id).leader == Some(BrokerId(2))
        })
        .await;
    });
    assert_eq!(
        stuck.error,
        ErrorCode::NotLeaderOrFollower,
        "it was not acknowledged"
    );
    cluster.produce_until_ok(2, id, "after").await;
    assert_eq!(cluster.controller.partition(id).isr, [BrokerId(2)]);
    fs.hold(None);
    cluster.wait_isr(id, &[1, 2]).await;
    assert!(cluster.controller.partition(id).offline.is_empty());
    assert_eq!(cluster.segments(1, "t", 0), cluster.segments(2, "t", 0));
    cluster.stop().await;
}

#[tokio::test]
async fn a_follower_whose_flush_does_not_come_back_is_not_waited_for() {
    let (cluster, fs, id) = two_on_slow_disks().await;
    fs.hold(Some(cluster.disk(2)));
    let acked = produce_within(
        cluster.router(1),
        id,
        Acks::All,
        "held back",
        Duration::from_secs(20),
    )
    .await;
    assert_eq!(acked.error, ErrorCode::None);
    assert_eq!(cluster.controller.partition(id).isr, [BrokerId(1)]);
    fs.hold(None);
    cluster.wait_isr(id, &[1, 2]).await;
    cluster.stop().await;
}

#[tokio::test]
async fn a_leader_that_is_alone_waits_for_its_disk() {
    let (cluster, fs, id) = two_on_slow_disks().await;
    cluster.controller.fence(BrokerId(2));
    cluster.wait_isr(id, &[1]).await;
    fs.hold(Some(cluster.disk(1)));
    let stuck = produce_within(cluster.router(1), id, Acks::All, "stuck", Duration::from_secs(2)).await;
    assert_eq!(stuck.error, ErrorCode::RequestTimedOut);
    let state = cluster.controller.partition(id);
    assert_eq!((state.leader, state.isr), (Some(BrokerId(1)), vec![BrokerId(1)]));
    fs.hold(None);
    cluster.produce_until_ok(1, id, "after").await;
    cluster.stop().await;
}

/// Nothing on that thread can tell of it.
#[tokio::test]
async fn a_data_thread_that_does_not_come_back_from_a_write_is_noticed() {
    let (cluster, fs, id) = two_on_slow_disks().await;
    let (told, mut changes) = tokio::sync::mpsc::unbounded_channel();
    let router = cluster.router(1).clone();
    let watching = tokio::spawn(async move {
        let changed = |stuck| told.send(stuck).unwrap();
        router.watch_turns(Duration::from_millis(600), changed).await;
    });
    fs.hang(&cluster.disk(1));
    let stuck = produce_within(cluster.router(1), id, Acks::All, "stuck", Duration::from_secs(20));
    let (stuck, ()) = tokio::join!(stuck, async {
        assert_eq!(changes.recv().await, Some(true));
        fs.hold(None);
    });
    assert_eq!(
        stuck.error,
        ErrorCode::None,
        "nothing has failed, and nobody was elected here"
    );
    assert_eq!(changes.recv().await, Some(false));
    watching.abort();
    cluster.stop().await;
}

//! Leaders that change: nothing acknowledged is lost, what was not is truncated.

use crate::cluster::{Cluster, partition, produce, read_all, until};
use milena_types::{Acks, BrokerId, ErrorCode, Offset};
use std::time::Duration;

#[tokio::test]
async fn another_replica_leads_on_with_all_that_was_acknowledged() {
    let mut cluster = Cluster::start(3, 2).await;
    let topic = cluster
        .controller
        .create_topic("moves", 4, &[1, 2, 3], &[("min.insync.replicas", "2")]);
    let ids: Vec<_> = (0..4).map(|index| partition(topic, index)).collect();
    for id in &ids {
        for value in 0..20 {
            cluster.produce_until_ok(1, *id, &value.to_string()).await;
        }
    }
    cluster.stop_node(1).await;
    cluster.controller.fence(BrokerId(1));
    for id in &ids {
        assert_eq!(cluster.produce_until_ok(2, *id, "20").await, Offset(20));
        let got = read_all(cluster.router(2), *id).await;
        assert_eq!(got, (0..=20).map(|v| v.to_string()).collect::<Vec<_>>());
    }
    cluster.start_node(1).await;
    for (index, id) in ids.iter().enumerate() {
        cluster.wait_isr(*id, &[1, 2, 3]).await;
        cluster.produce_until_ok(2, *id, "21").await;
        let index = i32::try_from(index).unwrap();
        assert_eq!(
            cluster.segment(1, "moves", index),
            cluster.segment(2, "moves", index)
        );
    }
    cluster.stop().await;
}

#[tokio::test]
async fn a_former_leader_drops_what_was_never_committed() {
    let mut cluster = Cluster::start(3, 1).await;
    let id = partition(cluster.controller.create_topic("diverge", 1, &[1, 2, 3], &[]), 0);
    for value in ["a", "b"] {
        cluster.produce_until_ok(1, id, value).await;
    }
    // The followers are gone: what the leader still takes exists only there.
    cluster.stop_node(2).await;
    cluster.stop_node(3).await;
    for value in ["lost-1", "lost-2", "lost-3"] {
        assert_eq!(
            produce(cluster.router(1), id, Acks::Leader, value).await.error,
            ErrorCode::None
        );
    }
    cluster.stop_node(1).await;
    cluster.start_node(2).await;
    cluster.start_node(3).await;
    cluster.controller.fence(BrokerId(1));
    for value in ["c", "d"] {
        cluster.produce_until_ok(2, id, value).await;
    }
    cluster.start_node(1).await;
    cluster.wait_isr(id, &[1, 2, 3]).await;
    cluster.produce_until_ok(2, id, "e").await;
    assert_eq!(cluster.segment(1, "diverge", 0), cluster.segment(2, "diverge", 0));
    cluster.controller.elect(id, 1);
    cluster.produce_until_ok(1, id, "f").await;
    let got = read_all(cluster.router(1), id).await;
    assert_eq!(got, ["a", "b", "c", "d", "e", "f"]);
    cluster.stop().await;
}

#[tokio::test]
async fn leaders_that_never_wrote_leave_no_trace() {
    // Every election notes an epoch that may never get a record; followers must get past such epochs.
    let cluster = Cluster::start(3, 1).await;
    let id = partition(cluster.controller.create_topic("quick", 1, &[1, 2, 3], &[]), 0);
    cluster.produce_until_ok(1, id, "a").await;
    for leader in [2, 3, 1, 3, 2, 1, 2] {
        cluster.controller.elect(id, leader);
    }
    cluster.produce_until_ok(2, id, "b").await;
    for leader in [3, 1] {
        cluster.controller.elect(id, leader);
        cluster.produce_until_ok(leader, id, "c").await;
    }
    for broker in [2, 3] {
        assert_eq!(
            cluster.segment(1, "quick", 0),
            cluster.segment(broker, "quick", 0)
        );
    }
    cluster.stop().await;
}

#[tokio::test]
async fn waiting_producers_are_told_when_leadership_goes() {
    let mut cluster = Cluster::start(2, 1).await;
    let id = partition(
        cluster
            .controller
            .create_topic("told", 1, &[1, 2], &[("min.insync.replicas", "2")]),
        0,
    );
    cluster.produce_until_ok(1, id, "a").await;
    cluster.stop_node(2).await;
    let router = cluster.router(1).clone();
    let waiting = tokio::spawn(async move { produce(&router, id, Acks::All, "b").await });
    until("the append", || async {
        let read = cluster.router(1).read_internal(id, Offset(0), 1000).await;
        read.is_ok_and(|read| read.log_end == Offset(2))
    })
    .await;
    cluster.controller.elect(id, 2);
    let result = tokio::time::timeout(Duration::from_secs(10), waiting)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(result.error, ErrorCode::NotLeaderOrFollower);
    cluster.stop().await;
}

#[tokio::test]
async fn logs_survive_a_restart_of_everybody() {
    let mut cluster = Cluster::start(3, 2).await;
    let topic = cluster.controller.create_topic("restart", 3, &[1, 2, 3], &[]);
    for index in 0..3 {
        for value in 0..10 {
            cluster
                .produce_until_ok(1, partition(topic, index), &value.to_string())
                .await;
        }
    }
    for id in [1, 2, 3] {
        cluster.stop_node(id).await;
    }
    for id in [1, 2, 3] {
        cluster.start_node(id).await;
    }
    for index in 0..3 {
        assert_eq!(
            cluster.produce_until_ok(1, partition(topic, index), "10").await,
            Offset(10)
        );
        let got = read_all(cluster.router(1), partition(topic, index)).await;
        assert_eq!(got, (0..=10).map(|v| v.to_string()).collect::<Vec<_>>());
    }
    cluster.stop().await;
}

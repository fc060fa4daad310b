//! Produce on one broker and on three.

use crate::cluster::{Cluster, fetch, partition, produce, produce_within, until, values};
use milena_types::{Acks, ErrorCode, Offset};
use std::time::Duration;

#[tokio::test]
async fn one_broker_acknowledges_and_serves_what_it_took() {
    let cluster = Cluster::start(1, 2).await;
    let topic = cluster.controller.create_topic("solo", 4, &[1], &[]);
    for index in 0..4 {
        let id = partition(topic, index);
        for acks in [Acks::All, Acks::Leader, Acks::None, Acks::All] {
            let result = produce(cluster.router(1), id, acks, &format!("{acks:?}")).await;
            assert_eq!(result.error, ErrorCode::None, "{result:?}");
        }
        let read = fetch(cluster.router(1), id, 0).await;
        assert_eq!(read.high_watermark, Offset(4));
        let got: Vec<String> = values(&read.records)
            .into_iter()
            .map(|(_, value)| value)
            .collect();
        assert_eq!(got, ["All", "Leader", "None", "All"]);
    }
    cluster.stop().await;
}

#[tokio::test]
async fn an_acknowledged_record_is_on_every_replica() {
    let cluster = Cluster::start(3, 1).await;
    let topic = cluster
        .controller
        .create_topic("three", 1, &[1, 2, 3], &[("min.insync.replicas", "2")]);
    let id = partition(topic, 0);
    for value in 0..50 {
        let offset = cluster.produce_until_ok(1, id, &value.to_string()).await;
        assert_eq!(offset, Offset(value));
    }
    let leader = cluster.segment(1, "three", 0);
    assert!(!leader.is_empty());
    assert_eq!(leader, cluster.segment(2, "three", 0));
    assert_eq!(leader, cluster.segment(3, "three", 0));
    cluster.stop().await;
}

#[tokio::test]
async fn threads_that_do_not_own_a_partition_pass_its_requests_and_streams_on() {
    let cluster = Cluster::start(3, 3).await;
    let topic = cluster.controller.create_topic("spread", 12, &[2, 3, 1], &[]);
    for round in 0..5 {
        for index in 0..12 {
            let id = partition(topic, index);
            assert_eq!(cluster.produce_until_ok(2, id, "x").await, Offset(round));
        }
    }
    for index in 0..12 {
        let leader = cluster.segment(2, "spread", index);
        assert_eq!(leader, cluster.segment(1, "spread", index), "partition {index}");
        assert_eq!(leader, cluster.segment(3, "spread", index), "partition {index}");
    }
    cluster.stop().await;
}

#[tokio::test]
async fn requests_for_what_is_not_here_are_refused() {
    let cluster = Cluster::start(2, 2).await;
    let topic = cluster.controller.create_topic("here", 1, &[1, 2], &[]);
    let id = partition(topic, 0);
    cluster.produce_until_ok(1, id, "a").await;
    until("the follower to know its role", || async {
        produce(cluster.router(2), id, Acks::All, "b")
            .await
            .current_leader
            .is_some()
    })
    .await;
    let wrong_broker = produce(cluster.router(2), id, Acks::All, "b").await;
    assert_eq!(wrong_broker.error, ErrorCode::NotLeaderOrFollower);
    assert_eq!(wrong_broker.current_leader.unwrap().0.0, 1);
    let no_partition = produce(cluster.router(1), partition(topic, 9), Acks::All, "b").await;
    assert_eq!(no_partition.error, ErrorCode::NotLeaderOrFollower);
    let no_topic = produce(
        cluster.router(1),
        partition(Default::default(), 0),
        Acks::All,
        "b",
    )
    .await;
    assert_eq!(no_topic.error, ErrorCode::NotLeaderOrFollower);
    assert_eq!(
        fetch(cluster.router(2), id, 0).await.error,
        ErrorCode::NotLeaderOrFollower
    );
    assert_eq!(
        fetch(cluster.router(1), id, 7).await.error,
        ErrorCode::OffsetOutOfRange
    );
    cluster.stop().await;
}

#[tokio::test]
async fn what_is_not_replicated_is_neither_acknowledged_nor_served() {
    let mut cluster = Cluster::start(2, 1).await;
    let topic = cluster
        .controller
        .create_topic("held", 1, &[1, 2], &[("min.insync.replicas", "2")]);
    let id = partition(topic, 0);
    cluster.produce_until_ok(1, id, "a").await;
    cluster.stop_node(2).await;
    let waited = produce_within(cluster.router(1), id, Acks::All, "b", Duration::from_millis(300)).await;
    assert_eq!(waited.error, ErrorCode::RequestTimedOut);
    let acks_one = produce(cluster.router(1), id, Acks::Leader, "c").await;
    assert_eq!(acks_one.base_offset, Some(Offset(2)));
    let read = fetch(cluster.router(1), id, 0).await;
    assert_eq!(values(&read.records), [(0, "a".to_owned())]);
    assert_eq!(fetch(cluster.router(1), id, 2).await.records.len(), 0);
    // Once the controller has shrunk the ISR below the minimum, nothing is even appended.
    cluster.controller.fence(milena_types::BrokerId(2));
    until("the leader to refuse", || async {
        let result = produce_within(cluster.router(1), id, Acks::All, "d", Duration::from_millis(50)).await;
        result.error == ErrorCode::NotEnoughReplicas
    })
    .await;
    // The follower returns, and with it everything that was appended meanwhile.
    cluster.start_node(2).await;
    cluster.wait_isr(id, &[1, 2]).await;
    cluster.produce_until_ok(1, id, "e").await;
    assert_eq!(cluster.segment(1, "held", 0), cluster.segment(2, "held", 0));
    cluster.stop().await;
}

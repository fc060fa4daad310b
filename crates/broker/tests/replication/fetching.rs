//! Fetch and ListOffsets.

use crate::cluster::{Cluster, fetch, fetch_call, partition, produce, values};
use milena_broker::shard::{EpochEndItem, ListOffsetsItem, OffsetSpec};
use milena_types::{Acks, ErrorCode, LeaderEpoch, Offset, Timestamp};
use std::time::{Duration, Instant};

#[tokio::test]
async fn a_long_poll_ends_with_the_record_that_it_waits_for() {
    for threads in [1, 3] {
        let cluster = Cluster::start(1, threads).await;
        let topic = cluster.controller.create_topic("poll", 3, &[1], &[]);
        for index in 0..3 {
            let id = partition(topic, index);
            cluster.produce_until_ok(1, id, "first").await;
            let router = cluster.router(1).clone();
            let poll = tokio::spawn(async move {
                router
                    .fetch(fetch_call(id, 1, Duration::from_secs(20)))
                    .await
                    .remove(0)
            });
            tokio::task::yield_now().await;
            produce(cluster.router(1), id, Acks::All, "second").await;
            let began = Instant::now();
            let result = poll.await.unwrap();
            assert_eq!(values(&result.records), [(1, "second".to_owned())]);
            assert!(
                began.elapsed() < Duration::from_secs(10),
                "it waited for its time-out"
            );
        }
        cluster.stop().await;
    }
}

#[tokio::test]
async fn a_poll_that_finds_nothing_ends_at_its_time() {
    let cluster = Cluster::start(1, 1).await;
    let id = partition(cluster.controller.create_topic("empty", 1, &[1], &[]), 0);
    cluster.produce_until_ok(1, id, "a").await;
    let began = Instant::now();
    let result = cluster
        .router(1)
        .fetch(fetch_call(id, 1, Duration::from_millis(200)))
        .await
        .remove(0);
    assert!(began.elapsed() >= Duration::from_millis(200));
    assert_eq!(
        (result.error, result.records.len(), result.high_watermark),
        (ErrorCode::None, 0, Offset(1))
    );
    cluster.stop().await;
}

#[tokio::test]
async fn budgets_hold_but_the_first_batch_always_comes() {
    let cluster = Cluster::start(1, 1).await;
    let topic = cluster.controller.create_topic("budget", 2, &[1], &[]);
    for index in 0..2 {
        for value in ["aaaa", "bbbb", "cccc"] {
            cluster.produce_until_ok(1, partition(topic, index), value).await;
        }
    }
    let mut call = fetch_call(partition(topic, 0), 0, Duration::ZERO);
    call.partitions
        .extend(fetch_call(partition(topic, 1), 0, Duration::ZERO).partitions);
    call.max_bytes = 1;
    let results = cluster.router(1).fetch(call).await;
    assert_eq!(values(&results[0].records), [(0, "aaaa".to_owned())]);
    assert!(results[1].records.is_empty());
    cluster.stop().await;
}

#[tokio::test]
async fn epochs_and_divergence_are_answered() {
    let cluster = Cluster::start(1, 1).await;
    let id = partition(cluster.controller.create_topic("epochs", 1, &[1], &[]), 0);
    cluster.produce_until_ok(1, id, "a").await;
    cluster.controller.elect(id, 1);
    cluster.produce_until_ok(1, id, "b").await;
    let with = |current: Option<i32>, last: Option<i32>, offset: i64| {
        let mut call = fetch_call(id, offset, Duration::ZERO);
        call.partitions[0].current_leader_epoch = current.map(LeaderEpoch);
        call.partitions[0].last_fetched_epoch = last.map(LeaderEpoch);
        async { cluster.router(1).fetch(call).await.remove(0) }
    };
    assert_eq!(with(Some(0), None, 0).await.error, ErrorCode::FencedLeaderEpoch);
    assert_eq!(with(Some(9), None, 0).await.error, ErrorCode::UnknownLeaderEpoch);
    assert_eq!(with(Some(1), Some(0), 1).await.diverging, None);
    // A client that has two records of epoch 0 has one that this log never had.
    assert_eq!(
        with(Some(1), Some(0), 2).await.diverging,
        Some((LeaderEpoch(0), Offset(1)))
    );
    let item = EpochEndItem {
        id,
        current_leader_epoch: None,
        leader_epoch: LeaderEpoch(0),
        any_replica: false,
    };
    let end = cluster
        .router(1)
        .offsets_for_leader_epoch(vec![item])
        .await
        .remove(0);
    assert_eq!(end.end, Some((LeaderEpoch(0), Offset(1))));
    cluster.stop().await;
}

#[tokio::test]
async fn offsets_are_found_by_name_and_time() {
    let cluster = Cluster::start(1, 1).await;
    let id = partition(cluster.controller.create_topic("offsets", 1, &[1], &[]), 0);
    for value in ["a", "b", "c"] {
        cluster.produce_until_ok(1, id, value).await;
    }
    let ask = |spec| {
        let item = ListOffsetsItem {
            id,
            current_leader_epoch: None,
            spec,
            read_committed: false,
            any_replica: false,
        };
        let router = cluster.router(1).clone();
        async move { router.list_offsets(vec![item]).await.remove(0) }
    };
    assert_eq!(ask(OffsetSpec::Earliest).await.offset, Some(Offset(0)));
    assert_eq!(ask(OffsetSpec::Latest).await.offset, Some(Offset(3)));
    assert_eq!(ask(OffsetSpec::At(Timestamp(0))).await.offset, Some(Offset(0)));
    assert_eq!(ask(OffsetSpec::At(Timestamp(i64::MAX))).await.offset, None);
    assert_eq!(fetch(cluster.router(1), id, 3).await.error, ErrorCode::None);
    cluster.stop().await;
}

#[tokio::test]
async fn closed_segments_are_read_whole_and_in_order() {
    let replica = milena_broker::config::ReplicaConfig {
        tail_ring_bytes: 1000,
        ..Default::default()
    };
    let cluster = Cluster::start_with(1, 2, replica).await;
    let topic = cluster
        .controller
        .create_topic("closed", 1, &[1], &[("internal.segment.bytes", "3000")]);
    let id = partition(topic, 0);
    for value in 0..300 {
        cluster.produce_until_ok(1, id, &value.to_string()).await;
    }
    for read_committed in [false, true] {
        let (mut offset, mut got) = (0, Vec::new());
        while offset < 300 {
            let call = milena_broker::shard::FetchCall {
                read_committed,
                ..fetch_call(id, offset, Duration::ZERO)
            };
            let result = cluster.router(1).fetch(call).await.remove(0);
            assert_eq!(
                (result.error, result.aborted.is_some()),
                (ErrorCode::None, read_committed)
            );
            let records = values(&result.records);
            offset = records.last().expect("at least one batch").0 + 1;
            got.extend(records.into_iter().map(|(_, value)| value));
        }
        assert_eq!(got, (0..300).map(|value| value.to_string()).collect::<Vec<_>>());
    }
    cluster.stop().await;
}

#[tokio::test]
async fn a_poll_for_much_waits_until_it_is_there() {
    let cluster = Cluster::start(1, 2).await;
    let id = partition(cluster.controller.create_topic("much", 1, &[1], &[]), 0);
    cluster.produce_until_ok(1, id, "first").await;
    let router = cluster.router(1).clone();
    let mut call = fetch_call(id, 0, Duration::from_secs(20));
    call.min_bytes = 200;
    let poll = tokio::spawn(async move { router.fetch(call).await.remove(0) });
    for value in ["second", "third", "fourth"] {
        tokio::task::yield_now().await;
        cluster.produce_until_ok(1, id, value).await;
    }
    let began = Instant::now();
    assert!(values(&poll.await.unwrap().records).len() >= 3);
    assert!(
        began.elapsed() < Duration::from_secs(10),
        "it waited for its time-out"
    );
    cluster.stop().await;
}

/// A tool asks a replica, not the leader.
#[tokio::test]
async fn any_replica_answers_a_tool_for_its_own_log() {
    let cluster = Cluster::start(2, 1).await;
    let id = partition(cluster.controller.create_topic("t", 1, &[1, 2], &[]), 0);
    for value in ["a", "b", "c"] {
        cluster.produce_until_ok(1, id, value).await;
    }
    cluster.wait_isr(id, &[1, 2]).await;
    let item = |spec, any_replica| ListOffsetsItem {
        id,
        current_leader_epoch: None,
        spec,
        read_committed: false,
        any_replica,
    };
    let cluster = &cluster;
    let list = |item| async move { cluster.router(2).list_offsets(vec![item]).await.remove(0) };
    assert_eq!(
        list(item(OffsetSpec::Latest, false)).await.error,
        ErrorCode::NotLeaderOrFollower
    );
    assert_eq!(list(item(OffsetSpec::Latest, true)).await.offset, Some(Offset(3)));
    assert_eq!(
        list(item(OffsetSpec::Earliest, true)).await.offset,
        Some(Offset(0))
    );
    let end = |leader_epoch, any_replica| async move {
        let item = EpochEndItem {
            id,
            current_leader_epoch: None,
            leader_epoch: LeaderEpoch(leader_epoch),
            any_replica,
        };
        let found = cluster
            .router(2)
            .offsets_for_leader_epoch(vec![item])
            .await
            .remove(0);
        (found.error, found.end)
    };
    assert_eq!(end(0, false).await, (ErrorCode::NotLeaderOrFollower, None));
    let newest = Some((LeaderEpoch(0), Offset(3)));
    assert_eq!(end(0, true).await, (ErrorCode::None, newest));
    assert_eq!(end(i32::MAX, true).await, (ErrorCode::None, newest), "its newest");
}

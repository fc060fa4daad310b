//! Followers that leave, return, and are far behind.

use crate::cluster::{Cluster, partition, produce, produce_batch, produce_within, read_all, until, values};
use milena_broker::config::ReplicaConfig;
use milena_record::BatchBuilder;
use milena_types::{Acks, BrokerId, ErrorCode, Offset, Timestamp};
use std::time::Duration;

#[tokio::test]
async fn a_follower_that_was_away_catches_up_and_joins() {
    // A ring that holds almost nothing: what the follower missed must come from the log.
    let replica = ReplicaConfig {
        tail_ring_bytes: 1000,
        ..ReplicaConfig::default()
    };
    let mut cluster = Cluster::start_with(3, 2, replica).await;
    let topic = cluster
        .controller
        .create_topic("away", 6, &[1, 2, 3], &[("internal.segment.bytes", "4000")]);
    let ids: Vec<_> = (0..6).map(|index| partition(topic, index)).collect();
    for id in &ids {
        cluster.produce_until_ok(1, *id, "before").await;
    }
    cluster.stop_node(3).await;
    cluster.controller.fence(BrokerId(3));
    for id in &ids {
        for _ in 0..200 {
            cluster
                .produce_until_ok(1, *id, &"while it was away ".repeat(10))
                .await;
        }
    }
    cluster.start_node(3).await;
    for (index, id) in ids.iter().enumerate() {
        cluster.wait_isr(*id, &[1, 2, 3]).await;
        cluster.produce_until_ok(1, *id, "after").await;
        let index = i32::try_from(index).unwrap();
        assert_eq!(
            cluster.segments(1, "away", index),
            cluster.segments(3, "away", index),
            "partition {index}"
        );
    }
    cluster.stop().await;
}

#[tokio::test]
async fn a_follower_that_hangs_leaves_the_isr_after_the_lag_limit() {
    let replica = ReplicaConfig {
        lag_time_max: Duration::from_millis(600),
        ..ReplicaConfig::default()
    };
    let mut cluster = Cluster::start_with(2, 1, replica).await;
    let id = partition(cluster.controller.create_topic("hang", 1, &[1, 2], &[]), 0);
    cluster.produce_until_ok(1, id, "a").await;
    // Gone, but the controller does not know: only the leader can tell.
    cluster.stop_node(2).await;
    let result = produce(cluster.router(1), id, Acks::All, "b").await;
    assert_eq!(
        (result.error, result.base_offset),
        (ErrorCode::None, Some(Offset(1)))
    );
    cluster.wait_isr(id, &[1]).await;
    assert!(
        cluster.controller.lost().contains(&(BrokerId(1), BrokerId(2))),
        "the broken stream was not reported"
    );
    cluster.stop().await;
}

#[tokio::test]
async fn a_refused_isr_change_is_asked_for_again() {
    let replica = ReplicaConfig {
        lag_time_max: Duration::from_millis(300),
        ..ReplicaConfig::default()
    };
    let mut cluster = Cluster::start_with(2, 1, replica).await;
    let id = partition(cluster.controller.create_topic("refused", 1, &[1, 2], &[]), 0);
    cluster.produce_until_ok(1, id, "a").await;
    cluster.controller.refuse_isr(Some(ErrorCode::RequestTimedOut));
    cluster.stop_node(2).await;
    let router = cluster.router(1).clone();
    let pending = tokio::spawn(async move { produce(&router, id, Acks::All, "b").await });
    until("the leader to ask again", || async {
        cluster.controller.refused() >= 2
    })
    .await;
    assert!(
        !pending.is_finished(),
        "the high watermark must not move while the committed ISR holds the follower"
    );
    cluster.controller.refuse_isr(None);
    assert_eq!(pending.await.unwrap().error, ErrorCode::None);
    cluster.wait_isr(id, &[1]).await;
    cluster.stop().await;
}

/// A follower that has nothing is sent the whole batch in which the leader's log starts.
#[tokio::test]
async fn a_follower_catches_up_with_a_log_that_starts_inside_a_batch() {
    for empty in [true, false] {
        let mut cluster = Cluster::start(2, 1).await;
        let id = partition(cluster.controller.create_topic("inside", 1, &[1, 2], &[]), 0);
        if !empty {
            cluster.produce_until_ok(1, id, "before").await;
        }
        cluster.stop_node(2).await;
        cluster.controller.fence(BrokerId(2));
        for _ in 0..3 {
            let mut builder = BatchBuilder::plain(Offset(0));
            for i in 0..10 {
                builder.append(Timestamp(i), None, Some(b"inside"), &[]);
            }
            let done = produce_batch(
                cluster.router(1),
                id,
                Acks::All,
                builder.build(),
                Duration::from_secs(20),
            )
            .await;
            assert_eq!(done.error, ErrorCode::None);
        }
        let item = milena_broker::shard::DeleteRecordsItem {
            id,
            before: Some(Offset(15)),
        };
        let deleted = cluster
            .router(1)
            .delete_records(vec![item], Duration::from_secs(20))
            .await;
        assert_eq!(deleted[0].error, ErrorCode::None);
        cluster.start_node(2).await;
        cluster.wait_isr(id, &[1, 2]).await;
        let last = cluster.produce_until_ok(1, id, "after").await;
        cluster.controller.elect(id, 2);
        until("the former follower to lead, and to show everything", || async {
            let read = crate::cluster::fetch(cluster.router(2), id, 15).await;
            read.error == ErrorCode::None && read.high_watermark > last
        })
        .await;
        assert_eq!(
            crate::cluster::fetch(cluster.router(2), id, 14).await.error,
            ErrorCode::OffsetOutOfRange
        );
        let mut at = 15;
        while at <= last.0 {
            let read = crate::cluster::fetch(cluster.router(2), id, at).await;
            assert_eq!(read.error, ErrorCode::None, "at {at}");
            let before = at;
            for (offset, value) in values(&read.records) {
                if offset >= at {
                    let expected = if offset == last.0 { "after" } else { "inside" };
                    assert_eq!((offset, value.as_str()), (at, expected));
                    at += 1;
                }
            }
            assert!(at > before, "nothing at {at}");
        }
        cluster.stop().await;
    }
}

#[tokio::test]
async fn a_moved_log_start_reaches_the_followers() {
    let cluster = Cluster::start(2, 1).await;
    let id = partition(cluster.controller.create_topic("deleted", 1, &[1, 2], &[]), 0);
    for _ in 0..5 {
        cluster.produce_until_ok(1, id, "a").await;
    }
    let item = milena_broker::shard::DeleteRecordsItem {
        id,
        before: Some(Offset(3)),
    };
    let result = cluster
        .router(1)
        .delete_records(vec![item], Duration::from_secs(20))
        .await
        .remove(0);
    assert_eq!((result.error, result.low_watermark), (ErrorCode::None, Offset(3)));
    let too_far = milena_broker::shard::DeleteRecordsItem {
        id,
        before: Some(Offset(30)),
    };
    let result = cluster
        .router(1)
        .delete_records(vec![too_far], Duration::from_secs(20))
        .await
        .remove(0);
    assert_eq!(result.error, ErrorCode::OffsetOutOfRange);
    until("the read below the log start to fail", || async {
        crate::cluster::fetch(cluster.router(1), id, 2).await.error == ErrorCode::OffsetOutOfRange
    })
    .await;
    cluster.stop().await;
}

/// Who may have been deposed without having heard of it acknowledges only what others, who would have heard, have taken too.
#[tokio::test]
async fn a_leader_without_its_controller_acknowledges_nothing_alone() {
    let cluster = Cluster::start(2, 1).await;
    let both = partition(cluster.controller.create_topic("both", 1, &[1, 2], &[]), 0);
    let alone = partition(cluster.controller.create_topic("alone", 1, &[1], &[]), 0);
    for id in [both, alone] {
        cluster.produce_until_ok(1, id, "before").await;
    }
    cluster.wait_isr(both, &[1, 2]).await;
    cluster.controller.cut_off(1, true);
    for id in [both, alone] {
        let refused = produce(cluster.router(1), id, Acks::Leader, "lost").await;
        assert_eq!(refused.error, ErrorCode::NotLeaderOrFollower);
    }
    let taken = produce(cluster.router(1), both, Acks::All, "taken").await;
    assert_eq!(taken.error, ErrorCode::None);
    let wait = Duration::from_millis(300);
    let waiting = produce_within(cluster.router(1), alone, Acks::All, "waiting", wait).await;
    assert_eq!(waiting.error, ErrorCode::RequestTimedOut);
    let seen = read_all(cluster.router(1), alone).await;
    assert_eq!(seen, ["before"], "what is not committed is not shown");
    cluster.controller.cut_off(1, false);
    until("what waited to be committed", || async {
        read_all(cluster.router(1), alone).await == ["before", "waiting"]
    })
    .await;
    assert_eq!(read_all(cluster.router(1), both).await, ["before", "taken"]);
    for id in [both, alone] {
        let again = produce(cluster.router(1), id, Acks::Leader, "again").await;
        assert_eq!(again.error, ErrorCode::None);
    }
    cluster.stop().await;
}

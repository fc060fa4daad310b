//! KIP-392: consumers in another rack than the leader's read from a follower in theirs.

use crate::cluster::*;
use milena_broker::config::{ReplicaConfig, ReplicaSelector};
use milena_broker::shard::{FetchCall, FetchPartitionResult, Reader};
use milena_types::{BrokerId, ErrorCode, LeaderEpoch, Offset, TopicIdPartition};
use std::time::Duration;

fn rack_aware() -> ReplicaConfig {
    ReplicaConfig {
        selector: ReplicaSelector::RackAware,
        ..ReplicaConfig::default()
    }
}

fn reader(rack: Option<&str>) -> Reader {
    Reader {
        rack: rack.map(Into::into),
        listener: "PLAINTEXT".into(),
    }
}

async fn read(
    cluster: &Cluster,
    broker: i32,
    id: TopicIdPartition,
    offset: i64,
    reader: Option<Reader>,
) -> FetchPartitionResult {
    let call = FetchCall {
        reader,
        ..fetch_call(id, offset, Duration::ZERO)
    };
    cluster.router(broker).fetch(call).await.remove(0)
}

#[tokio::test]
async fn a_leader_sends_consumers_to_the_follower_in_their_rack() {
    let mut cluster = Cluster::start_with(3, 1, rack_aware()).await;
    let id = partition(cluster.controller.create_topic("t", 1, &[1, 2, 3], &[]), 0);
    cluster.produce_until_ok(1, id, "a").await;
    cluster.wait_isr(id, &[1, 2, 3]).await;
    // Without a wait, though there is nothing to read at the end.
    for (offset, wait) in [(0, Duration::ZERO), (1, Duration::from_secs(60))] {
        let call = FetchCall {
            reader: Some(reader(Some("r2"))),
            ..fetch_call(id, offset, wait)
        };
        let sent = tokio::time::timeout(Duration::from_secs(20), cluster.router(1).fetch(call)).await;
        let sent = sent.expect("at once").remove(0);
        assert_eq!(
            (sent.error, sent.preferred_read_replica),
            (ErrorCode::None, Some(BrokerId(2)))
        );
        assert!(sent.records.is_empty());
        assert_eq!(
            (sent.high_watermark, sent.log_start_offset),
            (Offset(1), Offset(0))
        );
    }
    let elsewhere = Reader {
        listener: "OTHER".into(),
        ..reader(Some("r2"))
    };
    let stays = [
        Some(reader(Some("r1"))),
        Some(reader(Some("nowhere"))),
        Some(reader(None)),
        Some(elsewhere),
        None,
    ];
    for reader in stays {
        let served = read(&cluster, 1, id, 0, reader.clone()).await;
        assert_eq!(served.preferred_read_replica, None, "{reader:?}");
        assert_eq!(values(&served.records).len(), 1, "{reader:?}");
    }
    let beyond = read(&cluster, 1, id, 2, Some(reader(Some("r2")))).await;
    assert_eq!(
        (beyond.error, beyond.preferred_read_replica),
        (ErrorCode::OffsetOutOfRange, None)
    );
    // Nobody is sent to a replica that is gone.
    cluster.stop_node(2).await;
    cluster.controller.lose(BrokerId(2));
    until("the leader to keep them", || async {
        let served = read(&cluster, 1, id, 0, Some(reader(Some("r2")))).await;
        served.preferred_read_replica.is_none() && !served.records.is_empty()
    })
    .await;
    cluster.stop().await;
}

#[tokio::test]
async fn without_the_selector_everybody_stays_with_the_leader() {
    let cluster = Cluster::start(2, 1).await;
    let id = partition(cluster.controller.create_topic("t", 1, &[1, 2], &[]), 0);
    cluster.produce_until_ok(1, id, "a").await;
    cluster.wait_isr(id, &[1, 2]).await;
    let served = read(&cluster, 1, id, 0, Some(reader(Some("r2")))).await;
    assert_eq!(
        (served.preferred_read_replica, values(&served.records).len()),
        (None, 1)
    );
    cluster.stop().await;
}

#[tokio::test]
async fn a_follower_serves_what_it_knows_to_be_committed() {
    let cluster = Cluster::start(2, 1).await;
    let id = partition(cluster.controller.create_topic("t", 1, &[1, 2], &[]), 0);
    cluster.produce_until_ok(1, id, "a").await;
    cluster.wait_isr(id, &[1, 2]).await;
    until("the follower to know that it is committed", || async {
        let served = read(&cluster, 2, id, 0, Some(reader(None))).await;
        assert_eq!(served.error, ErrorCode::None);
        values(&served.records) == [(0, "a".to_owned())] && served.high_watermark == Offset(1)
    })
    .await;
    // A client from before version 11 does not know that it may be at a follower.
    let refused = read(&cluster, 2, id, 0, None).await;
    assert_eq!(refused.error, ErrorCode::NotLeaderOrFollower);
    assert_eq!(refused.current_leader, Some((BrokerId(1), LeaderEpoch(0))));
    let beyond = read(&cluster, 2, id, 2, Some(reader(None))).await;
    assert_eq!(beyond.error, ErrorCode::OffsetOutOfRange);
    let mut call = fetch_call(id, 1, Duration::ZERO);
    call.partitions[0].current_leader_epoch = Some(LeaderEpoch(7));
    call.reader = Some(reader(None));
    let epoch = cluster.router(2).fetch(call).await.remove(0);
    assert_eq!(epoch.error, ErrorCode::UnknownLeaderEpoch);
    // A poll waits at the follower until more is committed.
    let router = cluster.router(2).clone();
    let call = FetchCall {
        reader: Some(reader(None)),
        ..fetch_call(id, 1, Duration::from_secs(60))
    };
    let poll = tokio::spawn(async move { router.fetch(call).await.remove(0) });
    tokio::task::yield_now().await;
    cluster.produce_until_ok(1, id, "b").await;
    let served = tokio::time::timeout(Duration::from_secs(20), poll).await;
    assert_eq!(
        values(&served.expect("in time").unwrap().records),
        [(1, "b".to_owned())]
    );
    cluster.stop().await;
}

//! The coordinator moves, loads, and does not know what became of an append.

use super::fake::*;
use crate::coordinator::ListRequest;
use crate::shard::api::ReplicaRole;
use milena_record::control::ControlRecord;
use milena_record::{BatchBuilder, Compression, TimestampType};
use milena_types::{ErrorCode, LeaderEpoch, Offset, ProducerEpoch, ProducerId, Timestamp};
use std::time::Duration;

#[tokio::test(start_paused = true)]
async fn a_broker_that_does_not_lead_says_so() {
    let broker = Broker::start(&FakeLog::new());
    assert_eq!(
        broker.groups.fetch(fetch_request()).await.error,
        ErrorCode::NotCoordinator
    );
    assert_eq!(broker.commit(1).await, ErrorCode::NotCoordinator);
    assert_eq!(
        broker.groups.join(join_request("")).await.error,
        ErrorCode::NotCoordinator
    );
    assert_eq!(
        broker.groups.heartbeat(heartbeat_request("m", 1)).await,
        ErrorCode::NotCoordinator
    );
    assert_eq!(
        broker.groups.list(ListRequest::default()).await.error,
        ErrorCode::None
    );
    broker.stop().await;
}

#[tokio::test(start_paused = true)]
async fn what_was_committed_is_found_by_the_next_coordinator() {
    let log = FakeLog::new();
    let first = Broker::leading(&log).await;
    assert_eq!(first.commit(5).await, ErrorCode::None);
    let groups = first.groups.clone();
    let parked = tokio::spawn(async move { groups.join(join_request("")).await });
    tokio::time::sleep(Duration::from_millis(1)).await;
    first.tell(ReplicaRole::Follower);
    assert_eq!(
        parked.await.unwrap().error,
        ErrorCode::NotCoordinator,
        "parked requests are sent away"
    );
    first.answers_fetch_with(ErrorCode::NotCoordinator).await;
    let second = Broker::leading(&log).await;
    assert_eq!(second.offset().await, Some(5));
    first.stop().await;
    second.stop().await;
}

#[tokio::test(start_paused = true)]
async fn while_loading_clients_wait_and_heartbeats_are_let_pass() {
    let log = FakeLog::new();
    log.write(BatchBuilder::single(Offset(0), b"x"));
    // The end of the log is not committed yet.
    log.set_high_watermark(Some(0));
    let broker = Broker::start(&log);
    broker.tell(ReplicaRole::Leader(LeaderEpoch(2)));
    broker
        .answers_fetch_with(ErrorCode::CoordinatorLoadInProgress)
        .await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    broker
        .answers_fetch_with(ErrorCode::CoordinatorLoadInProgress)
        .await;
    assert_eq!(
        broker.groups.heartbeat(heartbeat_request("m", 1)).await,
        ErrorCode::None
    );
    assert_eq!(
        broker.groups.list(ListRequest::default()).await.error,
        ErrorCode::CoordinatorLoadInProgress
    );
    log.set_high_watermark(None);
    broker.serves().await;
    broker.stop().await;
}

#[tokio::test(start_paused = true)]
async fn an_append_of_unknown_outcome_is_settled_by_the_log() {
    for error in [
        ErrorCode::NotEnoughReplicasAfterAppend,
        ErrorCode::RequestTimedOut,
        ErrorCode::UnknownServerError,
    ] {
        let log = FakeLog::new();
        let broker = Broker::leading(&log).await;
        assert_eq!(broker.commit(1).await, ErrorCode::None);
        log.set_fate(Fate::Unknown(error));
        assert_eq!(
            broker.commit(2).await,
            ErrorCode::CoordinatorNotAvailable,
            "{error}"
        );
        log.set_fate(Fate::Committed);
        broker.serves().await;
        assert_eq!(broker.offset().await, Some(2), "{error}: it was in the log");
        broker.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_lost_leadership_found_by_an_append_ends_the_shard() {
    let log = FakeLog::new();
    let broker = Broker::leading(&log).await;
    log.set_fate(Fate::Refused(ErrorCode::NotLeaderOrFollower));
    log.set_read_error(Some(ErrorCode::NotLeaderOrFollower));
    assert_ne!(broker.commit(1).await, ErrorCode::None);
    broker.answers_fetch_with(ErrorCode::NotCoordinator).await;
    // The news of the same old role changes nothing; a new election does.
    log.set_read_error(None);
    log.set_fate(Fate::Committed);
    broker.tell(ReplicaRole::Leader(LeaderEpoch(3)));
    broker.serves().await;
    broker.stop().await;
}

#[tokio::test(start_paused = true)]
async fn an_append_of_an_earlier_epoch_says_nothing_to_the_next() {
    let log = FakeLog::new();
    let broker = Broker::leading(&log).await;
    log.set_fate(Fate::Held);
    let groups = broker.groups.clone();
    let commit = tokio::spawn(async move { groups.commit(commit_request(4)).await });
    tokio::time::sleep(Duration::from_millis(1)).await;
    broker.tell(ReplicaRole::Leader(LeaderEpoch(2)));
    assert_eq!(
        commit.await.unwrap().topics[0].partitions[0].error,
        ErrorCode::NotCoordinator
    );
    broker.serves().await;
    log.set_fate(Fate::Committed);
    assert_eq!(broker.offset().await, Some(4), "the log had it");
    assert_eq!(broker.commit(5).await, ErrorCode::None);
    broker.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_log_that_cannot_be_read_is_tried_again() {
    let log = FakeLog::new();
    log.set_read_error(Some(ErrorCode::KafkaStorageError));
    let broker = Broker::start(&log);
    broker.tell(ReplicaRole::Leader(LeaderEpoch(1)));
    broker
        .answers_fetch_with(ErrorCode::CoordinatorLoadInProgress)
        .await;
    log.set_read_error(None);
    broker.serves().await;
    broker.stop().await;
}

#[tokio::test(start_paused = true)]
async fn strange_records_are_skipped_and_markers_are_followed() {
    let log = FakeLog::new();
    let first = Broker::leading(&log).await;
    first.commit(1).await;
    let mut strange = BatchBuilder::plain(Offset(0));
    for (key, value) in [
        (&b"\0\x03\0\x01g"[..], &b"x"[..]),
        (b"\0\x02\0\x01g", b"\0\x63"),
        (b"", b""),
    ] {
        strange.append(Timestamp(0), Some(key), Some(value), &[]);
    }
    log.write(strange.build());
    let transaction = |offset: i64| crate::coordinator::TxnCommitRequest {
        commit: commit_request(offset),
        producer_id: ProducerId(9),
        producer_epoch: ProducerEpoch(0),
    };
    first.groups.txn_commit(transaction(8)).await;
    let mut marker = BatchBuilder::new(
        Offset(0),
        Compression::None,
        TimestampType::CreateTime,
        Some((ProducerId(9), ProducerEpoch(0), -1)),
        true,
        true,
    );
    let (key, value) = (ControlRecord::Commit.encode_key(), ControlRecord::encode_value(0));
    marker.append(Timestamp(0), Some(&key), Some(&value), &[]);
    log.write(marker.build());
    let second = Broker::leading(&log).await;
    assert_eq!(second.offset().await, Some(8));
    first.stop().await;
    second.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_damaged_batch_is_not_loaded() {
    let log = FakeLog::new();
    let first = Broker::leading(&log).await;
    first.commit(1).await;
    let mut damaged = BatchBuilder::single(Offset(0), b"value");
    let last = damaged.len() - 1;
    damaged[last] ^= 1;
    log.write(damaged);
    let second = Broker::start(&log);
    second.tell(ReplicaRole::Leader(LeaderEpoch(2)));
    tokio::time::sleep(Duration::from_secs(20)).await;
    second
        .answers_fetch_with(ErrorCode::CoordinatorLoadInProgress)
        .await;
    first.stop().await;
    second.stop().await;
}

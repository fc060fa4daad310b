//! A coordinator that leads: requests, batching, timers, refusals.

use super::fake::*;
use crate::coordinator::{ListRequest, SyncRequest};
use milena_types::{ErrorCode, ProducerId};
use std::time::Duration;

#[tokio::test(start_paused = true)]
async fn a_whole_rebalance_runs_on_the_hosts_timers() {
    let broker = Broker::leading(&FakeLog::new()).await;
    let before = tokio::time::Instant::now();
    let joined = broker.groups.join(join_request("")).await;
    assert_eq!((joined.error, joined.generation_id), (ErrorCode::None, 1));
    assert!(
        before.elapsed() >= Duration::from_secs(3),
        "the initial delay: {:?}",
        before.elapsed()
    );
    let sync = SyncRequest {
        context: context(),
        group_id: "group".to_owned(),
        generation_id: 1,
        member_id: joined.member_id.clone(),
        assignments: vec![(joined.member_id.clone(), bytes::Bytes::from_static(b"all"))],
        ..SyncRequest::default()
    };
    let synced = broker.groups.sync(sync).await;
    assert_eq!(
        (synced.error, &synced.assignment[..]),
        (ErrorCode::None, &b"all"[..])
    );
    assert_eq!(
        broker
            .groups
            .heartbeat(heartbeat_request(&joined.member_id, 1))
            .await,
        ErrorCode::None
    );
    let listed = broker.groups.list(ListRequest::default()).await;
    assert_eq!(
        (listed.error, listed.groups.len(), listed.groups[0].state),
        (ErrorCode::None, 1, "Stable")
    );
    // Silence ends the session.
    tokio::time::sleep(Duration::from_secs(11)).await;
    let heartbeat = broker
        .groups
        .heartbeat(heartbeat_request(&joined.member_id, 1))
        .await;
    assert_eq!(heartbeat, ErrorCode::UnknownMemberId);
    broker.stop().await;
}

#[tokio::test(start_paused = true)]
async fn commits_that_arrive_during_an_append_make_one_batch() {
    let log = FakeLog::new();
    let broker = Broker::leading(&log).await;
    log.set_fate(Fate::Held);
    let commits: Vec<_> = (0..100)
        .map(|offset| {
            let groups = broker.groups.clone();
            tokio::spawn(async move { groups.commit(commit_request(offset)).await })
        })
        .collect();
    tokio::time::sleep(Duration::from_millis(1)).await;
    assert_eq!(log.appends(), 1);
    log.set_fate(Fate::Committed);
    for commit in commits {
        assert_eq!(
            commit.await.unwrap().topics[0].partitions[0].error,
            ErrorCode::None
        );
    }
    assert!(log.appends() <= 2, "{} appends", log.appends());
    assert_eq!(log.end(), 100);
    assert_eq!(broker.offset().await, Some(99));
    broker.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_refused_append_fails_its_commits_and_nothing_else() {
    let log = FakeLog::new();
    let broker = Broker::leading(&log).await;
    assert_eq!(broker.commit(1).await, ErrorCode::None);
    log.set_fate(Fate::Refused(ErrorCode::NotEnoughReplicas));
    assert_eq!(broker.commit(2).await, ErrorCode::CoordinatorNotAvailable);
    assert_eq!(broker.offset().await, Some(1));
    log.set_fate(Fate::Committed);
    assert_eq!(broker.commit(3).await, ErrorCode::None);
    assert_eq!(broker.offset().await, Some(3));
    broker.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_commit_that_takes_too_long_is_refused_and_counts_once_it_is_stored() {
    let log = FakeLog::new();
    let broker = Broker::leading(&log).await;
    assert_eq!(broker.commit(1).await, ErrorCode::None);
    log.set_fate(Fate::Held);
    let before = tokio::time::Instant::now();
    assert_eq!(broker.commit(2).await, ErrorCode::CoordinatorNotAvailable);
    assert_eq!(before.elapsed().as_secs(), 5, "offsets.commit.timeout.ms");
    assert_eq!(broker.offset().await, Some(1));
    log.set_fate(Fate::Committed);
    assert_eq!(broker.commit(3).await, ErrorCode::None);
    assert_eq!(broker.offset().await, Some(3));
    broker.stop().await;
}

#[tokio::test(start_paused = true)]
async fn markers_and_deleted_topics_reach_the_shards() {
    let log = FakeLog::new();
    let broker = Broker::leading(&log).await;
    let request = crate::coordinator::TxnCommitRequest {
        commit: commit_request(7),
        producer_id: ProducerId(5),
        producer_epoch: milena_types::ProducerEpoch(0),
    };
    assert_eq!(
        broker.groups.txn_commit(request).await.topics[0].partitions[0].error,
        ErrorCode::None
    );
    assert_eq!(broker.offset().await, None);
    broker
        .groups
        .transaction_ended(milena_types::PartitionIndex(0), ProducerId(5), true)
        .await;
    assert_eq!(broker.offset().await, Some(7));
    broker
        .groups
        .topics_deleted(vec![("topic".to_owned(), milena_types::TopicId::random())])
        .await;
    let forgotten = async {
        while broker.offset().await.is_some() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(5), forgotten)
        .await
        .unwrap();
    broker.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_stopped_coordinator_answers_too() {
    let broker = Broker::leading(&FakeLog::new()).await;
    let groups = broker.groups.clone();
    let parked = tokio::spawn({
        let groups = groups.clone();
        async move { groups.join(join_request("")).await }
    });
    tokio::time::sleep(Duration::from_millis(1)).await;
    broker.stop().await;
    assert_eq!(parked.await.unwrap().error, ErrorCode::NotCoordinator);
    assert_eq!(
        groups.fetch(fetch_request()).await.error,
        ErrorCode::CoordinatorNotAvailable
    );
    assert_eq!(
        groups.list(ListRequest::default()).await.error,
        ErrorCode::CoordinatorNotAvailable
    );
}

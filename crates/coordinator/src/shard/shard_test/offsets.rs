//! OffsetCommit and OffsetFetch: who may commit, what is read, and when.

use super::harness::*;
use crate::api::{CommitRequest, FetchRequest, FetchTopic, TxnCommitRequest};
use crate::{Reply, Request};
use milena_types::{ErrorCode, LeaderEpoch, Offset, PartitionIndex, ProducerEpoch, ProducerId, TopicId};

#[test]
fn commits_without_a_group_make_a_simple_group() {
    let mut bench = Bench::new();
    assert_eq!(bench.commit("", -1, 7), ErrorCode::None);
    assert_eq!(bench.offset(), Some(7));
    let group = bench.describe();
    assert_eq!((group.state, group.protocol_type.as_str()), ("Empty", ""));
    bench.reload();
    assert_eq!(bench.offset(), Some(7));
    assert_eq!(bench.commit("", -1, 3), ErrorCode::None, "offsets may go back");
    assert_eq!(bench.offset(), Some(3));
}

#[test]
fn commits_are_checked_against_the_group() {
    type Change = fn(&mut CommitRequest);
    let cases: [(&str, Change, ErrorCode); 8] = [
        ("a member", |_| (), ErrorCode::None),
        (
            "no member in a group with members",
            |r| {
                (r.member_id, r.generation_id) = (String::new(), -1);
            },
            ErrorCode::UnknownMemberId,
        ),
        (
            "a stranger",
            |r| r.member_id.push('x'),
            ErrorCode::UnknownMemberId,
        ),
        (
            "another generation",
            |r| r.generation_id = 9,
            ErrorCode::IllegalGeneration,
        ),
        (
            "a member without generation",
            |r| r.generation_id = -1,
            ErrorCode::IllegalGeneration,
        ),
        (
            "an unknown instance",
            |r| r.group_instance_id = Some("i".to_owned()),
            ErrorCode::UnknownMemberId,
        ),
        (
            "no such group, version 8",
            |r| r.group_id.push('x'),
            ErrorCode::IllegalGeneration,
        ),
        (
            "no such group, version 9",
            |r| {
                r.group_id.push('x');
                r.context.api_version = 9;
            },
            ErrorCode::GroupIdNotFound,
        ),
    ];
    for (what, change, error) in cases {
        let mut bench = Bench::new();
        let member = bench.one_stable_member();
        let mut request = commit_request(&member, 1, 5);
        change(&mut request);
        let ticket = bench.send_commit(request);
        assert_eq!(bench.committed(ticket), error, "{what}");
        assert_eq!(bench.offset(), (error == ErrorCode::None).then_some(5), "{what}");
    }
}

#[test]
fn commits_by_state_of_the_group() {
    let mut bench = Bench::new();
    let member = bench.one_stable_member();
    bench.send_join(at_version(join_request(""), 3));
    assert_eq!(
        bench.commit(&member, 1, 1),
        ErrorCode::None,
        "PreparingRebalance: what was consumed so far"
    );
    let ticket = bench.send_join(join_request(&member));
    bench.joined(ticket);
    assert_eq!(
        bench.commit(&member, 2, 2),
        ErrorCode::RebalanceInProgress,
        "CompletingRebalance"
    );
    assert_eq!(
        bench.commit(&member, 1, 2),
        ErrorCode::IllegalGeneration,
        "the generation before"
    );
    let mut bench = Bench::new();
    let member = bench.one_stable_member();
    bench.leave(&[(&member, None)]);
    assert_eq!(
        bench.commit(&member, 1, 1),
        ErrorCode::UnknownMemberId,
        "Empty, as a member"
    );
    assert_eq!(
        bench.commit("", -1, 1),
        ErrorCode::None,
        "Empty, as an administrator"
    );
}

#[test]
fn metadata_has_a_limit_in_characters() {
    let mut bench = Bench::new();
    let mut request = commit_request("", -1, 1);
    let mut second = request.topics[0].partitions[0].clone();
    second.partition = PartitionIndex(1);
    request.topics[0].partitions.push(second);
    request.topics[0].partitions[0].metadata = Some("é".repeat(4096));
    request.topics[0].partitions[1].metadata = Some("x".repeat(4097));
    let ticket = bench.send_commit(request);
    let Some(Reply::Commit(response)) = bench.answer(ticket) else {
        panic!("no answer")
    };
    let errors: Vec<_> = response.topics[0].partitions.iter().map(|p| p.error).collect();
    assert_eq!(errors, [ErrorCode::None, ErrorCode::OffsetMetadataTooLarge]);
    assert_eq!(bench.log.len(), 1, "the others are stored");
}

#[test]
fn a_commit_is_answered_and_seen_when_it_is_in_the_log() {
    let mut bench = Bench::new();
    bench.commit("", -1, 1);
    bench.is_held = true;
    let ticket = bench.send_commit(commit_request("", -1, 2));
    assert!(!bench.replies.contains_key(&ticket));
    assert_eq!(bench.offset(), Some(1), "only committed state is read");
    // A read that requires stable offsets waits for what was asked before it.
    let stable = bench.send_fetch(true);
    assert!(!bench.replies.contains_key(&stable));
    let later = bench.send_commit(commit_request("", -1, 3));
    bench.is_held = false;
    bench.flush();
    assert_eq!(bench.committed(ticket), ErrorCode::None);
    let read = bench.fetched(stable).topics[0].partitions[0].offset;
    assert_eq!(read, Some(Offset(2)), "and for nothing that was asked after it");
    assert_eq!(bench.committed(later), ErrorCode::None);
    assert_eq!(bench.offset(), Some(3));
}

#[test]
fn a_commit_that_fails_changes_nothing() {
    let cases = [
        (ErrorCode::NotEnoughReplicas, ErrorCode::CoordinatorNotAvailable),
        (
            ErrorCode::UnknownTopicOrPartition,
            ErrorCode::CoordinatorNotAvailable,
        ),
        (ErrorCode::RequestTimedOut, ErrorCode::CoordinatorNotAvailable),
        (ErrorCode::NotLeaderOrFollower, ErrorCode::NotCoordinator),
        (ErrorCode::KafkaStorageError, ErrorCode::NotCoordinator),
        (ErrorCode::MessageTooLarge, ErrorCode::UnknownServerError),
        (ErrorCode::InvalidRecord, ErrorCode::InvalidRecord),
    ];
    for (append, told) in cases {
        let mut bench = Bench::new();
        bench.commit("", -1, 1);
        bench.fails_with = Some(append);
        assert_eq!(bench.commit("", -1, 2), told);
        assert_eq!(bench.offset(), Some(1));
    }
}

#[test]
fn an_empty_commit_is_answered_at_once() {
    let mut bench = Bench::new();
    let mut request = commit_request("", -1, 1);
    request.topics.clear();
    let ticket = bench.send_commit(request);
    assert!(matches!(bench.answer(ticket), Some(Reply::Commit(response)) if response.topics.is_empty()));
    assert!(bench.log.is_empty());
}

#[test]
fn fetches_name_what_is_not_there() {
    let mut bench = Bench::new();
    let mut request = commit_request("", -1, 5);
    request.topics[0].partitions[0].leader_epoch = Some(LeaderEpoch(4));
    request.topics[0].partitions[0].metadata = Some("note".to_owned());
    let ticket = bench.send_commit(request);
    bench.committed(ticket);
    let topics = vec![
        FetchTopic {
            topic_id: TopicId::default(),
            name: "topic".to_owned(),
            partitions: vec![PartitionIndex(0), PartitionIndex(1)],
        },
        FetchTopic {
            topic_id: TopicId::default(),
            name: "other".to_owned(),
            partitions: vec![PartitionIndex(0)],
        },
    ];
    let fetch = |group: &str| {
        Request::Fetch(FetchRequest {
            group_id: group.to_owned(),
            topics: Some(topics.clone()),
            ..FetchRequest::default()
        })
    };
    let ticket = bench.ask(fetch(GROUP));
    let response = bench.fetched(ticket);
    let found = &response.topics[0].partitions[0];
    assert_eq!(
        (found.offset, found.leader_epoch, found.metadata.as_str()),
        (Some(Offset(5)), Some(LeaderEpoch(4)), "note")
    );
    for missing in [
        &response.topics[0].partitions[1],
        &response.topics[1].partitions[0],
    ] {
        assert_eq!(
            (missing.offset, missing.leader_epoch, missing.error),
            (None, None, ErrorCode::None)
        );
    }
    let ticket = bench.ask(fetch("nobody"));
    let response = bench.fetched(ticket);
    assert!(response.error == ErrorCode::None && response.topics[0].partitions[0].offset.is_none());
}

fn txn_commit(bench: &mut Bench, producer: i64, offset: i64, generation: i32) -> ErrorCode {
    let mut commit = commit_request("", generation, offset);
    commit.context.api_version = 3;
    let request = TxnCommitRequest {
        commit,
        producer_id: ProducerId(producer),
        producer_epoch: ProducerEpoch(0),
    };
    let ticket = bench.ask(Request::TxnCommit(request));
    bench.committed(ticket)
}

#[test]
fn transactional_commits_are_unstable_until_the_transaction_ends() {
    let mut bench = Bench::new();
    bench.commit("", -1, 1);
    assert_eq!(txn_commit(&mut bench, 9, 5, -1), ErrorCode::None);
    assert_eq!(bench.offset(), Some(1));
    let ticket = bench.send_fetch(true);
    let response = bench.fetched(ticket);
    assert_eq!(
        response.topics[0].partitions[0].error,
        ErrorCode::UnstableOffsetCommit
    );
    bench.reload();
    bench.shard.transaction_ended(ProducerId(9), true);
    assert_eq!(bench.offset(), Some(5));
    txn_commit(&mut bench, 9, 6, -1);
    bench.shard.transaction_ended(ProducerId(9), false);
    assert_eq!(bench.offset(), Some(5));
}

#[test]
fn transactional_commits_of_strangers_are_refused() {
    let mut bench = Bench::new();
    assert_eq!(
        txn_commit(&mut bench, 9, 5, 3),
        ErrorCode::IllegalGeneration,
        "no group"
    );
    bench.one_stable_member();
    assert_eq!(txn_commit(&mut bench, 9, 5, 1), ErrorCode::UnknownMemberId);
    assert_eq!(
        txn_commit(&mut bench, 9, 5, -1),
        ErrorCode::None,
        "old producers do not name their member"
    );
}

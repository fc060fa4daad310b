//! Deletion, expiry, description and listing of groups; unloading.

use super::harness::*;
use crate::api::{ListRequest, OffsetDeleteRequest, OffsetDeleteTopic};
use crate::record::{CoordinatorRecord, GroupMetadataValue, MemberMetadata, OffsetCommitValue, OffsetKey};
use crate::{Reply, Request};
use bytes::Bytes;
use milena_types::{ErrorCode, Offset, PartitionIndex, ProducerId, Timestamp, TopicId};

const DAY_MS: u64 = 24 * 3600 * 1000;

fn delete(bench: &mut Bench) -> crate::Ticket {
    bench.ask(Request::Delete(GROUP.to_owned()))
}

fn deleted(bench: &mut Bench, ticket: crate::Ticket) -> ErrorCode {
    match bench.answer(ticket) {
        Some(Reply::Delete(group)) => group.error,
        other => panic!("no answer: {other:?}"),
    }
}

fn offset_delete(bench: &mut Bench, topic: &str) -> (ErrorCode, Option<ErrorCode>) {
    let topics = vec![OffsetDeleteTopic {
        name: topic.to_owned(),
        partitions: vec![PartitionIndex(0)],
    }];
    let ticket = bench.ask(Request::OffsetDelete(OffsetDeleteRequest {
        group_id: GROUP.to_owned(),
        topics,
    }));
    match bench.answer(ticket) {
        Some(Reply::OffsetDelete(response)) => (
            response.error,
            response.topics.first().map(|topic| topic.partitions[0].error),
        ),
        other => panic!("no answer: {other:?}"),
    }
}

#[test]
fn only_empty_groups_are_deleted() {
    let mut bench = Bench::new();
    let ticket = delete(&mut bench);
    assert_eq!(deleted(&mut bench, ticket), ErrorCode::GroupIdNotFound);
    let member = bench.one_stable_member();
    bench.commit(&member, 1, 4);
    let ticket = delete(&mut bench);
    assert_eq!(deleted(&mut bench, ticket), ErrorCode::NonEmptyGroup);
    bench.leave(&[(&member, None)]);
    let ticket = delete(&mut bench);
    assert_eq!(deleted(&mut bench, ticket), ErrorCode::None);
    assert_eq!((bench.state(), bench.offset()), ("Dead", None));
    bench.reload();
    assert_eq!((bench.state(), bench.offset()), ("Dead", None));
}

#[test]
fn a_deletion_takes_the_commits_before_it_and_none_after() {
    let mut bench = Bench::new();
    bench.is_held = true;
    let before = bench.send_commit(commit_request("", -1, 1));
    let deleting = delete(&mut bench);
    let after = bench.send_commit(commit_request("", -1, 2));
    let joining = bench.send_join(join_request(""));
    assert_eq!(bench.writes.len(), 1, "the deletion waits for the commit");
    bench.is_held = false;
    bench.flush();
    assert_eq!(bench.committed(before), ErrorCode::None);
    assert_eq!(deleted(&mut bench, deleting), ErrorCode::None);
    assert_eq!(bench.committed(after), ErrorCode::None);
    assert_eq!(bench.joined(joining).error, ErrorCode::MemberIdRequired);
    assert_eq!(bench.offset(), Some(2));
    bench.reload();
    assert_eq!(bench.offset(), Some(2));
}

#[test]
fn a_deletion_that_fails_leaves_the_group() {
    let mut bench = Bench::new();
    bench.commit("", -1, 1);
    bench.is_held = true;
    let deleting = delete(&mut bench);
    let after = bench.send_commit(commit_request("", -1, 2));
    bench.is_held = false;
    bench.fails_with = Some(ErrorCode::NotEnoughReplicas);
    bench.flush();
    assert_eq!(deleted(&mut bench, deleting), ErrorCode::CoordinatorNotAvailable);
    assert_eq!(bench.committed(after), ErrorCode::CoordinatorNotAvailable);
    bench.fails_with = None;
    assert_eq!(bench.offset(), Some(1));
}

#[test]
fn deleting_a_group_with_many_offsets_takes_several_writes() {
    let mut bench = Bench::new();
    let mut request = commit_request("", -1, 1);
    let partition = request.topics[0].partitions[0].clone();
    let numbered = |n| crate::api::CommitPartition {
        partition: PartitionIndex(n),
        ..partition.clone()
    };
    request.topics[0].partitions = (0..2500).map(numbered).collect();
    let ticket = bench.send_commit(request);
    assert_eq!(bench.committed(ticket), ErrorCode::None);
    bench.is_held = true;
    let deleting = delete(&mut bench);
    let sizes: Vec<usize> = bench.writes.iter().map(|write| write.records.len()).collect();
    assert_eq!(sizes, [1000, 1000, 501]);
    bench.is_held = false;
    bench.flush();
    assert_eq!(deleted(&mut bench, deleting), ErrorCode::None);
    assert_eq!(bench.offset(), None);
}

#[test]
fn offsets_of_topics_in_use_are_not_deleted() {
    let mut bench = Bench::new();
    assert_eq!(offset_delete(&mut bench, "topic").0, ErrorCode::GroupIdNotFound);
    let member = bench.one_stable_member();
    bench.commit(&member, 1, 1);
    let used = offset_delete(&mut bench, "topic");
    assert_eq!(used, (ErrorCode::None, Some(ErrorCode::GroupSubscribedToTopic)));
    assert_eq!(
        offset_delete(&mut bench, "other"),
        (ErrorCode::None, Some(ErrorCode::None))
    );
    assert_eq!(bench.offset(), Some(1));
    bench.leave(&[(&member, None)]);
    assert_eq!(
        offset_delete(&mut bench, "topic"),
        (ErrorCode::None, Some(ErrorCode::None))
    );
    assert_eq!(bench.offset(), None);
}

#[test]
fn offsets_of_a_group_of_another_protocol_are_deleted_only_when_it_is_empty() {
    let mut bench = Bench::new();
    let mut request = at_version(join_request(""), 3);
    request.protocol_type = "connect".to_owned();
    bench.send_join(request);
    assert_eq!(offset_delete(&mut bench, "topic").0, ErrorCode::NonEmptyGroup);
}

#[test]
fn an_offset_deletion_takes_a_commit_on_its_way() {
    let mut bench = Bench::new();
    bench.is_held = true;
    bench.commit_group_first();
    bench.send_commit(commit_request("", -1, 2));
    let topics = vec![OffsetDeleteTopic {
        name: "topic".to_owned(),
        partitions: vec![PartitionIndex(0)],
    }];
    bench.ask(Request::OffsetDelete(OffsetDeleteRequest {
        group_id: GROUP.to_owned(),
        topics,
    }));
    bench.is_held = false;
    bench.flush();
    assert_eq!(bench.offset(), None);
}

impl Bench {
    fn commit_group_first(&mut self) {
        self.is_held = false;
        self.commit("", -1, 1);
        offset_delete(self, "topic");
        self.is_held = true;
    }
}

#[test]
fn offsets_of_a_simple_group_expire_after_their_commit_and_the_group_with_them() {
    let mut bench = Bench::new();
    bench.commit("", -1, 1);
    bench.sleep(6 * DAY_MS);
    assert_eq!(bench.offset(), Some(1));
    bench.commit("", -1, 2);
    bench.sleep(6 * DAY_MS);
    assert_eq!(bench.offset(), Some(2));
    bench.sleep(2 * DAY_MS);
    assert_eq!(
        (bench.offset(), bench.state(), bench.shard.group_count()),
        (None, "Dead", 0)
    );
}

#[test]
fn offsets_of_an_empty_group_expire_after_it_became_empty() {
    let mut bench = Bench::new();
    let member = bench.one_stable_member();
    bench.commit(&member, 1, 1);
    for _ in 0..8 * DAY_MS / 9_000 {
        bench.sleep(9_000);
        bench.heartbeat(&member, 1);
    }
    assert_eq!(bench.offset(), Some(1), "the topic is subscribed to");
    bench.leave(&[(&member, None)]);
    bench.sleep(6 * DAY_MS);
    assert_eq!(bench.offset(), Some(1));
    bench.sleep(2 * DAY_MS);
    assert_eq!((bench.offset(), bench.state()), (None, "Dead"));
}

#[test]
fn offsets_of_topics_no_longer_subscribed_to_expire_in_a_stable_group() {
    let mut bench = Bench::new();
    let member = bench.one_stable_member();
    let mut request = commit_request(&member, 1, 1);
    request.topics[0].name = "old".to_owned();
    let ticket = bench.send_commit(request);
    bench.committed(ticket);
    for _ in 0..8 * DAY_MS / 9_000 {
        bench.sleep(9_000);
        bench.heartbeat(&member, 1);
    }
    assert_eq!((bench.offset(), bench.state()), (None, "Stable"));
}

#[test]
fn an_offset_with_its_own_expiry_goes_by_that() {
    let mut bench = Bench::new();
    let mut request = commit_request("", -1, 1);
    request.retention_ms = Some(1_000_000);
    let ticket = bench.send_commit(request);
    bench.committed(ticket);
    bench.sleep(600_000);
    assert_eq!(bench.offset(), Some(1));
    bench.sleep(600_000);
    assert_eq!(bench.offset(), None);
}

#[test]
fn nothing_expires_while_a_commit_is_on_its_way_or_pending() {
    let mut bench = Bench::new();
    bench.commit("", -1, 1);
    bench.sleep(7 * DAY_MS - 300_000);
    bench.is_held = true;
    bench.send_commit(commit_request("", -1, 2));
    bench.sleep(600_000);
    assert_eq!(
        bench.writes.len(),
        1,
        "no tombstone overtakes or follows the commit"
    );
    bench.is_held = false;
    bench.flush();
    assert_eq!(bench.offset(), Some(2));
}

#[test]
fn offsets_of_deleted_topics_are_forgotten() {
    let mut bench = Bench::new();
    bench.commit("", -1, 1);
    let output = bench
        .shard
        .topics_deleted(&[("topic".to_owned(), TopicId::random())]);
    assert_eq!(output.writes.len(), 1);
    bench.writes.extend(output.writes);
    bench.flush();
    assert_eq!(bench.offset(), None);
    assert!(
        bench
            .shard
            .topics_deleted(&[("other".to_owned(), TopicId::random())])
            .writes
            .is_empty()
    );
}

#[test]
fn absent_groups_are_described_by_version() {
    let mut bench = Bench::new();
    let old = bench.describe();
    assert_eq!(
        (old.error, old.state, old.message),
        (ErrorCode::None, "Dead", None)
    );
    let ticket = bench.ask(Request::Describe {
        api_version: 6,
        group_id: "g".to_owned(),
    });
    let Some(Reply::Describe(new)) = bench.answer(ticket) else {
        panic!("no answer")
    };
    assert_eq!((new.error, new.state), (ErrorCode::GroupIdNotFound, "Dead"));
    assert_eq!(new.message.as_deref(), Some("Group g not found."));
}

#[test]
fn protocol_and_metadata_are_described_in_the_stable_state_only() {
    let mut bench = Bench::new();
    let member = bench.one_stable_member();
    let stable = bench.describe();
    assert_eq!(
        (stable.protocol_name.as_str(), stable.protocol_type.as_str()),
        ("range", "consumer")
    );
    assert_eq!(stable.members[0].metadata, subscription("topic"));
    assert_eq!(
        (
            stable.members[0].client_id.as_str(),
            stable.members[0].client_host.as_str()
        ),
        ("client", "/127.0.0.1")
    );
    bench.member_id();
    bench.send_join(join_request(&member));
    let preparing = bench.describe();
    assert_eq!(
        (
            preparing.protocol_name.as_str(),
            preparing.members[0].metadata.len()
        ),
        ("", 0)
    );
}

#[test]
fn lists_filter_by_state_and_type() {
    let mut bench = Bench::new();
    bench.one_stable_member();
    let cases = [
        (&[][..], &[][..], 1),
        (&["stable"], &[], 1),
        (&[" Stable "], &["CLASSIC"], 1),
        (&["Empty"], &[], 0),
        (&[], &["consumer"], 0),
        (&["Empty", "STABLE"], &["consumer", "classic"], 1),
    ];
    for (states, types, count) in cases {
        let strings = |list: &[&str]| list.iter().map(|s| (*s).to_owned()).collect();
        let request = ListRequest {
            states: strings(states),
            types: strings(types),
        };
        let ticket = bench.ask(Request::List(request));
        let Some(Reply::List(response)) = bench.answer(ticket) else {
            panic!("no answer")
        };
        assert_eq!(response.groups.len(), count, "{states:?} {types:?}");
    }
}

#[test]
fn unloading_answers_everything_that_waits() {
    let mut bench = Bench::new();
    let member = bench.one_stable_member();
    bench.is_held = true;
    let commit = bench.send_commit(commit_request(&member, 1, 1));
    let fetch = bench.send_fetch(true);
    bench.member_id();
    let join = bench.send_join(join_request(&member));
    bench.reload();
    assert_eq!(bench.committed(commit), ErrorCode::NotCoordinator);
    assert_eq!(bench.fetched(fetch).error, ErrorCode::NotCoordinator);
    assert_eq!(bench.joined(join).error, ErrorCode::NotCoordinator);
    // A deletion that waits, and what waits behind it.
    let mut bench = Bench::new();
    bench.is_held = true;
    let commit = bench.send_commit(commit_request("", -1, 1));
    let deleting = delete(&mut bench);
    let behind = bench.send_fetch(false);
    bench.reload();
    assert_eq!(bench.committed(commit), ErrorCode::NotCoordinator);
    assert_eq!(deleted(&mut bench, deleting), ErrorCode::NotCoordinator);
    assert_eq!(bench.fetched(behind).error, ErrorCode::NotCoordinator);
}

#[test]
fn odd_records_give_a_consistent_group() {
    let member = |id: &str, instance: Option<&str>| MemberMetadata {
        member_id: id.to_owned(),
        group_instance_id: instance.map(str::to_owned),
        client_id: String::new(),
        client_host: String::new(),
        rebalance_timeout_ms: 1,
        session_timeout_ms: 10_000,
        subscription: Bytes::new(),
        assignment: Bytes::new(),
    };
    let value = GroupMetadataValue {
        protocol_type: String::new(),
        generation: i32::MAX,
        protocol: None,
        leader: Some("nobody".to_owned()),
        current_state_timestamp: None,
        members: vec![
            member("a", Some("i")),
            member("a", None),
            member("b", Some("i")),
            member("c", None),
        ],
    };
    let mut bench = Bench::new();
    bench.log.push((
        Offset(0),
        None,
        CoordinatorRecord::Group(GROUP.to_owned(), Some(value)),
    ));
    bench.reload();
    assert_eq!((bench.state(), bench.describe().members.len()), ("Stable", 2));
    bench.sleep(10_000);
    assert_eq!(bench.state(), "Empty");
}

#[test]
fn offsets_without_a_group_record_and_records_of_transactions_are_replayed() {
    let key = OffsetKey {
        group: GROUP.to_owned(),
        topic: "topic".to_owned(),
        partition: PartitionIndex(0),
    };
    let value = OffsetCommitValue {
        offset: Offset(8),
        leader_epoch: None,
        metadata: String::new(),
        commit_timestamp: Timestamp(0),
        expire_timestamp: None,
        topic_id: None,
    };
    let mut bench = Bench::new();
    let record = CoordinatorRecord::Offset(key, Some(value));
    bench.log.push((Offset(3), Some(ProducerId(4)), record));
    bench.reload();
    assert_eq!((bench.offset(), bench.state()), (None, "Empty"));
    bench.shard.transaction_ended(ProducerId(4), true);
    assert_eq!(bench.offset(), Some(8));
}

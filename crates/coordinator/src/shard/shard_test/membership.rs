//! Heartbeat, SyncGroup and LeaveGroup: every error code in every state.

use super::harness::*;
use crate::api::HeartbeatRequest;
use crate::{Reply, Request};
use milena_types::ErrorCode;

#[test]
fn heartbeats_are_answered_by_state_and_generation() {
    let mut bench = Bench::new();
    assert_eq!(bench.heartbeat("m", 1), ErrorCode::UnknownMemberId, "no group");
    let member = bench.member_id();
    assert_eq!(
        bench.heartbeat(&member, 0),
        ErrorCode::UnknownMemberId,
        "pending, group Empty"
    );
    let ticket = bench.send_join(join_request(&member));
    assert_eq!(
        bench.heartbeat(&member, 0),
        ErrorCode::RebalanceInProgress,
        "PreparingRebalance"
    );
    bench.sleep(0);
    bench.joined(ticket);
    assert_eq!(
        bench.heartbeat(&member, 1),
        ErrorCode::None,
        "CompletingRebalance"
    );
    assert_eq!(bench.heartbeat(&member, 0), ErrorCode::IllegalGeneration);
    let ticket = bench.send_sync(&member, 1, &[]);
    bench.synced(ticket);
    assert_eq!(bench.heartbeat(&member, 1), ErrorCode::None, "Stable");
    assert_eq!(bench.heartbeat(&member, 2), ErrorCode::IllegalGeneration);
    assert_eq!(bench.heartbeat("stranger", 1), ErrorCode::UnknownMemberId);
    let ticket = bench.ask(Request::Heartbeat(HeartbeatRequest::default()));
    assert_eq!(
        bench.answer(ticket),
        Some(Reply::Heartbeat(ErrorCode::InvalidGroupId))
    );
}

#[test]
fn a_heartbeat_keeps_a_member_and_silence_loses_it() {
    let mut bench = Bench::new();
    let member = bench.one_stable_member();
    for _ in 0..5 {
        bench.sleep(9_999);
        assert_eq!(bench.heartbeat(&member, 1), ErrorCode::None);
    }
    bench.sleep(10_000);
    assert_eq!(bench.heartbeat(&member, 1), ErrorCode::UnknownMemberId);
    assert_eq!(bench.state(), "Empty");
}

#[test]
fn a_commit_keeps_a_member_too() {
    let mut bench = Bench::new();
    let member = bench.one_stable_member();
    for _ in 0..5 {
        bench.sleep(9_999);
        assert_eq!(bench.commit(&member, 1, 1), ErrorCode::None);
    }
    assert_eq!(bench.heartbeat(&member, 1), ErrorCode::None);
}

#[test]
fn syncs_are_checked() {
    let mut bench = Bench::new();
    let member = bench.one_stable_member();
    type Change = fn(&mut crate::api::SyncRequest);
    let cases: [(&str, Change, ErrorCode); 9] = [
        ("stable: the assignment again", |_| (), ErrorCode::None),
        ("no group id", |r| r.group_id.clear(), ErrorCode::InvalidGroupId),
        (
            "no such group",
            |r| r.group_id.push('x'),
            ErrorCode::UnknownMemberId,
        ),
        (
            "no such member",
            |r| r.member_id.push('x'),
            ErrorCode::UnknownMemberId,
        ),
        (
            "no such instance",
            |r| r.group_instance_id = Some("i".to_owned()),
            ErrorCode::UnknownMemberId,
        ),
        (
            "generation",
            |r| r.generation_id = 7,
            ErrorCode::IllegalGeneration,
        ),
        (
            "protocol type",
            |r| r.protocol_type = Some("x".to_owned()),
            ErrorCode::InconsistentGroupProtocol,
        ),
        (
            "protocol name",
            |r| r.protocol_name = Some("x".to_owned()),
            ErrorCode::InconsistentGroupProtocol,
        ),
        (
            "version 5 without protocol",
            |r| r.protocol_name = None,
            ErrorCode::InconsistentGroupProtocol,
        ),
    ];
    for (what, change, error) in cases {
        let mut request = sync_request(&member, 1, &[]);
        change(&mut request);
        let ticket = bench.ask(Request::Sync(request));
        assert_eq!(bench.synced(ticket).error, error, "{what}");
    }
    let mut old = sync_request(&member, 1, &[]);
    (old.context.api_version, old.protocol_type, old.protocol_name) = (4, None, None);
    let ticket = bench.ask(Request::Sync(old));
    assert_eq!(
        bench.synced(ticket).error,
        ErrorCode::None,
        "before version 5 protocols are not sent"
    );
}

#[test]
fn a_sync_while_members_rejoin_is_told_so() {
    let mut bench = Bench::new();
    let member = bench.one_stable_member();
    bench.send_join(at_version(join_request(""), 3));
    let ticket = bench.send_sync(&member, 1, &[]);
    assert_eq!(bench.synced(ticket).error, ErrorCode::RebalanceInProgress);
}

#[test]
fn a_second_sync_of_a_parked_member_takes_its_place() {
    let mut bench = Bench::new();
    let one = bench.send_join(at_version(join_request(""), 3));
    let two = bench.send_join(at_version(join_request(""), 3));
    bench.sleep(0);
    let (one, two) = (bench.joined(one), bench.joined(two));
    let follower = if one.members.is_empty() {
        one.member_id
    } else {
        two.member_id
    };
    let first = bench.send_sync(&follower, 1, &[]);
    bench.send_sync(&follower, 1, &[]);
    assert_eq!(bench.synced(first).error, ErrorCode::RebalanceInProgress);
}

#[test]
fn leaving_is_answered_member_by_member() {
    let mut bench = Bench::new();
    let unknown = bench.leave(&[("m", None), ("", Some("i"))]);
    assert_eq!(unknown.error, ErrorCode::None);
    assert!(
        unknown
            .members
            .iter()
            .all(|m| m.error == ErrorCode::UnknownMemberId),
        "no group"
    );
    let member = bench.one_stable_member();
    let pending = bench.member_id();
    let response = bench.leave(&[("stranger", None), (&pending, None), ("", Some("i")), ("", None)]);
    let errors: Vec<_> = response.members.iter().map(|m| m.error).collect();
    let unknown = ErrorCode::UnknownMemberId;
    assert_eq!(errors, [unknown, ErrorCode::None, unknown, unknown]);
    assert_eq!(bench.heartbeat(&member, 1), ErrorCode::RebalanceInProgress);
    let response = bench.leave(&[(&member, None)]);
    assert_eq!(response.members[0].error, ErrorCode::None);
    assert_eq!(bench.state(), "Empty");
    let ticket = bench.ask(Request::Leave(crate::api::LeaveRequest::default()));
    let Some(Reply::Leave(response)) = bench.answer(ticket) else {
        panic!("no answer")
    };
    assert_eq!(response.error, ErrorCode::InvalidGroupId);
}

#[test]
fn leaving_answers_what_the_member_had_parked() {
    let mut bench = Bench::new();
    let member = bench.one_stable_member();
    bench.member_id();
    let parked = bench.send_join(join_request(&member));
    bench.leave(&[(&member, None)]);
    let response = bench.joined(parked);
    assert_eq!(
        (response.error, response.member_id.as_str()),
        (ErrorCode::UnknownMemberId, "")
    );
}

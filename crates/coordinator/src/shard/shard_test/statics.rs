//! Static members (KIP-345, KIP-814).

use super::harness::*;
use crate::{Reply, Request};
use milena_types::ErrorCode;

/// A Stable group of two static members, `a` (leader) and `b`, in generation 1. Returns their ids.
fn two_static_members(bench: &mut Bench) -> (String, String) {
    let a = bench.send_join(as_static(join_request(""), "a"));
    let b = bench.send_join(as_static(join_request(""), "b"));
    bench.sleep(0);
    let (a, b) = (bench.joined(a), bench.joined(b));
    assert_eq!((a.generation_id, a.leader.as_str()), (1, a.member_id.as_str()));
    let waiting = bench.send_sync(&b.member_id, 1, &[]);
    let ticket = bench.send_sync(&a.member_id, 1, &[(&a.member_id, b"A"), (&b.member_id, b"B")]);
    bench.synced(ticket);
    bench.synced(waiting);
    (a.member_id, b.member_id)
}

fn heartbeat_as(bench: &mut Bench, member: &str, instance: &str) -> ErrorCode {
    let request = crate::api::HeartbeatRequest {
        group_id: GROUP.to_owned(),
        generation_id: 1,
        member_id: member.to_owned(),
        group_instance_id: Some(instance.to_owned()),
        ..crate::api::HeartbeatRequest::default()
    };
    let ticket = bench.ask(Request::Heartbeat(request));
    match bench.answer(ticket) {
        Some(Reply::Heartbeat(error)) => error,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_restarted_static_member_takes_its_place_without_a_rebalance() {
    let mut bench = Bench::new();
    let (a, b) = two_static_members(&mut bench);
    let again = bench.join(as_static(join_request(""), "b"));
    assert_eq!(
        (again.error, again.generation_id, again.leader.as_str()),
        (ErrorCode::None, 1, a.as_str())
    );
    assert!(!again.skip_assignment && again.members.is_empty());
    assert_ne!(again.member_id, b);
    assert!(again.member_id.starts_with("b-"), "{}", again.member_id);
    assert_eq!(bench.state(), "Stable");
    let ticket = bench.send_sync(&again.member_id, 1, &[]);
    assert_eq!(
        &bench.synced(ticket).assignment[..],
        b"B",
        "it keeps its assignment"
    );
    assert_eq!(heartbeat_as(&mut bench, &b, "b"), ErrorCode::FencedInstanceId);
    assert_eq!(heartbeat_as(&mut bench, &again.member_id, "b"), ErrorCode::None);
    // The replacement is in the log.
    bench.reload();
    assert_eq!(heartbeat_as(&mut bench, &again.member_id, "b"), ErrorCode::None);
}

#[test]
fn a_restarted_static_leader_is_told_to_leave_the_assignment_alone() {
    let mut bench = Bench::new();
    let (a, _) = two_static_members(&mut bench);
    let again = bench.join(as_static(join_request(""), "a"));
    assert_eq!(again.leader, again.member_id);
    assert!(again.skip_assignment);
    assert_eq!(again.members.len(), 2);
    // Before version 9 it is told that somebody else leads, which has the same effect.
    let old = bench.join(at_version(as_static(join_request(""), "a"), 8));
    assert_eq!(old.leader, again.member_id);
    assert!(!old.skip_assignment && old.members.is_empty());
    assert_ne!(old.member_id, a);
}

#[test]
fn other_protocols_of_a_restarted_static_member_make_a_rebalance_only_when_they_decide() {
    let mut bench = Bench::new();
    let (a, _) = two_static_members(&mut bench);
    let mut request = as_static(join_request(""), "b");
    request.protocols = protocols(&["new", "range"]);
    assert_eq!(
        bench.join(request).generation_id,
        1,
        "range is still the only common one"
    );
    let mut request = as_static(join_request(&a), "a");
    request.protocols = protocols(&["new", "range"]);
    let leading = bench.send_join(request.clone());
    assert_eq!(bench.state(), "PreparingRebalance");
    request.member_id.clear();
    let again = bench.send_join(request);
    assert_eq!(bench.joined(leading).error, ErrorCode::FencedInstanceId);
    assert!(!bench.replies.contains_key(&again));
}

#[test]
fn a_static_member_that_restarts_while_the_leader_assigns_makes_a_rebalance() {
    let mut bench = Bench::new();
    let a = bench.send_join(as_static(join_request(""), "a"));
    let b = bench.send_join(as_static(join_request(""), "b"));
    bench.sleep(0);
    let (a, b) = (bench.joined(a), bench.joined(b));
    let waiting = bench.send_sync(&b.member_id, 1, &[]);
    let again = bench.send_join(as_static(join_request(""), "b"));
    assert_eq!(bench.synced(waiting).error, ErrorCode::FencedInstanceId);
    assert_eq!(bench.state(), "PreparingRebalance");
    let ticket = bench.send_join(as_static(join_request(&a.member_id), "a"));
    assert_eq!(
        (
            bench.joined(ticket).generation_id,
            bench.joined(again).generation_id
        ),
        (2, 2)
    );
}

#[test]
fn a_static_member_that_is_away_keeps_its_place_until_its_session_ends() {
    let mut bench = Bench::new();
    let (a, b) = two_static_members(&mut bench);
    let mut request = as_static(join_request(&a), "a");
    request.session_timeout_ms = 60_000;
    request.rebalance_timeout_ms = 5_000;
    let mut other = as_static(join_request(&b), "b");
    other.session_timeout_ms = 60_000;
    other.rebalance_timeout_ms = 5_000;
    let (one, two) = (bench.send_join(request.clone()), bench.send_join(other));
    bench.joined(one);
    bench.joined(two);
    let ticket = bench.send_sync(&b, 2, &[]);
    let leading = bench.send_sync(&a, 2, &[]);
    bench.synced(ticket);
    bench.synced(leading);
    // b is away; the leader wants a rebalance, whose time runs out: b stays in.
    let ticket = bench.send_join(request);
    bench.sleep(5_000);
    let response = bench.joined(ticket);
    assert_eq!((response.generation_id, response.members.len()), (3, 2));
}

#[test]
fn when_only_absent_static_members_are_left_the_rebalance_waits() {
    let mut bench = Bench::new();
    let (a, b) = two_static_members(&mut bench);
    bench.send_join(as_static(join_request(&a), "a"));
    bench.leave(&[(&a, Some("a"))]);
    assert_eq!(bench.state(), "PreparingRebalance");
    let ticket = bench.send_join(as_static(join_request(&b), "b"));
    assert_eq!(bench.joined(ticket).generation_id, 2);
}

#[test]
fn a_replacement_that_cannot_be_stored_is_taken_back() {
    let mut bench = Bench::new();
    let (a, b) = two_static_members(&mut bench);
    bench.fails_with = Some(ErrorCode::NotEnoughReplicas);
    let refused = bench.join(as_static(join_request(""), "b"));
    assert_eq!(
        (refused.error, refused.leader.as_str()),
        (ErrorCode::CoordinatorNotAvailable, a.as_str())
    );
    bench.fails_with = None;
    assert_eq!(
        heartbeat_as(&mut bench, &b, "b"),
        ErrorCode::None,
        "the old id is valid again"
    );
    assert_eq!(bench.state(), "Stable");
}

#[test]
fn a_replacement_overtaken_by_a_rebalance_is_part_of_it() {
    let mut bench = Bench::new();
    let (a, _) = two_static_members(&mut bench);
    bench.is_held = true;
    let again = bench.send_join(as_static(join_request(""), "b"));
    assert!(!bench.replies.contains_key(&again), "not before it is stored");
    let leading = bench.send_join(as_static(join_request(&a), "a"));
    assert_eq!(
        (
            bench.joined(again).generation_id,
            bench.joined(leading).generation_id
        ),
        (2, 2)
    );
    bench.is_held = false;
    bench.flush();
    assert_eq!(bench.state(), "CompletingRebalance");
}

#[test]
fn two_restarts_in_a_row_fence_the_first() {
    let mut bench = Bench::new();
    two_static_members(&mut bench);
    bench.is_held = true;
    let first = bench.send_join(as_static(join_request(""), "b"));
    let second = bench.send_join(as_static(join_request(""), "b"));
    assert_eq!(bench.joined(first).error, ErrorCode::FencedInstanceId);
    bench.is_held = false;
    bench.flush();
    assert_eq!(bench.joined(second).error, ErrorCode::None);
}

#[test]
fn an_administrator_removes_a_static_member_by_its_instance() {
    let mut bench = Bench::new();
    let (a, b) = two_static_members(&mut bench);
    let response = bench.leave(&[("", Some("b")), ("other", Some("a"))]);
    assert_eq!(response.members[0].error, ErrorCode::None);
    assert_eq!(response.members[1].error, ErrorCode::FencedInstanceId);
    assert_eq!(heartbeat_as(&mut bench, &b, "b"), ErrorCode::UnknownMemberId);
    assert_eq!(heartbeat_as(&mut bench, &a, "a"), ErrorCode::RebalanceInProgress);
}

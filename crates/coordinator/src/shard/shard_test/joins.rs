//! JoinGroup: who is let in, and with which error not.

use super::harness::*;
use crate::GroupLimits;
use milena_types::ErrorCode;
use std::time::Duration;

#[test]
fn requests_that_no_group_would_take_are_refused() {
    let mut bench = Bench::new();
    type Change = fn(&mut crate::api::JoinRequest);
    let cases: [(&str, Change, ErrorCode); 7] = [
        ("no group id", |r| r.group_id.clear(), ErrorCode::InvalidGroupId),
        (
            "session too short",
            |r| r.session_timeout_ms = 5999,
            ErrorCode::InvalidSessionTimeout,
        ),
        (
            "session too long",
            |r| r.session_timeout_ms = 1_800_001,
            ErrorCode::InvalidSessionTimeout,
        ),
        (
            "unknown member of no group",
            |r| r.member_id = "m".to_owned(),
            ErrorCode::UnknownMemberId,
        ),
        (
            "no protocol",
            |r| r.protocols.clear(),
            ErrorCode::InconsistentGroupProtocol,
        ),
        (
            "no protocol type",
            |r| r.protocol_type.clear(),
            ErrorCode::InconsistentGroupProtocol,
        ),
        (
            "a text no record can hold",
            |r| r.context.client_id = "c".repeat(32_740),
            ErrorCode::InvalidRequest,
        ),
    ];
    for (what, change, error) in cases {
        let mut request = join_request("");
        change(&mut request);
        let response = bench.join(request);
        assert_eq!((response.error, response.generation_id), (error, -1), "{what}");
        assert_eq!(bench.shard.group_count(), 0, "{what}: leaves nothing behind");
    }
}

#[test]
fn a_new_dynamic_member_is_told_its_id_first() {
    let mut bench = Bench::new();
    let response = bench.join(join_request(""));
    assert_eq!(response.error, ErrorCode::MemberIdRequired);
    assert_eq!(response.member_id, "client-00000000-0000-0000-0000-000000000001");
    assert_eq!(bench.state(), "Empty");
    // Before version 4 it is let in at once; the first rebalance does not wait for pending members.
    let ticket = bench.send_join(at_version(join_request(""), 3));
    bench.sleep(0);
    assert_eq!(bench.joined(ticket).error, ErrorCode::None);
}

#[test]
fn a_pending_member_may_not_turn_static() {
    let mut bench = Bench::new();
    let id = bench.member_id();
    assert_eq!(
        bench.join(as_static(join_request(&id), "i")).error,
        ErrorCode::UnknownServerError
    );
}

#[test]
fn a_pending_member_is_forgotten_after_its_session() {
    let mut bench = Bench::new();
    let id = bench.member_id();
    bench.sleep(10_000);
    assert_eq!(bench.join(join_request(&id)).error, ErrorCode::UnknownMemberId);
}

#[test]
fn protocols_must_match_the_groups() {
    let mut bench = Bench::new();
    bench.one_stable_member();
    let mut other = at_version(join_request(""), 3);
    other.protocols = protocols(&["sticky"]);
    assert_eq!(bench.join(other).error, ErrorCode::InconsistentGroupProtocol);
    let mut other = at_version(join_request(""), 3);
    other.protocol_type = "connect".to_owned();
    assert_eq!(bench.join(other).error, ErrorCode::InconsistentGroupProtocol);
    assert_eq!(bench.state(), "Stable");
}

#[test]
fn the_protocol_is_one_that_all_support_and_most_prefer() {
    let mut bench = Bench::new();
    let mut tickets = Vec::new();
    for names in [&["a", "b", "c"][..], &["b", "a"], &["b", "a", "d"]] {
        let mut request = at_version(join_request(""), 3);
        request.protocols = protocols(names);
        tickets.push(bench.send_join(request));
    }
    bench.sleep(0);
    for ticket in tickets {
        assert_eq!(bench.joined(ticket).protocol_name.as_deref(), Some("b"));
    }
}

#[test]
fn a_member_unknown_to_an_existing_group_is_refused() {
    let mut bench = Bench::new();
    bench.one_stable_member();
    assert_eq!(
        bench.join(join_request("nobody")).error,
        ErrorCode::UnknownMemberId
    );
    assert_eq!(
        bench.join(as_static(join_request("nobody"), "i")).error,
        ErrorCode::UnknownMemberId
    );
}

#[test]
fn a_group_has_no_more_members_than_it_may() {
    let mut bench = Bench::with(GroupLimits {
        members_max: 1,
        ..limits()
    });
    let first = bench.send_join(at_version(join_request(""), 3));
    let second = bench.join(at_version(join_request(""), 3));
    assert_eq!(
        (second.error, second.member_id.as_str()),
        (ErrorCode::GroupMaxSizeReached, "")
    );
    bench.sleep(0);
    let member = bench.joined(first).member_id;
    assert_eq!(
        bench.join(at_version(join_request(""), 3)).error,
        ErrorCode::GroupMaxSizeReached
    );
    let ticket = bench.send_sync(&member, 1, &[]);
    assert_eq!(bench.synced(ticket).error, ErrorCode::None);
    assert_eq!(
        bench.join(at_version(join_request(""), 3)).error,
        ErrorCode::GroupMaxSizeReached
    );
    // Members that are in may always rejoin.
    assert_eq!(bench.join(join_request(&member)).error, ErrorCode::None);
}

#[test]
fn the_first_rebalance_waits_and_waits_longer_while_members_arrive() {
    let limits = GroupLimits {
        initial_rebalance_delay: Duration::from_millis(3000),
        ..limits()
    };
    let mut bench = Bench::with(limits);
    let mut request = at_version(join_request(""), 3);
    request.rebalance_timeout_ms = 7000;
    let first = bench.send_join(request.clone());
    bench.sleep(2000);
    let second = bench.send_join(request.clone());
    // 3000: somebody came, so 3000 more.
    bench.sleep(1000);
    assert!(!bench.replies.contains_key(&first));
    bench.sleep(2000);
    let third = bench.send_join(request);
    // 6000: again, but only 1000 of the rebalance timeout are left.
    bench.sleep(1000);
    assert!(!bench.replies.contains_key(&first));
    bench.sleep(1000);
    for ticket in [first, second, third] {
        assert_eq!(bench.joined(ticket).generation_id, 1);
    }
}

#[test]
fn nobody_coming_ends_the_first_delay() {
    let limits = GroupLimits {
        initial_rebalance_delay: Duration::from_millis(3000),
        ..limits()
    };
    let mut bench = Bench::with(limits);
    let ticket = bench.send_join(at_version(join_request(""), 3));
    bench.sleep(2999);
    assert!(!bench.replies.contains_key(&ticket));
    bench.sleep(1);
    assert_eq!(bench.joined(ticket).error, ErrorCode::None);
}

#[test]
fn a_second_join_of_a_parked_member_takes_its_place() {
    let mut bench = Bench::new();
    let member = bench.member_id();
    let first = bench.send_join(join_request(&member));
    let second = bench.send_join(join_request(&member));
    assert_eq!(bench.joined(first).error, ErrorCode::RebalanceInProgress);
    bench.sleep(0);
    assert_eq!(bench.joined(second).error, ErrorCode::None);
}

#[test]
fn version_0_has_one_timeout_for_both() {
    let mut bench = Bench::new();
    let mut request = at_version(join_request(""), 0);
    request.rebalance_timeout_ms = -1;
    let ticket = bench.send_join(request);
    bench.sleep(0);
    let member = bench.joined(ticket).member_id;
    let ticket = bench.send_sync(&member, 1, &[]);
    bench.synced(ticket);
    let crate::record::CoordinatorRecord::Group(_, Some(value)) = &bench.log[0].2 else {
        panic!("{:?}", bench.log)
    };
    assert_eq!(value.members[0].rebalance_timeout_ms, 10_000);
}

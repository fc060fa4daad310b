//! Whole rebalances: joins, syncs, and what interrupts them.

use super::harness::*;
use milena_types::ErrorCode;

/// Two members in generation 2, assignments synced. Returns (leader, follower).
fn two_stable_members(bench: &mut Bench) -> (String, String) {
    let first = bench.one_stable_member();
    let second = bench.member_id();
    let joining = bench.send_join(join_request(&second));
    assert_eq!(bench.heartbeat(&first, 1), ErrorCode::RebalanceInProgress);
    let rejoining = bench.send_join(join_request(&first));
    let (leader, follower) = (bench.joined(rejoining), bench.joined(joining));
    assert_eq!((leader.generation_id, follower.generation_id), (2, 2));
    assert_eq!(
        (leader.leader.as_str(), follower.leader.as_str()),
        (first.as_str(), first.as_str())
    );
    assert_eq!(
        (leader.members.len(), follower.members.len()),
        (2, 0),
        "only the leader sees the members"
    );
    assert_eq!(leader.members[0].metadata, subscription("topic"));
    let waiting = bench.send_sync(&second, 2, &[]);
    assert!(
        !bench.replies.contains_key(&waiting),
        "a follower waits for the leader"
    );
    let leading = bench.send_sync(
        &first,
        2,
        &[(&first, b"one"), (&second, b"two"), ("stranger", b"x")],
    );
    assert_eq!(&bench.synced(leading).assignment[..], b"one");
    let synced = bench.synced(waiting);
    assert_eq!(
        (&synced.assignment[..], synced.protocol_name.as_deref()),
        (&b"two"[..], Some("range"))
    );
    assert_eq!(bench.state(), "Stable");
    (first, second)
}

#[test]
fn two_members_share_a_group() {
    let mut bench = Bench::new();
    let (first, second) = two_stable_members(&mut bench);
    assert_eq!(bench.heartbeat(&first, 2), ErrorCode::None);
    assert_eq!(bench.heartbeat(&second, 2), ErrorCode::None);
    let described = bench.describe();
    assert_eq!(
        (described.protocol_name.as_str(), described.members.len()),
        ("range", 2)
    );
}

#[test]
fn a_member_that_leaves_makes_the_others_rejoin() {
    let mut bench = Bench::new();
    let (first, second) = two_stable_members(&mut bench);
    assert_eq!(bench.leave(&[(&first, None)]).members[0].error, ErrorCode::None);
    assert_eq!(bench.heartbeat(&second, 2), ErrorCode::RebalanceInProgress);
    let response = bench.join(join_request(&second));
    assert_eq!(
        (response.generation_id, response.leader.as_str()),
        (3, second.as_str())
    );
}

#[test]
fn a_member_that_falls_silent_is_removed() {
    let mut bench = Bench::new();
    let (first, second) = two_stable_members(&mut bench);
    for _ in 0..3 {
        bench.sleep(9_000);
        bench.heartbeat(&first, 2);
    }
    assert_eq!(bench.heartbeat(&second, 2), ErrorCode::UnknownMemberId);
    assert_eq!(bench.heartbeat(&first, 2), ErrorCode::RebalanceInProgress);
    assert_eq!(bench.join(join_request(&first)).generation_id, 3);
}

#[test]
fn the_last_member_leaving_empties_the_group_and_that_is_written() {
    let mut bench = Bench::new();
    let member = bench.one_stable_member();
    bench.leave(&[(&member, None)]);
    assert_eq!(bench.state(), "Empty");
    bench.reload();
    assert_eq!(bench.state(), "Empty");
    let id = bench.member_id();
    let ticket = bench.send_join(join_request(&id));
    bench.sleep(0);
    assert_eq!(bench.joined(ticket).generation_id, 3, "generations go on");
}

#[test]
fn a_follower_that_rejoins_unchanged_disturbs_nobody_and_a_leader_does() {
    let mut bench = Bench::new();
    let (first, second) = two_stable_members(&mut bench);
    let response = bench.join(join_request(&second));
    assert_eq!((response.generation_id, response.members.len()), (2, 0));
    assert_eq!(bench.state(), "Stable");
    let ticket = bench.send_join(join_request(&first));
    assert_eq!(bench.state(), "PreparingRebalance");
    assert!(!bench.replies.contains_key(&ticket));
}

#[test]
fn a_follower_with_other_metadata_makes_a_rebalance() {
    let mut bench = Bench::new();
    let (_, second) = two_stable_members(&mut bench);
    let mut request = join_request(&second);
    request.protocols[0].metadata = subscription("other");
    bench.send_join(request);
    assert_eq!(bench.state(), "PreparingRebalance");
}

#[test]
fn who_does_not_rejoin_in_time_is_out_and_another_leads() {
    let mut bench = Bench::new();
    let (first, second) = two_stable_members(&mut bench);
    let mut request = join_request(&second);
    request.protocols[0].metadata = subscription("other");
    let ticket = bench.send_join(request);
    // The leader is alive and does not rejoin.
    for _ in 0..6 {
        bench.sleep(5_000);
        let expected = if bench.replies.contains_key(&ticket) {
            ErrorCode::UnknownMemberId
        } else {
            ErrorCode::RebalanceInProgress
        };
        assert_eq!(bench.heartbeat(&first, 2), expected);
    }
    let response = bench.joined(ticket);
    assert_eq!(
        (
            response.generation_id,
            response.leader.as_str(),
            response.members.len()
        ),
        (3, second.as_str(), 1)
    );
}

#[test]
fn a_missed_join_answer_is_given_again() {
    let mut bench = Bench::new();
    let member = bench.member_id();
    let ticket = bench.send_join(join_request(&member));
    bench.sleep(0);
    let first = bench.joined(ticket);
    assert_eq!(bench.state(), "CompletingRebalance");
    assert_eq!(bench.join(join_request(&member)), first);
    // With other metadata it is another join.
    let mut changed = join_request(&member);
    changed.protocols[0].metadata = subscription("other");
    assert_eq!(bench.join(changed).generation_id, 2);
}

#[test]
fn a_join_during_the_sync_phase_sends_the_waiting_back() {
    let mut bench = Bench::new();
    let (first, second) = two_stable_members(&mut bench);
    let one = bench.send_join(join_request(&first));
    let two = bench.send_join(join_request(&second));
    assert_eq!(
        (bench.joined(one).generation_id, bench.joined(two).generation_id),
        (3, 3)
    );
    let waiting = bench.send_sync(&second, 3, &[]);
    let newcomer = bench.member_id();
    bench.send_join(join_request(&newcomer));
    assert_eq!(bench.synced(waiting).error, ErrorCode::RebalanceInProgress);
    assert_eq!(bench.state(), "PreparingRebalance");
}

#[test]
fn a_leader_that_never_syncs_is_removed() {
    let mut bench = Bench::new();
    let (first, second) = two_stable_members(&mut bench);
    let one = bench.send_join(join_request(&first));
    let two = bench.send_join(join_request(&second));
    bench.joined(one);
    bench.joined(two);
    let waiting = bench.send_sync(&second, 3, &[]);
    for _ in 0..6 {
        bench.sleep(5_000);
        bench.heartbeat(&first, 3);
    }
    assert_eq!(bench.synced(waiting).error, ErrorCode::RebalanceInProgress);
    assert_eq!(bench.heartbeat(&first, 3), ErrorCode::UnknownMemberId);
    let response = bench.join(join_request(&second));
    assert_eq!(
        (response.generation_id, response.leader.as_str()),
        (4, second.as_str())
    );
}

#[test]
fn a_member_that_does_not_sync_in_a_stable_group_is_removed_too() {
    let mut bench = Bench::new();
    let (first, second) = two_stable_members(&mut bench);
    let one = bench.send_join(join_request(&first));
    let two = bench.send_join(join_request(&second));
    bench.joined(one);
    bench.joined(two);
    let ticket = bench.send_sync(&first, 3, &[]);
    assert_eq!(bench.synced(ticket).error, ErrorCode::None);
    assert_eq!(bench.state(), "Stable");
    for _ in 0..6 {
        bench.sleep(5_000);
        bench.heartbeat(&first, 3);
        bench.heartbeat(&second, 3);
    }
    assert_eq!(bench.state(), "PreparingRebalance");
    assert_eq!(bench.heartbeat(&second, 3), ErrorCode::UnknownMemberId);
}

#[test]
fn a_pending_member_holds_a_rebalance_up_until_its_session_ends() {
    let mut bench = Bench::new();
    let member = bench.one_stable_member();
    bench.member_id();
    let ticket = bench.send_join(join_request(&member));
    assert!(!bench.replies.contains_key(&ticket));
    bench.sleep(10_000);
    assert_eq!(bench.joined(ticket).generation_id, 2);
}

#[test]
fn a_new_member_that_is_gone_is_dropped_after_its_own_timeout() {
    let mut bench = Bench::new();
    let member = bench.one_stable_member();
    let mut newcomer = at_version(join_request(""), 3);
    newcomer.rebalance_timeout_ms = 1_000_000;
    let ticket = bench.send_join(newcomer);
    for _ in 0..60 {
        bench.sleep(5_000);
        bench.heartbeat(&member, 1);
    }
    assert_eq!(bench.joined(ticket).error, ErrorCode::UnknownMemberId);
}

#[test]
fn an_assignment_that_cannot_be_stored_sends_everybody_back() {
    let cases = [
        (ErrorCode::NotEnoughReplicas, ErrorCode::CoordinatorNotAvailable),
        (ErrorCode::NotLeaderOrFollower, ErrorCode::NotCoordinator),
        (ErrorCode::RecordListTooLarge, ErrorCode::UnknownServerError),
    ];
    for (append, told) in cases {
        let mut bench = Bench::new();
        let member = bench.member_id();
        let ticket = bench.send_join(join_request(&member));
        bench.sleep(0);
        bench.joined(ticket);
        bench.fails_with = Some(append);
        let ticket = bench.send_sync(&member, 1, &[(&member, b"a")]);
        assert_eq!(bench.synced(ticket).error, told);
        assert_eq!(bench.state(), "PreparingRebalance");
        bench.fails_with = None;
        assert_eq!(bench.join(join_request(&member)).generation_id, 2);
    }
}

#[test]
fn an_assignment_that_comes_too_late_is_not_handed_out() {
    let mut bench = Bench::new();
    let member = bench.member_id();
    let ticket = bench.send_join(join_request(&member));
    bench.sleep(0);
    bench.joined(ticket);
    bench.is_held = true;
    let syncing = bench.send_sync(&member, 1, &[(&member, b"a")]);
    assert!(
        !bench.replies.contains_key(&syncing),
        "nobody is told before it is stored"
    );
    let newcomer = bench.send_join(at_version(join_request(""), 3));
    assert_eq!(bench.synced(syncing).error, ErrorCode::RebalanceInProgress);
    bench.is_held = false;
    bench.flush();
    assert_eq!(bench.state(), "PreparingRebalance");
    let rejoining = bench.send_join(join_request(&member));
    assert_eq!(
        (
            bench.joined(rejoining).generation_id,
            bench.joined(newcomer).generation_id
        ),
        (2, 2)
    );
}

#[test]
fn a_group_over_its_limit_is_rebalanced_after_loading() {
    let mut bench = Bench::new();
    let (first, second) = two_stable_members(&mut bench);
    let log = bench.log.clone();
    let mut small = Bench::with(crate::GroupLimits {
        members_max: 1,
        ..limits()
    });
    small.log = log;
    small.reload();
    assert_eq!(small.state(), "PreparingRebalance");
    let parked = small.send_join(join_request(&second));
    assert_eq!(
        small.join(join_request(&first)).error,
        ErrorCode::GroupMaxSizeReached
    );
    assert_eq!(small.joined(parked).generation_id, 3);
}

//! One test per rule: each fails when its rule is removed.

use super::*;
use crate::{BrokerIds, Moment};
use milena_types::{Acks, BrokerEpoch, BrokerId, ErrorCode, LeaderEpoch, Offset, PartitionEpoch};
use std::time::Duration;

const LAG: Duration = Duration::from_secs(30);
const ME: BrokerId = BrokerId(1);
pub(super) const EPOCH: LeaderEpoch = LeaderEpoch(5);

fn ids(ids: &[i32]) -> BrokerIds {
    ids.iter().map(|id| BrokerId(*id)).collect()
}

fn term(isr: &[i32], partition_epoch: i32) -> LeaderTerm {
    LeaderTerm {
        leader: ME,
        leader_epoch: EPOCH,
        partition_epoch: PartitionEpoch(partition_epoch),
        replicas: ids(&[1, 2, 3]),
        isr: ids(isr),
        recovering: false,
    }
}

fn rules(min_insync_replicas: usize) -> LeaderRules {
    LeaderRules {
        min_insync_replicas,
        lag_time_max: LAG,
    }
}

pub(super) fn epoch_of(broker: i32) -> BrokerEpoch {
    BrokerEpoch(i64::from(broker) * 10)
}

pub(super) fn ends(log_end: i64, advertised: i64) -> LogEnds {
    LogEnds {
        log_end: Offset(log_end),
        advertised: Offset(advertised),
    }
}

pub(super) fn attachment(broker: i32) -> AttachmentId {
    AttachmentId {
        stream: broker as u64,
        attach: 1,
    }
}

fn attach_from(broker: i32, log_end: i64) -> Attach {
    Attach {
        broker: BrokerId(broker),
        broker_epoch: epoch_of(broker),
        attachment: attachment(broker),
        leader_epoch: EPOCH,
        last_epoch: None,
        ends: LogEnds::at(Offset(log_end)),
    }
}

const EMPTY_LOG: LogSummary = LogSummary {
    log_start: Offset(0),
    end_for_last_epoch: None,
    latest_epoch: None,
    unclean: None,
};

/// A leader at `log_end`, all of it on disk, all brokers alive, nobody attached.
fn leader(isr: &[i32], log_end: i64, high_watermark: i64, min_isr: usize) -> Leader {
    let local = LogEnds::at(Offset(log_end));
    let mut leader = Leader::new(
        term(isr, 1),
        rules(min_isr),
        local,
        Offset(high_watermark),
        Moment(0),
    );
    for broker in [2, 3] {
        leader.on_broker(BrokerId(broker), Some(epoch_of(broker)), true);
    }
    leader
}

/// The same, with both followers attached at `log_end`.
pub(super) fn followed(isr: &[i32], log_end: i64, min_isr: usize) -> Leader {
    let mut leader = leader(isr, log_end, log_end, min_isr);
    for broker in [2, 3] {
        let answer = leader.attach(&attach_from(broker, log_end), &EMPTY_LOG, Moment(0));
        assert_eq!(answer, AttachAnswer::Accepted);
    }
    leader
}

pub(super) fn ack(leader: &mut Leader, broker: i32, log_end: i64, advertised: i64) -> bool {
    leader.on_ack(
        BrokerId(broker),
        attachment(broker),
        ends(log_end, advertised),
        Offset(0),
        Moment(1),
    )
}

/// Appends and flushes on the leader.
pub(super) fn append(leader: &mut Leader, log_end: i64) {
    leader.on_append(Offset(log_end), Moment(1));
    leader.on_advertised(Offset(log_end));
}

// --- High watermark ---

#[test]
fn the_high_watermark_is_the_smallest_advertised_offset_of_the_isr() {
    let mut leader = followed(&[1, 2, 3], 0, 2);
    append(&mut leader, 10);
    assert!(ack(&mut leader, 2, 10, 10));
    assert_eq!(leader.advance_high_watermark(Moment(1), || true), None);
    assert!(ack(&mut leader, 3, 10, 7));
    assert_eq!(leader.advance_high_watermark(Moment(1), || true), Some(Offset(7)));
    assert_eq!(leader.ack_outcome(Offset(7)), AckOutcome::Done(ErrorCode::None));
    assert_eq!(leader.ack_outcome(Offset(8)), AckOutcome::Waiting);
}

#[test]
fn the_leader_counts_itself_only_when_flushed() {
    let mut leader = followed(&[1, 2, 3], 0, 2);
    leader.on_append(Offset(10), Moment(1));
    ack(&mut leader, 2, 10, 10);
    ack(&mut leader, 3, 10, 10);
    assert_eq!(
        leader.advance_high_watermark(Moment(1), || true),
        None,
        "ack before fsync"
    );
    leader.on_advertised(Offset(4));
    assert_eq!(leader.advance_high_watermark(Moment(1), || true), Some(Offset(4)));
}

#[test]
fn the_high_watermark_never_moves_below_the_minimum_isr() {
    let mut leader = followed(&[1], 0, 2);
    append(&mut leader, 10);
    assert_eq!(leader.advance_high_watermark(Moment(100_000), || true), None);
    assert_eq!(leader.check_min_isr(), Err(ErrorCode::NotEnoughReplicas));
}

#[test]
fn the_minimum_is_never_more_than_there_are_replicas() {
    let mut one = LeaderTerm {
        replicas: ids(&[1]),
        ..term(&[1], 1)
    };
    one.isr = ids(&[1]);
    let mut leader = Leader::new(one, rules(2), LogEnds::default(), Offset(0), Moment(0));
    append(&mut leader, 3);
    assert_eq!(leader.check_min_isr(), Ok(()));
    assert_eq!(leader.advance_high_watermark(Moment(1), || true), Some(Offset(3)));
}

#[test]
fn the_high_watermark_never_goes_back() {
    let mut leader = leader(&[1, 2, 3], 10, 8, 2);
    // In this epoch nothing is known of the followers yet, or that they have less.
    assert_eq!(leader.advance_high_watermark(Moment(1), || true), None);
    assert_eq!(
        leader.attach(&attach_from(2, 5), &EMPTY_LOG, Moment(1)),
        AttachAnswer::Accepted
    );
    assert_eq!(
        leader.attach(&attach_from(3, 10), &EMPTY_LOG, Moment(1)),
        AttachAnswer::Accepted
    );
    assert_eq!(leader.advance_high_watermark(Moment(1), || true), None);
    assert_eq!(leader.high_watermark(), Offset(8));
}

#[test]
fn a_proposed_member_counts_before_it_is_committed() {
    // B4: the controller may already have it in the ISR and elect it.
    let mut leader = followed(&[1, 2], 10, 1);
    let proposal = leader.propose(epoch_of(1), Moment(1)).expect("3 can join");
    assert_eq!(
        proposal.isr,
        vec![
            (ME, epoch_of(1)),
            (BrokerId(2), epoch_of(2)),
            (BrokerId(3), epoch_of(3))
        ]
    );
    append(&mut leader, 20);
    ack(&mut leader, 2, 20, 20);
    leader.detach(BrokerId(3), attachment(3));
    assert_eq!(leader.advance_high_watermark(Moment(100_000), || true), None);
    ack(&mut leader, 3, 20, 20);
    assert_eq!(
        leader.high_watermark(),
        Offset(10),
        "a detached follower says nothing"
    );
}

#[test]
fn a_follower_that_is_about_to_join_holds_the_high_watermark() {
    let mut leader = leader(&[1, 2], 10, 10, 1);
    leader.attach(&attach_from(2, 10), &EMPTY_LOG, Moment(0));
    leader.attach(&attach_from(3, 10), &EMPTY_LOG, Moment(0));
    append(&mut leader, 20);
    ack(&mut leader, 2, 20, 20);
    assert_eq!(leader.advance_high_watermark(Moment(1), || true), None);
    // One that is really behind does not.
    assert_eq!(
        leader.advance_high_watermark(Moment(60_000), || true),
        Some(Offset(20))
    );
}

#[test]
fn a_follower_far_behind_does_not_hold_the_high_watermark() {
    let mut leader = leader(&[1, 2], 1000, 1000, 1);
    leader.attach(&attach_from(2, 1000), &EMPTY_LOG, Moment(0));
    leader.attach(&attach_from(3, 5), &EMPTY_LOG, Moment(0));
    append(&mut leader, 1010);
    ack(&mut leader, 2, 1010, 1010);
    assert_eq!(
        leader.advance_high_watermark(Moment(1), || true),
        Some(Offset(1010))
    );
}

#[test]
fn an_isr_that_shrank_after_the_append_is_told() {
    let mut leader = followed(&[1, 2, 3], 10, 2);
    assert!(leader.on_committed(term(&[1], 2), Moment(1)));
    assert_eq!(
        leader.ack_outcome(Offset(10)),
        AckOutcome::Done(ErrorCode::NotEnoughReplicasAfterAppend)
    );
}

#[test]
fn nobody_commits_alone_out_of_contact_with_the_controller() {
    for (isr, in_contact, expected) in [
        (&[1][..], false, None),
        (&[1], true, Some(Offset(20))),
        (&[1, 2], false, Some(Offset(20))),
    ] {
        let mut leader = leader(isr, 10, 10, 1);
        leader.attach(&attach_from(2, 10), &EMPTY_LOG, Moment(0));
        append(&mut leader, 20);
        ack(&mut leader, 2, 20, 20);
        let found = leader.advance_high_watermark(Moment(1), || in_contact);
        assert_eq!(found, expected, "{isr:?} {in_contact}");
    }
    // Whoever was asked to be let in has it too, but may be passed over when another leader is elected.
    for (in_contact, expected) in [(false, None), (true, Some(Offset(20)))] {
        let mut leader = followed(&[1], 10, 1);
        leader.propose(epoch_of(1), Moment(1)).expect("2 and 3 join");
        append(&mut leader, 20);
        ack(&mut leader, 2, 20, 20);
        ack(&mut leader, 3, 20, 20);
        let found = leader.advance_high_watermark(Moment(1), || in_contact);
        assert_eq!(found, expected, "{in_contact}");
    }
}

#[test]
fn what_the_leader_acknowledges_alone_needs_contact_and_the_rest_the_minimum() {
    let enough = followed(&[1, 2], 10, 2);
    let below = followed(&[1], 10, 2);
    let asked = || -> bool { panic!("acks=all is not acknowledged alone") };
    assert_eq!(enough.check_produce(Acks::All, asked), Ok(()));
    let refused = Err(ErrorCode::NotEnoughReplicas);
    assert_eq!(below.check_produce(Acks::All, asked), refused);
    for acks in [Acks::None, Acks::Leader] {
        let refused = Err(ErrorCode::NotLeaderOrFollower);
        assert_eq!(below.check_produce(acks, || true), Ok(()));
        assert_eq!(below.check_produce(acks, || false), refused);
    }
}

// --- ISR ---

#[test]
fn nobody_joins_who_would_be_put_out_at_once() {
    // Too few in sync hold the high watermark, and 2 has reached that, but not what was written long ago.
    let mut leader = leader(&[1], 1000, 10, 2);
    leader.attach(&attach_from(2, 5), &EMPTY_LOG, Moment(0));
    append(&mut leader, 3000);
    let late = Moment(60_000);
    let acked = |leader: &mut Leader, end| {
        let ends = LogEnds::at(Offset(end));
        assert!(leader.on_ack(BrokerId(2), attachment(2), ends, Offset(0), late));
    };
    acked(&mut leader, 500);
    acked(&mut leader, 1500);
    let refused = leader.propose(epoch_of(1), late);
    assert_eq!(refused, None, "it would leave again with the next look");
    acked(&mut leader, 3000);
    let proposal = leader.propose(epoch_of(1), late).expect("it has caught up");
    assert_eq!(proposal.isr.len(), 2);
}

#[test]
fn a_refusal_never_shrinks_the_maximal_isr() {
    // B14: the refused request may have a twin that is still on its way.
    for error in [
        ErrorCode::IneligibleReplica,
        ErrorCode::OperationNotAttempted,
        ErrorCode::RequestTimedOut,
    ] {
        let mut leader = followed(&[1, 2], 10, 1);
        let proposal = leader.propose(epoch_of(1), Moment(1)).unwrap();
        let pause = leader.on_proposal_answered(proposal.id, error);
        assert!(!leader.proposal_in_flight(), "{error}: it may try again");
        assert_eq!(pause, Duration::from_millis(50));
        append(&mut leader, 20);
        ack(&mut leader, 2, 20, 20);
        leader.on_broker(BrokerId(3), Some(epoch_of(3)), false);
        assert_eq!(
            leader.advance_high_watermark(Moment(100_000), || true),
            None,
            "{error}: 3 may be in the ISR"
        );
        // Asking for the committed ISR settles it.
        let settling = leader.propose(epoch_of(1), Moment(100_000)).expect("unsettled");
        assert_eq!(settling.isr.len(), 2);
        assert!(leader.on_committed(term(&[1, 2], 2), Moment(100_000)));
        assert_eq!(
            leader.advance_high_watermark(Moment(100_000), || true),
            Some(Offset(20))
        );
    }
}

#[test]
fn one_proposal_is_in_flight_and_late_answers_are_ignored() {
    let mut leader = followed(&[1], 10, 1);
    let first = leader.propose(epoch_of(1), Moment(1)).unwrap();
    assert_eq!(leader.propose(epoch_of(1), Moment(1)), None);
    assert!(leader.on_committed(term(&[1, 2, 3], 2), Moment(1)));
    leader.on_broker(BrokerId(3), Some(epoch_of(3)), false);
    let second = leader.propose(epoch_of(1), Moment(1)).expect("3 was fenced");
    leader.on_proposal_answered(first.id, ErrorCode::RequestTimedOut);
    assert!(leader.proposal_in_flight());
    // Of the same number, but of an earlier term of this broker.
    let former = ProposalId {
        leader_epoch: LeaderEpoch(EPOCH.0 - 1),
        ..second.id
    };
    leader.on_proposal_answered(former, ErrorCode::RequestTimedOut);
    leader.forget_attempt(former);
    assert!(leader.proposal_in_flight());
    assert_eq!(second.partition_epoch, PartitionEpoch(2));
}

#[test]
fn answers_that_announce_metadata_keep_the_attempt_in_flight() {
    for error in [
        ErrorCode::None,
        ErrorCode::InvalidUpdateVersion,
        ErrorCode::NewLeaderElected,
    ] {
        let mut leader = followed(&[1], 10, 1);
        let id = leader.propose(epoch_of(1), Moment(1)).unwrap().id;
        let patience = leader.on_proposal_answered(id, error);
        assert!(leader.proposal_in_flight(), "{error}");
        assert_eq!(patience, Duration::from_secs(1));
        leader.forget_attempt(ProposalId {
            attempt: id.attempt + 1,
            ..id
        });
        assert!(leader.proposal_in_flight());
        leader.forget_attempt(id);
        assert!(!leader.proposal_in_flight());
    }
}

#[test]
fn only_newer_registrations_of_the_same_epoch_count() {
    let mut leader = followed(&[1, 2, 3], 10, 1);
    assert!(!leader.on_committed(term(&[1], 1), Moment(1)));
    let other_epoch = LeaderTerm {
        leader_epoch: LeaderEpoch(6),
        ..term(&[1], 9)
    };
    assert!(!leader.on_committed(other_epoch, Moment(1)));
    assert!(leader.on_committed(term(&[1], 2), Moment(1)));
}

#[test]
fn joining_needs_the_epoch_start_not_only_the_high_watermark() {
    // B8: a new leader's high watermark may lie below what its predecessor had committed.
    let mut leader = leader(&[1, 2], 10, 4, 1);
    leader.attach(&attach_from(2, 10), &EMPTY_LOG, Moment(0));
    leader.attach(&attach_from(3, 5), &EMPTY_LOG, Moment(0));
    assert_eq!(leader.propose(epoch_of(1), Moment(1)), None);
    assert!(ack(&mut leader, 3, 9, 9));
    assert_eq!(leader.propose(epoch_of(1), Moment(1)), None);
    assert!(ack(&mut leader, 3, 10, 10));
    assert!(leader.propose(epoch_of(1), Moment(1)).is_some());
}

#[test]
fn joining_needs_the_high_watermark_on_disk() {
    let mut leader = leader(&[1, 2], 0, 0, 1);
    for broker in [2, 3] {
        leader.attach(&attach_from(broker, 0), &EMPTY_LOG, Moment(0));
    }
    append(&mut leader, 10);
    ack(&mut leader, 2, 10, 10);
    leader.advance_high_watermark(Moment(100_000), || true);
    assert_eq!(leader.high_watermark(), Offset(10));
    ack(&mut leader, 3, 10, 9);
    assert_eq!(leader.propose(epoch_of(1), Moment(2)), None);
    ack(&mut leader, 3, 10, 10);
    assert!(leader.propose(epoch_of(1), Moment(2)).is_some());
}

#[test]
fn joining_needs_a_living_broker_under_the_epoch_it_attached_with() {
    let cases: [(&str, Option<BrokerEpoch>, bool); 3] = [
        ("fenced or shutting down", Some(epoch_of(3)), false),
        ("registered anew", Some(BrokerEpoch(999)), true),
        ("not registered", None, true),
    ];
    for (case, registered, eligible) in cases {
        let mut leader = followed(&[1, 2], 10, 1);
        leader.on_broker(BrokerId(3), registered, eligible);
        assert_eq!(leader.propose(epoch_of(1), Moment(1)), None, "{case}");
    }
    let mut unattached = leader(&[1, 2], 10, 10, 1);
    unattached.attach(&attach_from(2, 10), &EMPTY_LOG, Moment(0));
    assert_eq!(
        unattached.propose(epoch_of(1), Moment(1)),
        None,
        "never attached in this epoch"
    );
}

#[test]
fn a_member_that_lost_committed_records_leaves_at_once() {
    let mut leader = leader(&[1, 2, 3], 10, 8, 1);
    leader.attach(&attach_from(2, 8), &EMPTY_LOG, Moment(0));
    leader.attach(&attach_from(3, 7), &EMPTY_LOG, Moment(0));
    let proposal = leader.propose(epoch_of(1), Moment(1)).unwrap();
    assert_eq!(
        proposal.isr.iter().map(|(id, _)| id.0).collect::<Vec<_>>(),
        [1, 2]
    );
}

#[test]
fn a_leader_after_an_unclean_election_reports_its_recovery() {
    let recovering = LeaderTerm {
        recovering: true,
        ..term(&[1], 1)
    };
    let mut leader = Leader::new(recovering, rules(1), LogEnds::at(Offset(5)), Offset(5), Moment(0));
    assert_eq!(
        leader.propose(epoch_of(1), Moment(1)).unwrap().isr,
        vec![(ME, epoch_of(1))]
    );
    assert!(leader.on_committed(term(&[1], 2), Moment(1)));
    assert_eq!(leader.propose(epoch_of(1), Moment(1)), None);
}

// --- Attaching and acknowledging ---

#[test]
fn followers_of_another_epoch_are_refused() {
    // B3: unfenced, a zombie's progress would count.
    let mut leader = leader(&[1, 2, 3], 10, 10, 1);
    for (epoch, error) in [
        (4, ErrorCode::FencedLeaderEpoch),
        (6, ErrorCode::UnknownLeaderEpoch),
    ] {
        let attach = Attach {
            leader_epoch: LeaderEpoch(epoch),
            ..attach_from(2, 10)
        };
        assert_eq!(
            leader.attach(&attach, &EMPTY_LOG, Moment(1)),
            AttachAnswer::Refused(error)
        );
    }
    let stranger = attach_from(9, 10);
    let refused = AttachAnswer::Refused(ErrorCode::UnknownLeaderEpoch);
    assert_eq!(leader.attach(&stranger, &EMPTY_LOG, Moment(1)), refused);
}

#[test]
fn an_older_incarnation_is_refused_and_its_acks_do_not_count() {
    let mut leader = followed(&[1, 2, 3], 10, 1);
    append(&mut leader, 20);
    leader.on_broker(BrokerId(2), Some(BrokerEpoch(99)), true);
    assert!(
        !ack(&mut leader, 2, 20, 20),
        "what is still on its way from the old process"
    );
    let again = Attach {
        attachment: AttachmentId { stream: 8, attach: 7 },
        ..attach_from(2, 10)
    };
    let refused = AttachAnswer::Refused(ErrorCode::StaleBrokerEpoch);
    assert_eq!(leader.attach(&again, &EMPTY_LOG, Moment(1)), refused);
    let new = Attach {
        broker_epoch: BrokerEpoch(99),
        ..again
    };
    assert_eq!(leader.attach(&new, &EMPTY_LOG, Moment(1)), AttachAnswer::Accepted);
}

#[test]
fn acks_are_matched_by_attachment_not_by_offset() {
    // B: the same offset can be reached twice inside one epoch.
    let mut leader = followed(&[1, 2, 3], 10, 1);
    append(&mut leader, 20);
    let second = AttachmentId { stream: 7, attach: 2 };
    let attach = Attach {
        attachment: second,
        ..attach_from(2, 10)
    };
    assert_eq!(
        leader.attach(&attach, &EMPTY_LOG, Moment(1)),
        AttachAnswer::Accepted
    );
    assert!(!ack(&mut leader, 2, 20, 20), "an ack of the attachment before");
    assert!(leader.on_ack(BrokerId(2), second, ends(20, 20), Offset(0), Moment(1)));
    assert!(!leader.is_attached(BrokerId(2), attachment(2)));
    let late = Attach {
        attachment: AttachmentId { stream: 9, attach: 1 },
        ..attach_from(2, 10)
    };
    let refused = AttachAnswer::Refused(ErrorCode::StaleBrokerEpoch);
    assert_eq!(
        leader.attach(&late, &EMPTY_LOG, Moment(1)),
        refused,
        "an attach that was overtaken"
    );
}

#[test]
fn acks_outside_the_log_are_ignored() {
    let mut leader = followed(&[1, 2, 3], 10, 1);
    append(&mut leader, 20);
    assert!(!ack(&mut leader, 2, 21, 20));
    assert!(!ack(&mut leader, 2, 20, 21));
    assert!(ack(&mut leader, 2, 20, 20));
    assert!(!ack(&mut leader, 2, 15, 15), "an attachment never goes back");
}

#[test]
fn a_log_that_is_no_prefix_is_told_where_to_truncate() {
    let leader = leader(&[1, 2, 3], 20, 10, 1);
    let log = |end: Option<(i32, i64)>| LogSummary {
        log_start: Offset(2),
        end_for_last_epoch: end.map(|(epoch, end)| (LeaderEpoch(epoch), Offset(end))),
        latest_epoch: Some(EPOCH),
        unclean: None,
    };
    // (follower's last epoch, its log end, endOffsetFor it on the leader, expected)
    let diverged = |epoch, end| AttachAnswer::Diverged {
        epoch: LeaderEpoch(epoch),
        end: Offset(end),
        log_start: Offset(2),
        unclean: None,
    };
    let out = AttachAnswer::OutOfRange {
        log_start: Offset(2),
        log_end: Offset(20),
        unclean: None,
    };
    let cases = [
        (Some(3), 15, Some((3, 15)), AttachAnswer::Accepted),
        (Some(3), 15, Some((3, 18)), AttachAnswer::Accepted),
        (Some(3), 15, Some((3, 12)), diverged(3, 12)),
        (Some(3), 15, Some((2, 9)), diverged(2, 9)),
        (Some(9), 15, None, diverged(5, 20)),
        (Some(3), 1, Some((3, 15)), out),
        (None, 25, None, out),
        (None, 0, None, out),
        (None, 2, None, AttachAnswer::Accepted),
    ];
    for (last, log_end, end, expected) in cases {
        let attach = Attach {
            last_epoch: last.map(LeaderEpoch),
            ..attach_from(2, log_end)
        };
        let answer = leader.clone().attach(&attach, &log(end), Moment(1));
        assert_eq!(
            answer, expected,
            "last epoch {last:?}, log end {log_end}, leader's end {end:?}"
        );
    }
}

#[test]
fn a_fork_says_which_unclean_election_it_lies_at() {
    let epochs = [2, 3, 7, 9].map(LeaderEpoch);
    let summary = LogSummary {
        log_start: Offset(2),
        end_for_last_epoch: Some((LeaderEpoch(3), Offset(12))),
        latest_epoch: Some(EPOCH),
        unclean: None,
    };
    let between = |last: Option<i32>| {
        let mut asked = None;
        let with = summary.with_unclean(last.map(LeaderEpoch), epochs, |after, up_to| {
            asked = Some((after.0, up_to.0));
            Some(LeaderEpoch(7))
        });
        assert_eq!(with.unclean.is_some(), asked.is_some());
        asked
    };
    assert_eq!(between(Some(3)), Some((3, 7)), "up to the leader's next epoch");
    assert_eq!(
        between(Some(5)),
        Some((5, 7)),
        "an epoch that the leader does not have"
    );
    assert_eq!(between(Some(9)), None, "no election came after it");
    assert_eq!(between(None), None);
    let summary = LogSummary {
        unclean: Some(LeaderEpoch(7)),
        ..summary
    };
    let mut leader = leader(&[1, 2, 3], 20, 10, 1);
    let mut answer = |log_end| {
        let attach = Attach {
            last_epoch: Some(LeaderEpoch(3)),
            ..attach_from(2, log_end)
        };
        leader.attach(&attach, &summary, Moment(1))
    };
    let (log_start, log_end, unclean) = (Offset(2), Offset(20), Some(LeaderEpoch(7)));
    let diverged = AttachAnswer::Diverged {
        epoch: LeaderEpoch(3),
        end: Offset(12),
        log_start,
        unclean,
    };
    assert_eq!(answer(15), diverged);
    let out = AttachAnswer::OutOfRange {
        log_start,
        log_end,
        unclean,
    };
    assert_eq!(answer(1), out);
    assert_eq!(answer(12), AttachAnswer::Accepted, "there is no fork");
}

#[test]
fn a_replica_that_was_removed_and_added_again_starts_anew() {
    // B15: a new disk may stand behind the same broker id.
    let mut leader = followed(&[1, 2, 3], 10, 1);
    let without = LeaderTerm {
        replicas: ids(&[1, 2]),
        ..term(&[1, 2], 2)
    };
    assert!(leader.on_committed(without, Moment(1)));
    assert!(leader.on_committed(term(&[1, 2], 3), Moment(1)));
    leader.on_broker(BrokerId(3), Some(epoch_of(3)), true);
    assert!(!leader.is_attached(BrokerId(3), attachment(3)));
    assert_eq!(leader.propose(epoch_of(1), Moment(1)), None);
}

#[test]
fn the_low_watermark_is_the_smallest_log_start_of_the_living() {
    let mut leader = followed(&[1, 2, 3], 10, 1);
    for (broker, log_start) in [(2, 4), (3, 2)] {
        leader.on_ack(
            BrokerId(broker),
            attachment(broker),
            ends(10, 10),
            Offset(log_start),
            Moment(1),
        );
    }
    assert_eq!(leader.low_watermark(Offset(5)), Offset(2));
    leader.on_broker(BrokerId(3), Some(epoch_of(3)), false);
    assert_eq!(leader.low_watermark(Offset(5)), Offset(4));
}

// --- Records at risk ---

#[test]
fn records_that_only_the_minimum_has_are_at_risk() {
    let mut leader = followed(&[1, 2, 3], 10, 2);
    append(&mut leader, 15);
    for broker in [2, 3] {
        ack(&mut leader, broker, 15, 15);
    }
    leader.advance_high_watermark(Moment(1), || true);
    assert_eq!(leader.at_risk(), 0);
    // Broker 3 is out, and stays where it was.
    leader.on_committed(term(&[1, 2], 2), Moment(2));
    leader.on_broker(BrokerId(3), Some(epoch_of(3)), false);
    append(&mut leader, 22);
    ack(&mut leader, 2, 22, 22);
    leader.advance_high_watermark(Moment(2), || true);
    assert_eq!(leader.at_risk(), 7);
    ack(&mut leader, 3, 22, 20);
    assert_eq!(leader.at_risk(), 2, "what is not flushed does not count");
}

#[test]
fn a_topic_that_cannot_have_more_replicas_has_no_records_at_risk() {
    let mut leader = leader(&[1], 10, 10, 3);
    append(&mut leader, 20);
    assert_eq!(leader.at_risk(), 0);
}

#[test]
fn a_replica_that_never_came_has_what_the_epoch_began_with() {
    let mut leader = leader(&[1], 10, 10, 1);
    append(&mut leader, 14);
    leader.advance_high_watermark(Moment(1), || true);
    assert_eq!(leader.at_risk(), 4);
}

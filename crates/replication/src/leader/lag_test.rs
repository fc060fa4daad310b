//! Who lags, and who does not.

use super::isr::ProposalId;
use super::state::Leader;
use super::state_test::{EPOCH, ack, append, attachment, ends, epoch_of, followed};
use crate::Moment;
use milena_types::{BrokerId, Offset};
use std::time::Duration;

#[test]
fn a_member_that_lags_too_long_leaves() {
    let mut leader = followed(&[1, 2, 3], 10, 1);
    append(&mut leader, 20);
    ack(&mut leader, 2, 20, 20);
    assert_eq!(leader.propose(epoch_of(1), Moment(30_000)), None);
    let proposal = leader.propose(epoch_of(1), Moment(30_002)).unwrap();
    assert_eq!(
        proposal.isr.iter().map(|(id, _)| id.0).collect::<Vec<_>>(),
        [1, 2]
    );
}

/// With an empty log; 3 is fenced.
fn two() -> Leader {
    let mut leader = followed(&[1, 2], 0, 1);
    leader.on_broker(BrokerId(3), Some(epoch_of(3)), false);
    leader
}

/// Whether 2 stays in the ISR when its leader appends each second and it acks what it has, and what of it is flushed.
fn under_load(flushed: impl Fn(i64) -> i64) -> bool {
    let mut leader = two();
    (1..100_i64).all(|step| {
        let now = Moment(u64::try_from(step).unwrap() * 1000);
        leader.on_append(Offset(step), now);
        let took = leader.on_ack(
            BrokerId(2),
            attachment(2),
            ends(step, flushed(step)),
            Offset(0),
            now,
        );
        assert!(took);
        leader.propose(epoch_of(1), now).is_none()
    })
}

#[test]
fn a_member_that_never_flushes_leaves_though_it_has_every_record() {
    // It holds the high watermark: nothing would be acknowledged for as long as it stayed.
    assert!(!under_load(|step| step.min(5)));
    // Nor is it there for ever when nothing comes any more.
    let mut leader = two();
    append(&mut leader, 20);
    ack(&mut leader, 2, 20, 10);
    assert_eq!(leader.propose(epoch_of(1), Moment(30_000)), None);
    assert!(leader.propose(epoch_of(1), Moment(30_002)).is_some());
}

#[test]
fn a_member_whose_flush_ends_several_acks_later_stays() {
    assert!(under_load(|step| (step - 10).max(0)));
}

#[test]
fn an_idle_hour_is_no_lag() {
    let mut leader = followed(&[1, 2, 3], 10, 1);
    let hour = Moment(3_600_000);
    assert_eq!(leader.propose(epoch_of(1), hour), None);
    leader.on_append(Offset(11), hour);
    assert_eq!(
        leader.propose(epoch_of(1), hour.plus(Duration::from_secs(29))),
        None
    );
    assert!(
        leader
            .propose(epoch_of(1), hour.plus(Duration::from_secs(31)))
            .is_some()
    );
}

#[test]
fn a_follower_that_keeps_pace_under_load_stays_in_sync() {
    // It never has everything, but always what the leader had at its previous ack.
    let mut leader = followed(&[1, 2], 0, 1);
    for step in 1..100_i64 {
        let now = Moment(u64::try_from(step).unwrap() * 1000);
        leader.on_append(Offset(step * 10), now);
        let log_end = (step - 1) * 10;
        leader.on_ack(BrokerId(2), attachment(2), ends(log_end, log_end), Offset(0), now);
        assert!(
            leader
                .propose(epoch_of(1), now)
                .is_none_or(|p| p.isr.iter().any(|(id, _)| id.0 == 2))
        );
        leader.forget_attempt(ProposalId {
            leader_epoch: EPOCH,
            attempt: 1,
        });
    }
}

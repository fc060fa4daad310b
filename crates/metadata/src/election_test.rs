//! The rules of one partition change, one by one.

use super::*;
use milena_types::{LeaderEpoch, PartitionEpoch};

fn ids(list: &[i32]) -> Vec<BrokerId> {
    list.iter().map(|b| BrokerId(*b)).collect()
}

fn partition(replicas: &[i32], isr: &[i32], leader: Option<i32>) -> PartitionRegistration {
    PartitionRegistration {
        leader: leader.map(BrokerId),
        leader_epoch: LeaderEpoch(5),
        partition_epoch: PartitionEpoch(9),
        ..PartitionRegistration::new(ids(replicas), ids(isr))
    }
}

const ALL: &dyn Fn(BrokerId) -> bool = &|_| true;

fn change<'a>(
    before: &'a PartitionRegistration,
    is_live: &'a dyn Fn(BrokerId) -> bool,
) -> PartitionChange<'a> {
    PartitionChange::new(before, is_live, 2, true)
}

#[test]
fn nothing_to_do_is_no_change() {
    let p = partition(&[1, 2, 3], &[1, 2, 3], Some(1));
    assert_eq!(change(&p, ALL).build(), None);
}

#[test]
fn an_isr_shrink_keeps_the_leader_epoch() {
    let p = partition(&[1, 2, 3], &[1, 2, 3], Some(1));
    let after = change(&p, ALL).isr(ids(&[1, 2])).build().unwrap();
    assert_eq!(
        (after.leader_epoch, after.partition_epoch),
        (LeaderEpoch(5), PartitionEpoch(10))
    );
    assert_eq!(
        (after.isr, after.elr, after.leader),
        (ids(&[1, 2]), vec![], Some(BrokerId(1)))
    );
}

#[test]
fn the_next_leader_is_the_first_in_sync_in_assignment_order() {
    let p = partition(&[1, 3, 2], &[1, 2, 3], Some(1));
    let after = change(&p, &|b| b != BrokerId(1))
        .without(BrokerId(1))
        .build()
        .unwrap();
    assert_eq!(after.leader, Some(BrokerId(3)));
    assert_eq!(after.isr, ids(&[2, 3]));
    assert_eq!(
        (after.leader_epoch, after.partition_epoch),
        (LeaderEpoch(6), PartitionEpoch(10))
    );
}

#[test]
fn who_leaves_below_min_isr_is_eligible_until_min_isr_is_reached_again() {
    let p = partition(&[1, 2, 3], &[1, 2], Some(1));
    let below = change(&p, &|b| b != BrokerId(2))
        .without(BrokerId(2))
        .build()
        .unwrap();
    assert_eq!((below.isr.clone(), below.elr.clone()), (ids(&[1]), ids(&[2])));
    let empty = change(&below, &|b| b == BrokerId(3))
        .without(BrokerId(1))
        .build()
        .unwrap();
    assert_eq!((empty.leader, empty.isr.clone()), (None, vec![]));
    assert_eq!(
        (empty.elr.clone(), empty.last_known_elr.clone()),
        (ids(&[2, 1]), ids(&[1]))
    );
    // An eligible replica comes back: it leads alone, cleanly.
    let led = change(&empty, &|b| b == BrokerId(2)).build().unwrap();
    assert_eq!(
        (led.leader, led.isr.clone(), led.elr.clone()),
        (Some(BrokerId(2)), ids(&[2]), ids(&[1]))
    );
    assert!(!led.recovering && led.last_known_elr.is_empty());
    let full = change(&led, ALL).isr(ids(&[2, 3])).build().unwrap();
    assert_eq!(full.elr, vec![]);
}

#[test]
fn a_replica_outside_isr_and_elr_is_elected_only_uncleanly() {
    let mut p = partition(&[1, 2, 3], &[], None);
    p.elr = ids(&[1]);
    let only_three: &dyn Fn(BrokerId) -> bool = &|b| b == BrokerId(3);
    assert_eq!(change(&p, only_three).build(), None);
    let after = change(&p, only_three)
        .election(Election::Unclean)
        .build()
        .unwrap();
    assert_eq!(
        (after.leader, &after.isr, &after.elr),
        (Some(BrokerId(3)), &ids(&[3]), &vec![])
    );
    assert!(after.recovering);
    assert_eq!(after.leader_epoch, LeaderEpoch(6));
    assert_eq!(after.unclean_epochs, [LeaderEpoch(6)]);
    // It is remembered when the leader has recovered, over clean elections, and beside the next.
    let after = change(&after, ALL)
        .isr(ids(&[1, 3]))
        .recovering(false)
        .build()
        .unwrap();
    let after = change(&after, ALL).without(BrokerId(3)).build().unwrap();
    assert_eq!(
        (after.leader, after.leader_epoch),
        (Some(BrokerId(1)), LeaderEpoch(7))
    );
    assert_eq!(after.unclean_epochs, [LeaderEpoch(6)]);
    let only_two: &dyn Fn(BrokerId) -> bool = &|b| b == BrokerId(2);
    let again = change(&after, only_two)
        .without(BrokerId(1))
        .election(Election::Unclean);
    assert_eq!(again.build().unwrap().unclean_epochs, [6, 8].map(LeaderEpoch));
    // A live eligible replica is preferred even then.
    let after = change(&p, ALL).election(Election::Unclean).build().unwrap();
    assert_eq!((after.leader, after.recovering), (Some(BrokerId(1)), false));
    assert_eq!(after.unclean_epochs, []);
}

#[test]
fn the_last_known_leader_is_elected_when_nobody_is_eligible() {
    let mut p = partition(&[1, 2, 3], &[1], Some(1));
    p.elr = ids(&[2]);
    let none: &dyn Fn(BrokerId) -> bool = &|_| false;
    let mut gone = change(&p, none).unclean_shutdown(BrokerId(1)).build().unwrap();
    assert_eq!(
        (gone.isr.clone(), gone.elr.clone(), gone.last_known_elr.clone()),
        (vec![], ids(&[2]), ids(&[1]))
    );
    gone.elr.clear();
    assert_eq!(
        change(&gone, &|b| b == BrokerId(2)).build(),
        None,
        "not the last known leader"
    );
    let back = change(&gone, &|b| b == BrokerId(1)).build().unwrap();
    assert_eq!((back.leader, back.isr), (Some(BrokerId(1)), ids(&[1])));
    assert!(back.recovering && back.last_known_elr.is_empty());
    assert_eq!(back.unclean_epochs, [back.leader_epoch]);
}

#[test]
fn preferred_election_takes_the_first_replica_only_when_in_sync() {
    let p = partition(&[1, 2, 3], &[1, 2, 3], Some(2));
    let after = change(&p, ALL).election(Election::Preferred).build().unwrap();
    assert_eq!(after.leader, Some(BrokerId(1)));
    let p = partition(&[1, 2, 3], &[2, 3], Some(3));
    assert_eq!(change(&p, ALL).election(Election::Preferred).build(), None);
}

#[test]
fn without_elr_the_last_member_stays_in_the_isr() {
    let p = partition(&[1, 2], &[1], Some(1));
    let after = PartitionChange::new(&p, &|b| b == BrokerId(2), 1, false)
        .without(BrokerId(1))
        .build()
        .unwrap();
    assert_eq!(
        (after.leader, after.isr.clone(), after.elr.clone()),
        (None, ids(&[1]), vec![])
    );
    let back = PartitionChange::new(&after, ALL, 1, false).build().unwrap();
    assert_eq!(
        (back.leader, back.isr, back.recovering),
        (Some(BrokerId(1)), ids(&[1]), false)
    );
}

#[test]
fn a_reassignment_ends_when_the_new_replicas_are_in_sync() {
    let p = partition(&[1, 2], &[1, 2], Some(1));
    let begun = change(&p, ALL)
        .assignment(ids(&[3, 2, 1]), ids(&[3]), ids(&[1]))
        .build()
        .unwrap();
    assert_eq!(
        (begun.leader, begun.leader_epoch),
        (Some(BrokerId(1)), LeaderEpoch(5))
    );
    let done = change(&begun, ALL).isr(ids(&[1, 2, 3])).build().unwrap();
    assert_eq!(
        (done.replicas.clone(), done.isr.clone()),
        (ids(&[3, 2]), ids(&[2, 3]))
    );
    assert_eq!(
        (done.leader, done.leader_epoch),
        (Some(BrokerId(3)), LeaderEpoch(6))
    );
    assert!(done.adding.is_empty() && done.removing.is_empty());
    // Only a follower goes: the leader stays, and its epoch grows all the same.
    let begun = change(&p, ALL)
        .assignment(ids(&[1, 2]), vec![], ids(&[2]))
        .build()
        .unwrap();
    assert_eq!((begun.replicas, begun.leader), (ids(&[1]), Some(BrokerId(1))));
    assert_eq!(begun.leader_epoch, LeaderEpoch(6));
}

#[test]
fn a_reassignment_does_not_end_with_the_death_of_the_last_other_one_that_has_everything() {
    // 1 goes, 3 has come, 2 is away: what was acknowledged is on 1 and 3.
    let p = partition(&[3, 2, 1], &[1, 3], Some(1));
    let moving = PartitionRegistration {
        adding: ids(&[3]),
        removing: ids(&[1]),
        ..p
    };
    let dead = |b: BrokerId| b == BrokerId(3);
    let fenced = PartitionChange::new(&moving, &dead, 2, true)
        .without(BrokerId(1))
        .build()
        .unwrap();
    assert_eq!((fenced.isr.clone(), fenced.elr.clone()), (ids(&[3]), ids(&[1])));
    assert_eq!(fenced.removing, ids(&[1]), "it waits for 2, or for 1");
    let joined = PartitionChange::new(&fenced, ALL, 2, true)
        .isr(ids(&[3, 2]))
        .build()
        .unwrap();
    assert_eq!((joined.replicas, joined.isr), (ids(&[3, 2]), ids(&[3, 2])));
    // Its disk is gone: nobody waits for that.
    let wiped = PartitionChange::new(&fenced, ALL, 2, true)
        .wiped(BrokerId(1))
        .build()
        .unwrap();
    assert_eq!((wiped.replicas, wiped.elr), (ids(&[3, 2]), vec![]));
}

#[test]
fn min_isr_above_the_replication_factor_counts_as_the_replication_factor() {
    let p = partition(&[1], &[1], Some(1));
    let gone = change(&p, &|_| false).without(BrokerId(1)).build().unwrap();
    assert_eq!((gone.isr.clone(), gone.elr.clone()), (vec![], ids(&[1])));
    let back = change(&gone, ALL).build().unwrap();
    assert_eq!(
        (back.leader, back.elr, back.recovering),
        (Some(BrokerId(1)), vec![], false)
    );
}

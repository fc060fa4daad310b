//! Reassignments as an administrator sees them: what is refused, what begins, what ends, what is undone.

use super::*;
use crate::plan::testing::Cluster;
use crate::request::{AdminReply, AdminRequest};
use milena_types::{LeaderEpoch, TopicId};

fn ids(list: &[i32]) -> Vec<BrokerId> {
    list.iter().copied().map(BrokerId).collect()
}

fn ask(partition: i32, replicas: Option<&[i32]>) -> Reassign {
    Reassign {
        topic: "t".into(),
        partition,
        replicas: replicas.map(ids),
    }
}

/// Five brokers and topic `t`, whose partition 0 is at [0, 1, 2].
fn setup(configs: &[(&str, &str)]) -> (Cluster, TopicId) {
    let mut cluster = Cluster::with_brokers(5);
    let topic = cluster.create_with("t", 1, 3, configs);
    run(&mut cluster, ask(0, Some(&[0, 1, 2])), true);
    for broker in ids(&[0, 1, 2]) {
        cluster.join_isr(topic, 0, broker);
    }
    let state = cluster.partition(topic, 0);
    assert_eq!((state.replicas, state.isr.len()), (ids(&[0, 1, 2]), 3));
    (cluster, topic)
}

fn run(cluster: &mut Cluster, item: Reassign, allow_factor: bool) -> Outcome {
    let request = AdminRequest::AlterPartitionReassignments {
        partitions: vec![item],
        allow_replication_factor_change: allow_factor,
    };
    match cluster.plan(|image, ctx| crate::plan::admin(image, &request, ctx)) {
        AdminReply::AlterPartitionReassignments(mut outcomes) => outcomes.remove(0),
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_cannot_be_is_refused_in_kafkas_words() {
    let (mut cluster, topic) = setup(&[]);
    let before = cluster.partition(topic, 0);
    let unknown_topic = Reassign {
        topic: "x".into(),
        ..ask(0, None)
    };
    let cases = [
        (
            unknown_topic,
            ErrorCode::UnknownTopicOrPartition,
            "Unable to find a topic named x.",
        ),
        (
            ask(7, None),
            ErrorCode::UnknownTopicOrPartition,
            "Unable to find partition t:7.",
        ),
        (
            ask(0, None),
            ErrorCode::NoReassignmentInProgress,
            "No partition reassignment is in progress.",
        ),
        (
            ask(0, Some(&[])),
            ErrorCode::InvalidReplicaAssignment,
            "The manual partition assignment includes an empty replica list.",
        ),
        (
            ask(0, Some(&[0, 9])),
            ErrorCode::InvalidReplicaAssignment,
            "The manual partition assignment includes broker 9, but no such broker is registered.",
        ),
        (
            ask(0, Some(&[1, 1])),
            ErrorCode::InvalidReplicaAssignment,
            "The manual partition assignment includes the broker 1 more than once.",
        ),
    ];
    for (item, error, message) in cases {
        assert_eq!(run(&mut cluster, item, true), Outcome::failed(error, message));
    }
    assert_eq!(
        run(&mut cluster, ask(0, Some(&[0, 1])), false),
        Outcome::failed(
            ErrorCode::InvalidReplicationFactor,
            "The replication factor is changed from 3 to 2"
        )
    );
    assert_eq!(cluster.partition(topic, 0), before);
}

#[test]
fn a_partition_moves_when_its_new_replicas_are_in_sync() {
    let (mut cluster, topic) = setup(&[]);
    assert_eq!(run(&mut cluster, ask(0, Some(&[3, 1, 4])), false), Outcome::OK);
    let begun = cluster.partition(topic, 0);
    assert_eq!(begun.replicas, ids(&[3, 1, 4, 0, 2]));
    assert_eq!(
        (&begun.adding[..], &begun.removing[..]),
        (&ids(&[3, 4])[..], &ids(&[0, 2])[..])
    );
    assert_eq!(begun.leader, Some(BrokerId(0)));
    // The factor counts as that of the target.
    assert_eq!(
        run(&mut cluster, ask(0, Some(&[3, 1])), false).error,
        ErrorCode::InvalidReplicationFactor
    );
    let epoch = begun.leader_epoch;
    cluster.join_isr(topic, 0, BrokerId(3));
    assert_eq!(
        cluster.partition(topic, 0).leader,
        Some(BrokerId(0)),
        "4 is not there yet"
    );
    let mut isr = cluster.partition(topic, 0).isr;
    isr.push(BrokerId(4));
    let proposal = cluster.proposal(topic, 0, &isr);
    assert_eq!(cluster.alter(&proposal), ErrorCode::NewLeaderElected);
    let done = cluster.partition(topic, 0);
    assert_eq!(
        (&done.replicas[..], done.leader),
        (&ids(&[3, 1, 4])[..], Some(BrokerId(3)))
    );
    assert_eq!(done.leader_epoch, epoch.next());
    assert!(Reassignment::of(&done).is_none());
}

#[test]
fn another_order_is_taken_at_once_and_the_same_is_no_change() {
    let (mut cluster, topic) = setup(&[]);
    let before = cluster.partition(topic, 0);
    assert_eq!(run(&mut cluster, ask(0, Some(&[0, 1, 2])), true), Outcome::OK);
    assert_eq!(cluster.partition(topic, 0), before);
    assert_eq!(run(&mut cluster, ask(0, Some(&[2, 0, 1])), true), Outcome::OK);
    let after = cluster.partition(topic, 0);
    assert_eq!(
        (&after.replicas[..], after.leader),
        (&ids(&[2, 0, 1])[..], before.leader)
    );
    assert_eq!(after.leader_epoch, before.leader_epoch);
}

#[test]
fn a_cancelled_move_leaves_what_was() {
    let (mut cluster, topic) = setup(&[]);
    run(&mut cluster, ask(0, Some(&[3, 4])), true);
    cluster.join_isr(topic, 0, BrokerId(3));
    let epoch: LeaderEpoch = cluster.partition(topic, 0).leader_epoch;
    assert_eq!(run(&mut cluster, ask(0, None), true), Outcome::OK);
    let after = cluster.partition(topic, 0);
    assert_eq!(after.replicas, ids(&[0, 1, 2]));
    assert_eq!((after.isr.len(), after.leader), (3, Some(BrokerId(0))));
    assert_eq!(after.leader_epoch, epoch.next(), "a replica went");
    assert_eq!(
        run(&mut cluster, ask(0, None), true).error,
        ErrorCode::NoReassignmentInProgress
    );
}

/// Only replicas that came with the move have everything, then the move is cancelled, then 1 of the old ones comes back.
fn cancel_without_the_old(configs: &[(&str, &str)]) -> (Outcome, PartitionRegistration) {
    let (mut cluster, topic) = setup(configs);
    run(&mut cluster, ask(0, Some(&[0, 1])), true);
    run(&mut cluster, ask(0, Some(&[2, 3, 4])), true);
    cluster.join_isr(topic, 0, BrokerId(2));
    cluster.join_isr(topic, 0, BrokerId(3));
    cluster.fence(BrokerId(0));
    cluster.fence(BrokerId(1));
    let only = cluster.partition(topic, 0);
    assert_eq!((&only.isr[..], &only.elr[..]), (&ids(&[2, 3])[..], &[][..]));
    assert_eq!(only.adding, ids(&[2, 3, 4]));
    let outcome = run(&mut cluster, ask(0, None), true);
    cluster.unfence(BrokerId(1));
    (outcome, cluster.partition(topic, 0))
}

#[test]
fn a_cancellation_that_would_lose_records_takes_an_unclean_election() {
    let (outcome, after) = cancel_without_the_old(&[]);
    let message =
        "Unable to revert partition assignment for t:0 because it would require an unclean leader election.";
    assert_eq!(
        outcome,
        Outcome::failed(ErrorCode::InvalidReplicaAssignment, message)
    );
    assert_eq!((&after.isr[..], after.recovering), (&ids(&[2, 3])[..], false));

    let (outcome, after) = cancel_without_the_old(&[("unclean.leader.election.enable", "true")]);
    assert_eq!(outcome, Outcome::OK);
    assert_eq!(after.replicas, ids(&[0, 1]));
    assert_eq!(
        (&after.isr[..], after.leader, after.recovering),
        (&ids(&[1])[..], Some(BrokerId(1)), true)
    );
}

#[test]
fn a_cancellation_does_not_leave_the_partition_to_a_replica_that_is_away() {
    let (mut cluster, topic) = setup(&[("min.insync.replicas", "2")]);
    run(&mut cluster, ask(0, Some(&[0, 1])), true);
    run(&mut cluster, ask(0, Some(&[2, 3])), true);
    cluster.join_isr(topic, 0, BrokerId(2));
    cluster.fence(BrokerId(0));
    cluster.fence(BrokerId(1));
    let only = cluster.partition(topic, 0);
    assert_eq!((&only.isr[..], &only.elr[..]), (&ids(&[2])[..], &ids(&[1])[..]));
    let outcome = run(&mut cluster, ask(0, None), true);
    assert_eq!(outcome.error, ErrorCode::InvalidReplicaAssignment);
    assert_eq!(cluster.partition(topic, 0), only);
}

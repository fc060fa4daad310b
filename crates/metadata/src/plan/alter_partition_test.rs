//! AlterPartition: each refusal, and what it leaves behind.

use super::*;
use crate::plan::testing::{Cluster, registration};
use crate::request::AlterPartition;
use milena_types::{LeaderEpoch, PartitionEpoch, PartitionIndex, TopicId, TopicIdPartition, Uuid};

fn setup() -> (Cluster, TopicId, AlterPartition) {
    let mut cluster = Cluster::with_brokers(4);
    let topic = cluster.create("t", 1, 3);
    let state = cluster.partition(topic, 0);
    let shrunk: Vec<_> = state.isr[..2].to_vec();
    assert!(shrunk.contains(&state.leader.unwrap()));
    let request = cluster.proposal(topic, 0, &shrunk);
    (cluster, topic, request)
}

type Change<'a> = &'a dyn Fn(&mut AlterPartition, &mut AlterPartitionItem);

/// Each change of a good request is refused with its code. The partition epoch is 1, so that there is a smaller one.
fn refused(cluster: &mut Cluster, topic: TopicId, cases: &[(ErrorCode, Change<'_>)]) {
    cluster.alter(&cluster.proposal(topic, 0, &cluster.partition(topic, 0).isr));
    let isr = cluster.partition(topic, 0).isr;
    let good = cluster.proposal(topic, 0, &isr[..2]);
    for (error, change) in cases {
        let mut request = good.clone();
        let mut item = request.partitions.remove(0);
        change(&mut request, &mut item);
        request.partitions.push(item);
        let planned = alter_partition(&cluster.image, &request, &cluster.ctx());
        assert_eq!(planned.reply[0].error, *error, "{request:?}");
    }
}

#[test]
fn old_and_foreign_views_are_refused_in_kafkas_order() {
    let (mut cluster, topic, _) = setup();
    let state = cluster.partition(topic, 0);
    let follower = *state.isr.iter().find(|b| Some(**b) != state.leader).unwrap();
    let follower_epoch = cluster.epoch(follower.0);
    let leader_epoch = |delta: i32| LeaderEpoch(state.leader_epoch.0 + delta);
    refused(
        &mut cluster,
        topic,
        &[
            (ErrorCode::None, &|_, _| {}),
            (ErrorCode::StaleBrokerEpoch, &|r, _| {
                r.broker_epoch = BrokerEpoch(0)
            }),
            (ErrorCode::UnknownTopicId, &|_, i| {
                i.id.topic = TopicId(Uuid([9; 16]))
            }),
            (ErrorCode::UnknownTopicOrPartition, &|_, i| {
                i.id.partition = PartitionIndex(5)
            }),
            (ErrorCode::NotController, &|_, i| i.leader_epoch = leader_epoch(1)),
            (ErrorCode::NotController, &|_, i| {
                i.partition_epoch = PartitionEpoch(99)
            }),
            (ErrorCode::FencedLeaderEpoch, &|_, i| {
                i.leader_epoch = leader_epoch(-1)
            }),
            (ErrorCode::InvalidRequest, &|r, _| {
                (r.broker, r.broker_epoch) = (follower, follower_epoch)
            }),
            (ErrorCode::InvalidUpdateVersion, &|_, i| {
                i.partition_epoch = PartitionEpoch(0)
            }),
        ],
    );
}

#[test]
fn impossible_isrs_are_refused() {
    let (mut cluster, topic, _) = setup();
    let state = cluster.partition(topic, 0);
    let outsider = (0..4)
        .map(BrokerId)
        .find(|b| !state.replicas.contains(b))
        .unwrap();
    let outsider_epoch = cluster.epoch(outsider.0);
    refused(
        &mut cluster,
        topic,
        &[
            (ErrorCode::InvalidRequest, &|_, i| {
                i.isr.push((outsider, outsider_epoch))
            }),
            (ErrorCode::InvalidRequest, &|_, i| {
                i.isr.retain(|(b, _)| Some(*b) != state.leader)
            }),
            (ErrorCode::InvalidRequest, &|_, i| i.isr.push(i.isr[0])),
            (ErrorCode::InvalidRequest, &|_, i| i.isr.clear()),
            (ErrorCode::InvalidRequest, &|_, i| i.recovering = true),
            (ErrorCode::IneligibleReplica, &|_, i| {
                i.isr[1].1 = BrokerEpoch(i.isr[1].1.0 - 1)
            }),
            (ErrorCode::IneligibleReplica, &|_, i| i.isr[1].1 = BrokerEpoch(-1)),
        ],
    );
}

#[test]
fn a_late_twin_changes_nothing() {
    let (mut cluster, topic, request) = setup();
    assert_eq!(cluster.alter(&request), ErrorCode::None);
    let state = cluster.partition(topic, 0);
    assert_eq!(state.isr.len(), 2);
    let back: Vec<_> = state.replicas.clone();
    assert_eq!(cluster.alter(&cluster.proposal(topic, 0, &back)), ErrorCode::None);
    assert_eq!(cluster.alter(&request), ErrorCode::InvalidUpdateVersion);
    assert_eq!(cluster.partition(topic, 0).isr.len(), 3);
}

#[test]
fn a_refusal_commits_an_epoch_so_that_its_twin_is_refused_too() {
    let (mut cluster, topic, _) = setup();
    let state = cluster.partition(topic, 0);
    let follower = *state.isr.iter().find(|b| Some(**b) != state.leader).unwrap();
    cluster.fence(follower);
    let before = cluster.partition(topic, 0);
    let request = cluster.proposal(topic, 0, &state.replicas);
    assert_eq!(cluster.alter(&request), ErrorCode::IneligibleReplica);
    let after = cluster.partition(topic, 0);
    assert_eq!(
        (after.isr, after.partition_epoch),
        (before.isr, before.partition_epoch.next())
    );
    cluster.unfence(follower);
    assert_eq!(
        cluster.alter(&request),
        ErrorCode::InvalidUpdateVersion,
        "the broker is eligible by now"
    );
}

#[test]
fn a_proposal_that_changes_nothing_is_committed_all_the_same() {
    let (mut cluster, topic, _) = setup();
    let before = cluster.partition(topic, 0);
    assert_eq!(
        cluster.alter(&cluster.proposal(topic, 0, &before.isr)),
        ErrorCode::None
    );
    assert_eq!(
        cluster.partition(topic, 0).partition_epoch,
        before.partition_epoch.next()
    );
}

#[test]
fn a_follower_that_restarted_meanwhile_is_not_let_in() {
    // KIP-903: in sync as its former self, empty by now.
    let (mut cluster, topic, _) = setup();
    let state = cluster.partition(topic, 0);
    let follower = *state.isr.iter().find(|b| Some(**b) != state.leader).unwrap();
    cluster.fence(follower);
    cluster.unfence(follower);
    let request = cluster.proposal(topic, 0, &state.replicas);
    cluster.fence(follower);
    assert!(
        cluster
            .register(&registration(follower, 2, 7))
            .outcome
            .error
            .is_none()
    );
    cluster.unfence(follower);
    assert_eq!(cluster.alter(&request), ErrorCode::IneligibleReplica);
}

#[test]
fn recovery_ends_with_the_leaders_word() {
    let mut cluster = Cluster::with_brokers(2);
    let topic = cluster.create_with("t", 1, 2, &[("ack.durability", "replicated")]);
    let leader = cluster.partition(topic, 0).leader.unwrap();
    let other = BrokerId(1 - leader.0);
    cluster.fence(other);
    cluster.fence(leader);
    cluster.register(&registration(other, 2, 1));
    cluster.register(&registration(leader, 2, 1));
    cluster.unfence(other);
    cluster.unfence(leader);
    assert!(cluster.partition(topic, 0).recovering);
    let mut both = cluster.proposal(topic, 0, &[leader, other]);
    both.partitions[0].recovering = true;
    assert_eq!(
        cluster.alter(&both),
        ErrorCode::InvalidRequest,
        "nobody joins while the leader recovers"
    );
    assert_eq!(
        cluster.alter(&cluster.proposal(topic, 0, &[leader])),
        ErrorCode::None
    );
    assert!(!cluster.partition(topic, 0).recovering);
    assert_eq!(
        cluster.alter(&cluster.proposal(topic, 0, &[leader, other])),
        ErrorCode::None
    );
}

#[test]
fn a_reassignment_that_takes_the_leader_away_is_reported_and_committed() {
    let (mut cluster, topic, _) = setup();
    let state = cluster.partition(topic, 0);
    let leader = state.leader.unwrap();
    let joining = (0..4)
        .map(BrokerId)
        .find(|b| !state.replicas.contains(b))
        .unwrap();
    let mut reassigned = state.clone();
    reassigned.replicas.push(joining);
    reassigned.adding = vec![joining];
    reassigned.removing = vec![leader];
    reassigned.partition_epoch = reassigned.partition_epoch.next();
    let id = TopicIdPartition {
        topic,
        partition: PartitionIndex(0),
    };
    cluster.plan(|_, _| Planned {
        records: vec![MetadataRecord::Partition {
            id,
            state: reassigned,
        }],
        reply: (),
    });
    let mut isr = state.isr.clone();
    isr.push(joining);
    assert_eq!(
        cluster.alter(&cluster.proposal(topic, 0, &isr)),
        ErrorCode::NewLeaderElected
    );
    let after = cluster.partition(topic, 0);
    assert!(!after.replicas.contains(&leader) && after.leader.is_some_and(|l| l != leader));
}

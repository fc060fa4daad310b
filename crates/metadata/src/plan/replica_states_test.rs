//! What brokers report about their replicas, and what becomes of them.

use super::*;
use crate::plan::testing::{Cluster, registration};
use crate::plan::{elect_leaders, elect_unclean_leaders};
use crate::request::ElectionType;
use milena_types::{BrokerEpoch, PartitionIndex, TopicId, TopicIdPartition};

fn ids(list: &[i32]) -> Vec<BrokerId> {
    list.iter().map(|b| BrokerId(*b)).collect()
}

fn report(cluster: &mut Cluster, topic: TopicId, broker: i32, state: ReplicaState) -> ErrorCode {
    let id = TopicIdPartition {
        topic,
        partition: PartitionIndex(0),
    };
    let request = ReplicaStates {
        broker: BrokerId(broker),
        broker_epoch: cluster.epoch(broker),
        replicas: vec![ReplicaStateItem { id, state }],
    };
    cluster.plan(|image, ctx| replica_states(image, &request, ctx))[0].error
}

/// Three brokers, one partition on all of them, min.insync.replicas 2; gives the replicas in assignment order.
fn three() -> (Cluster, TopicId, Vec<i32>) {
    let mut cluster = Cluster::with_brokers(3);
    let topic = cluster.create("t", 1, 3);
    let replicas = cluster.partition(topic, 0).replicas.iter().map(|b| b.0).collect();
    (cluster, topic, replicas)
}

#[test]
fn an_offline_replica_leads_no_more_and_joins_no_isr_until_it_is_online() {
    let (mut cluster, topic, order) = three();
    assert_eq!(
        report(&mut cluster, topic, order[0], ReplicaState::Offline),
        ErrorCode::None
    );
    let state = cluster.partition(topic, 0);
    assert_eq!(
        (state.leader, state.isr, state.offline),
        (Some(BrokerId(order[1])), ids(&order[1..]), ids(&order[..1]))
    );
    let join = cluster.proposal(topic, 0, &ids(&order));
    assert_eq!(cluster.alter(&join), ErrorCode::IneligibleReplica);
    report(&mut cluster, topic, order[0], ReplicaState::Online);
    let join = cluster.proposal(topic, 0, &ids(&order));
    assert_eq!(cluster.alter(&join), ErrorCode::None);
}

#[test]
fn the_last_replica_that_goes_offline_leaves_nobody_and_leads_again_when_it_is_back() {
    let (mut cluster, topic, order) = three();
    for broker in &order {
        report(&mut cluster, topic, *broker, ReplicaState::Offline);
    }
    let state = cluster.partition(topic, 0);
    assert_eq!((state.leader, state.isr.len()), (None, 0));
    assert_eq!(
        state.elr.len(),
        2,
        "who left below min.insync.replicas holds everything"
    );
    cluster.plan(|image, ctx| elect_unclean_leaders(image, 10, ctx));
    cluster.plan(|image, ctx| elect_leaders(image, ElectionType::Unclean, None, ctx));
    assert_eq!(cluster.partition(topic, 0).leader, None, "nobody can serve");
    // The one that left while enough others were in sync may lack records.
    report(&mut cluster, topic, order[0], ReplicaState::Online);
    assert_eq!(cluster.partition(topic, 0).leader, None);
    report(&mut cluster, topic, order[2], ReplicaState::Online);
    let state = cluster.partition(topic, 0);
    assert_eq!(
        (state.leader, state.recovering),
        (Some(BrokerId(order[2])), false)
    );
}

#[test]
fn an_offline_replica_stays_offline_through_a_restart_until_its_broker_says_otherwise() {
    let (mut cluster, topic, order) = three();
    for broker in &order {
        report(&mut cluster, topic, *broker, ReplicaState::Offline);
    }
    cluster.register(&registration(BrokerId(order[2]), 2, 1));
    cluster.unfence(BrokerId(order[2]));
    let state = cluster.partition(topic, 0);
    assert_eq!((state.leader, state.offline.len()), (None, 3));
}

/// Where others go on, what it held counts no more; where nobody does, it leads with what is left, but only at once.
#[test]
fn a_replica_in_doubt_is_cut_for_the_others_or_leads_in_the_same_step() {
    let (mut cluster, topic, order) = three();
    report(&mut cluster, topic, order[0], ReplicaState::Offline);
    assert_eq!(
        report(&mut cluster, topic, order[0], ReplicaState::Cut),
        ErrorCode::None
    );
    let state = cluster.partition(topic, 0);
    assert_eq!((state.leader, state.offline.len()), (Some(BrokerId(order[1])), 0));
    assert!(!state.elr.contains(&BrokerId(order[0])) && !state.isr.contains(&BrokerId(order[0])));
    for broker in &order[1..] {
        cluster.fence(BrokerId(*broker));
    }
    assert_eq!(
        cluster.partition(topic, 0).leader,
        None,
        "its log was cut, and others have more"
    );

    let (mut cluster, topic, order) = three();
    for broker in &order {
        report(&mut cluster, topic, *broker, ReplicaState::Offline);
    }
    let last = order[2];
    cluster.register(&registration(BrokerId(last), 2, 1));
    let before = cluster.partition(topic, 0);
    assert_eq!(
        report(&mut cluster, topic, last, ReplicaState::Cut),
        ErrorCode::EligibleLeadersNotAvailable,
        "fenced, it could not lead yet"
    );
    assert_eq!(cluster.partition(topic, 0), before);
    cluster.unfence(BrokerId(last));
    assert_eq!(
        report(&mut cluster, topic, last, ReplicaState::Cut),
        ErrorCode::None
    );
    let state = cluster.partition(topic, 0);
    assert_eq!((state.leader, state.isr), (Some(BrokerId(last)), ids(&[last])));
}

/// What nobody could be elected by is no claim: it may be cut before somebody leads, and is not elected by it.
#[test]
fn one_that_does_not_count_may_be_cut_and_leads_nothing() {
    let (mut cluster, topic, order) = three();
    for broker in &order {
        report(&mut cluster, topic, *broker, ReplicaState::Offline);
    }
    // The first one left while enough others were in sync.
    assert_eq!(
        report(&mut cluster, topic, order[0], ReplicaState::Cut),
        ErrorCode::None
    );
    let state = cluster.partition(topic, 0);
    assert_eq!(
        (state.leader, state.offline.contains(&BrokerId(order[0]))),
        (None, false)
    );
}

#[test]
fn a_full_replica_gives_way_only_to_one_that_can_go_on() {
    let (mut cluster, topic, order) = three();
    for broker in &order[..2] {
        assert_eq!(
            report(&mut cluster, topic, *broker, ReplicaState::Full),
            ErrorCode::None
        );
    }
    let before = cluster.partition(topic, 0);
    assert_eq!(
        report(&mut cluster, topic, order[2], ReplicaState::Full),
        ErrorCode::EligibleLeadersNotAvailable
    );
    assert_eq!(
        cluster.partition(topic, 0),
        before,
        "it can still be read: it goes on leading"
    );
}

#[test]
fn a_replica_is_refilled_only_from_another_and_counts_for_nothing_from_then_on() {
    let (mut cluster, topic, order) = three();
    report(&mut cluster, topic, order[1], ReplicaState::Offline);
    report(&mut cluster, topic, order[2], ReplicaState::Offline);
    let state = cluster.partition(topic, 0);
    assert_eq!(
        (state.leader, state.elr),
        (Some(BrokerId(order[0])), ids(&order[2..]))
    );
    assert_eq!(
        report(&mut cluster, topic, order[0], ReplicaState::Refill),
        ErrorCode::EligibleLeadersNotAvailable
    );
    assert_eq!(
        report(&mut cluster, topic, order[2], ReplicaState::Refill),
        ErrorCode::None
    );
    let state = cluster.partition(topic, 0);
    assert_eq!((state.elr.len(), state.offline), (0, ids(&order[1..2])));
    cluster.fence(BrokerId(order[0]));
    assert_eq!(
        cluster.partition(topic, 0).leader,
        None,
        "its log may have been cut: it must not lead"
    );
}

#[test]
fn who_may_not_speak_changes_nothing() {
    let mut cluster = Cluster::with_brokers(3);
    let topic = cluster.create("t", 1, 2);
    let state = cluster.partition(topic, 0);
    let stranger = (0..3).find(|b| !state.replicas.contains(&BrokerId(*b))).unwrap();
    let version = cluster.image.version;
    assert_eq!(
        report(&mut cluster, topic, stranger, ReplicaState::Offline),
        ErrorCode::NotLeaderOrFollower
    );
    let unknown = TopicId(milena_types::Uuid([9; 16]));
    assert_eq!(
        report(&mut cluster, unknown, 0, ReplicaState::Offline),
        ErrorCode::UnknownTopicId
    );
    let stale = ReplicaStates {
        broker: state.replicas[0],
        broker_epoch: BrokerEpoch(0),
        replicas: vec![ReplicaStateItem {
            id: TopicIdPartition {
                topic,
                partition: PartitionIndex(0),
            },
            state: ReplicaState::Offline,
        }],
    };
    let results = cluster.plan(|image, ctx| replica_states(image, &stale, ctx));
    assert_eq!(results[0].error, ErrorCode::StaleBrokerEpoch);
    assert_eq!(cluster.image.version, version);
}

//! The life of a broker by its heartbeats.

use super::*;
use crate::plan::testing::{Cluster, heartbeat, registration};
use milena_types::{MetadataVersion, Timestamp};

#[test]
fn a_broker_is_unfenced_when_it_has_applied_its_own_registration() {
    let mut cluster = Cluster::empty();
    let epoch = cluster.register(&registration(BrokerId(0), 1, 1)).epoch;
    let version = u64::try_from(epoch.0).unwrap();
    let early = cluster.beat(&heartbeat(BrokerId(0), epoch, MetadataVersion(version - 1)));
    assert!(!early.is_caught_up && early.is_fenced);
    let mut unwilling = heartbeat(BrokerId(0), epoch, MetadataVersion(version));
    unwilling.want_fence = true;
    let reply = cluster.beat(&unwilling);
    assert!(reply.is_caught_up && reply.is_fenced);
    let reply = cluster.beat(&heartbeat(BrokerId(0), epoch, MetadataVersion(version)));
    assert!(reply.is_caught_up && !reply.is_fenced && !reply.should_shutdown);
    let version = cluster.image.version;
    cluster.beat(&heartbeat(BrokerId(0), epoch, version));
    assert_eq!(
        cluster.image.version, version,
        "an ordinary heartbeat commits nothing"
    );
}

#[test]
fn another_epoch_is_stale() {
    let mut cluster = Cluster::with_brokers(1);
    for (broker, epoch) in [(0, BrokerEpoch(99)), (7, BrokerEpoch(1))] {
        let reply = cluster.beat(&heartbeat(BrokerId(broker), epoch, MetadataVersion(99)));
        assert_eq!(reply.outcome.error, ErrorCode::StaleBrokerEpoch);
    }
}

#[test]
fn a_controlled_shutdown_moves_leaders_and_waits_until_all_know() {
    let mut cluster = Cluster::with_brokers(3);
    let topic = cluster.create("t", 6, 3);
    let mut leaving = heartbeat(BrokerId(0), cluster.epoch(0), cluster.image.version);
    leaving.want_shutdown = true;
    let first = cluster.beat(&leaving);
    assert!(!first.should_shutdown && !first.is_fenced);
    assert!(cluster.image.broker(BrokerId(0)).unwrap().in_controlled_shutdown);
    for index in 0..6 {
        let state = cluster.partition(topic, index);
        assert!(state.leader.is_some_and(|l| l != BrokerId(0)) && !state.isr.contains(&BrokerId(0)));
    }
    let seen = cluster.image.version;
    assert!(
        !cluster.beat(&leaving).should_shutdown,
        "nobody else has applied it"
    );
    cluster.beat(&heartbeat(BrokerId(1), cluster.epoch(1), seen));
    assert!(!cluster.beat(&leaving).should_shutdown);
    cluster.beat(&heartbeat(BrokerId(2), cluster.epoch(2), seen));
    let last = cluster.beat(&leaving);
    assert!(last.should_shutdown && last.is_fenced);
    assert!(cluster.image.broker(BrokerId(0)).unwrap().fenced);
    assert!(
        cluster.beat(&leaving).should_shutdown,
        "the answer may have been lost"
    );
}

#[test]
fn a_broker_that_leads_nothing_may_exit_at_once() {
    let mut cluster = Cluster::with_brokers(2);
    let mut leaving = heartbeat(BrokerId(0), cluster.epoch(0), cluster.image.version);
    leaving.want_shutdown = true;
    assert!(cluster.beat(&leaving).should_shutdown);
}

#[test]
fn a_shutdown_goes_on_under_a_new_controller() {
    let mut cluster = Cluster::with_brokers(2);
    cluster.create("t", 2, 2);
    let mut leaving = heartbeat(BrokerId(0), cluster.epoch(0), cluster.image.version);
    leaving.want_shutdown = true;
    cluster.beat(&leaving);
    let image = cluster.image.clone();
    cluster.live.activate(&image, Timestamp(50));
    assert!(!cluster.beat(&leaving).should_shutdown);
    cluster.beat(&heartbeat(BrokerId(1), cluster.epoch(1), cluster.image.version));
    assert!(cluster.beat(&leaving).should_shutdown);
}

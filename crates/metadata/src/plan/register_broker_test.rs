//! Registration: refusals, amendments, and what a returning process may have lost.

use crate::plan::testing::{Cluster, registration};
use crate::request::RegisterBroker;
use milena_types::*;

fn ids(list: &[i32]) -> Vec<BrokerId> {
    list.iter().map(|b| BrokerId(*b)).collect()
}

fn isr_and_elr(cluster: &Cluster, topic: TopicId) -> (Vec<BrokerId>, Vec<BrokerId>) {
    let mut state = cluster.partition(topic, 0);
    state.isr.sort_unstable();
    state.elr.sort_unstable();
    (state.isr, state.elr)
}

/// Another machine under the same id.
fn stranger() -> RegisterBroker {
    let mut request = registration(BrokerId(0), 9, 9);
    request.endpoints[0].host = "elsewhere".into();
    request
}

#[test]
fn refusals() {
    let mut cluster = Cluster::with_brokers(2);
    let mut wrong_cluster = registration(BrokerId(5), 1, 1);
    wrong_cluster.cluster = Some(ClusterId("other".into()));
    let mut no_directory = registration(BrokerId(5), 1, 1);
    no_directory.directories.clear();
    let mut reserved = registration(BrokerId(5), 1, 1);
    reserved.directories = vec![DirectoryId(Uuid([0; 16]))];
    let mut twice = registration(BrokerId(5), 1, 1);
    twice.directories.push(twice.directories[0]);
    let mut stolen = registration(BrokerId(5), 1, 1);
    stolen.directories = registration(BrokerId(1), 1, 1).directories;
    for (request, error) in [
        (wrong_cluster, ErrorCode::InconsistentClusterId),
        (stranger(), ErrorCode::DuplicateBrokerRegistration),
        (no_directory, ErrorCode::InvalidRegistration),
        (reserved, ErrorCode::InvalidRegistration),
        (twice, ErrorCode::InvalidRegistration),
        (stolen, ErrorCode::InvalidRegistration),
    ] {
        let version = cluster.image.version;
        assert_eq!(cluster.register(&request).outcome.error, error, "{request:?}");
        assert_eq!(cluster.image.version, version, "nothing is committed");
    }
}

#[test]
fn a_stranger_waits_until_the_session_is_over() {
    let mut cluster = Cluster::with_brokers(1);
    assert_eq!(
        cluster.register(&stranger()).outcome.error,
        ErrorCode::DuplicateBrokerRegistration
    );
    cluster.now = Timestamp(cluster.now.0 + 9_001);
    assert_eq!(cluster.register(&stranger()).outcome.error, ErrorCode::None);
}

#[test]
fn a_restart_on_the_same_disk_and_address_need_not_wait() {
    let mut cluster = Cluster::with_brokers(1);
    let reply = cluster.register(&registration(BrokerId(0), 2, 1));
    assert_eq!(reply.outcome.error, ErrorCode::None);
    assert_eq!(
        reply.epoch,
        BrokerEpoch(i64::try_from(cluster.image.version.0).unwrap())
    );
    assert!(cluster.image.broker(BrokerId(0)).unwrap().fenced);
}

#[test]
fn the_same_process_amends_its_registration() {
    let mut cluster = Cluster::with_brokers(1);
    let epoch = cluster.epoch(0);
    let mut request = registration(BrokerId(0), 1, 1);
    request.rack = Some("r".into());
    assert_eq!(cluster.register(&request).epoch, epoch);
    let amended = cluster.image.broker(BrokerId(0)).unwrap();
    assert!(!amended.fenced && amended.rack.as_deref() == Some("r"));
}

#[test]
fn an_unformatted_broker_learns_the_cluster_id() {
    let mut cluster = Cluster::empty();
    let mut request = registration(BrokerId(0), 1, 1);
    request.cluster = None;
    assert_eq!(cluster.register(&request).cluster, Some(ClusterId("test".into())));
}

/// ISR {0, 1} of three, then 1 and 0 stop: ISR {}, ELR {0, 1}, last known leader the one that stopped last.
fn stopped(durability: &str) -> (Cluster, TopicId) {
    let mut cluster = Cluster::with_brokers(3);
    let topic = cluster.create_with("t", 1, 3, &[("ack.durability", durability)]);
    for broker in ids(&[2, 1, 0]) {
        cluster.fence(broker);
    }
    assert_eq!(isr_and_elr(&cluster, topic), (vec![], ids(&[0, 1])));
    assert_eq!(cluster.partition(topic, 0).last_known_elr, ids(&[0]));
    (cluster, topic)
}

#[test]
fn a_killed_broker_stays_eligible_for_flushed_topics() {
    let (mut cluster, topic) = stopped("flushed");
    cluster.register(&registration(BrokerId(1), 2, 1));
    assert_eq!(isr_and_elr(&cluster, topic), (vec![], ids(&[0, 1])));
    cluster.unfence(BrokerId(1));
    let state = cluster.partition(topic, 0);
    assert_eq!(
        (state.leader, state.recovering),
        (Some(BrokerId(1)), false),
        "a clean election"
    );
}

#[test]
fn a_killed_broker_is_not_eligible_for_replicated_topics() {
    let (mut cluster, topic) = stopped("replicated");
    cluster.register(&registration(BrokerId(1), 2, 1));
    cluster.unfence(BrokerId(1));
    assert_eq!(isr_and_elr(&cluster, topic), (vec![], ids(&[0])));
    assert_eq!(cluster.partition(topic, 0).leader, None);
    // The last known leader comes back, killed too: it is elected, and the partition says that it recovers.
    cluster.register(&registration(BrokerId(0), 2, 1));
    cluster.unfence(BrokerId(0));
    let state = cluster.partition(topic, 0);
    assert_eq!(
        (state.leader, state.recovering, state.isr),
        (Some(BrokerId(0)), true, ids(&[0]))
    );
}

#[test]
fn a_clean_stop_keeps_a_broker_eligible_for_replicated_topics() {
    let (mut cluster, topic) = stopped("replicated");
    let mut request = registration(BrokerId(1), 2, 1);
    request.previous_epoch = Some(cluster.epoch(1));
    cluster.register(&request);
    cluster.unfence(BrokerId(1));
    let state = cluster.partition(topic, 0);
    assert_eq!((state.leader, state.recovering), (Some(BrokerId(1)), false));
}

#[test]
fn a_disk_that_was_put_back_to_an_older_state_is_not_eligible() {
    for durability in ["flushed", "replicated"] {
        let (mut cluster, topic) = stopped(durability);
        let mut request = registration(BrokerId(1), 2, 1);
        request.previous_epoch = Some(BrokerEpoch(cluster.epoch(1).0 - 1));
        cluster.register(&request);
        cluster.unfence(BrokerId(1));
        assert_eq!(isr_and_elr(&cluster, topic), (vec![], ids(&[0])), "{durability}");
        assert_eq!(cluster.partition(topic, 0).leader, None, "{durability}");
    }
    // The same process registers again, and tells what it found at its start.
    let (mut cluster, topic) = stopped("flushed");
    let mut request = registration(BrokerId(1), 2, 1);
    request.previous_epoch = Some(cluster.epoch(1));
    cluster.register(&request);
    cluster.register(&request);
    cluster.unfence(BrokerId(1));
    assert_eq!(cluster.partition(topic, 0).leader, Some(BrokerId(1)));
}

#[test]
fn a_wiped_disk_is_never_taken_for_an_eligible_replica() {
    for durability in ["flushed", "replicated"] {
        let (mut cluster, topic) = stopped(durability);
        let mut request = registration(BrokerId(1), 2, 7);
        request.previous_epoch = Some(cluster.epoch(1));
        cluster.register(&request);
        cluster.unfence(BrokerId(1));
        assert_eq!(isr_and_elr(&cluster, topic), (vec![], ids(&[0])));
        // Nor for the last known leader, while others may hold more.
        cluster.register(&registration(BrokerId(0), 2, 7));
        cluster.unfence(BrokerId(0));
        let state = cluster.partition(topic, 0);
        assert_eq!(
            (state.leader, state.last_known_elr),
            (None, vec![]),
            "{durability}"
        );
    }
}

#[test]
fn the_leaders_disk_is_wiped_and_all_others_were_killed() {
    // Those who are left have what they had written, which is all that there is.
    for (second, third, elected) in [(1, 1, 1), (1, 7, 1), (7, 1, 2)] {
        let mut cluster = Cluster::with_brokers(3);
        let topic = cluster.create_with(
            "t",
            1,
            3,
            &[("ack.durability", "replicated"), ("min.insync.replicas", "3")],
        );
        for broker in ids(&[2, 1]) {
            cluster.fence(broker);
        }
        assert_eq!(isr_and_elr(&cluster, topic), (ids(&[0]), ids(&[1, 2])));
        cluster.now = Timestamp(cluster.now.0 + 9_001);
        cluster.register(&registration(BrokerId(0), 2, 7));
        cluster.unfence(BrokerId(0));
        for (broker, disk) in [(1, second), (2, third)] {
            assert_eq!(cluster.partition(topic, 0).leader, None, "{second} {third}");
            cluster.register(&registration(BrokerId(broker), 2, disk));
            cluster.unfence(BrokerId(broker));
        }
        let state = cluster.partition(topic, 0);
        assert_eq!(
            (state.leader, state.recovering),
            (Some(BrokerId(elected)), true),
            "{second} {third}"
        );
    }
}

#[test]
fn one_of_two_disks_missing_makes_all_suspect_and_a_new_one_none() {
    let mut cluster = Cluster::empty();
    let mut two = registration(BrokerId(0), 1, 1);
    two.directories.push(DirectoryId(Uuid([9; 16])));
    cluster.register(&two);
    cluster.unfence(BrokerId(0));
    cluster.register(&registration(BrokerId(1), 1, 1));
    cluster.unfence(BrokerId(1));
    let topic = cluster.create("t", 1, 2);
    cluster.fence(BrokerId(1));
    let mut more = two.clone();
    more.incarnation = IncarnationId(Uuid([3; 16]));
    more.directories.push(DirectoryId(Uuid([8; 16])));
    cluster.register(&more);
    assert_eq!(isr_and_elr(&cluster, topic), (vec![], ids(&[0, 1])));
    cluster.register(&registration(BrokerId(0), 3, 1));
    assert_eq!(isr_and_elr(&cluster, topic), (vec![], ids(&[1])));
}

/// Broker 0 with two disks is the last of the ISR {0, 1}; its registration with the first disk and `others`.
fn two_disks() -> (Cluster, TopicId, impl Fn(u8, &[u8], u32) -> RegisterBroker) {
    let with = |run: u8, others: &[u8], unreadable| {
        let mut request = registration(BrokerId(0), run, 1);
        let others = others.iter().map(|disk| DirectoryId(Uuid([*disk; 16])));
        request.directories.extend(others);
        request.unreadable_directories = unreadable;
        request
    };
    let mut cluster = Cluster::empty();
    cluster.register(&with(1, &[9], 0));
    cluster.unfence(BrokerId(0));
    cluster.register(&registration(BrokerId(1), 1, 1));
    cluster.unfence(BrokerId(1));
    let topic = cluster.create("t", 1, 2);
    cluster.fence(BrokerId(1));
    (cluster, topic, with)
}

#[test]
fn a_disk_that_cannot_be_read_costs_no_claim_until_it_is_gone() {
    let claims = (vec![], ids(&[0, 1]));
    // It comes back as it was.
    let (mut cluster, topic, with) = two_disks();
    for (run, others, unreadable) in [(2, &[][..], 1), (3, &[], 1), (4, &[9], 0)] {
        cluster.register(&with(run, others, unreadable));
        assert_eq!(isr_and_elr(&cluster, topic), claims, "run {run}");
    }
    // Another one is in its place, or none is expected there any more.
    for (others, unreadable) in [(&[8][..], 0), (&[], 0)] {
        let (mut cluster, topic, with) = two_disks();
        cluster.register(&with(2, &[], 1));
        cluster.register(&with(3, others, unreadable));
        assert_eq!(isr_and_elr(&cluster, topic), (vec![], ids(&[1])), "{others:?}");
        // That is over with this registration.
        assert!(
            !cluster
                .image
                .broker(BrokerId(0))
                .unwrap()
                .directories
                .contains(&DirectoryId(Uuid([9; 16])))
        );
    }
    // One that cannot be read explains one that is missing, and no more.
    let (mut cluster, topic, with) = two_disks();
    cluster.register(&with(2, &[9, 8], 0));
    assert_eq!(isr_and_elr(&cluster, topic), claims);
    cluster.register(&with(3, &[], 1));
    assert_eq!(isr_and_elr(&cluster, topic), (vec![], ids(&[1])));
}

#[test]
fn a_disk_that_failed_and_was_replaced_is_missed() {
    let (mut cluster, topic, with) = two_disks();
    // Which of them failed while it ran, the registration does not say.
    cluster.register(&with(2, &[8], 0));
    assert_eq!(isr_and_elr(&cluster, topic), (vec![], ids(&[1])));
}

#[test]
fn the_only_replica_leads_even_from_an_empty_disk() {
    let mut cluster = Cluster::with_brokers(1);
    let topic = cluster.create("t", 1, 1);
    cluster.fence(BrokerId(0));
    assert!(
        cluster
            .register(&registration(BrokerId(0), 2, 7))
            .outcome
            .error
            .is_none()
    );
    assert_eq!(cluster.partition(topic, 0).leader, None);
    cluster.unfence(BrokerId(0));
    let state = cluster.partition(topic, 0);
    assert_eq!(
        (state.leader, state.recovering),
        (Some(BrokerId(0)), true),
        "and says that records may be gone"
    );
}

#[test]
fn a_restart_before_anybody_noticed_the_death_leaves_the_isr() {
    let mut cluster = Cluster::with_brokers(3);
    let topic = cluster.create("t", 1, 3);
    let leader = cluster.partition(topic, 0).leader.unwrap();
    cluster.register(&registration(leader, 2, 1));
    let state = cluster.partition(topic, 0);
    assert!(!state.isr.contains(&leader) && state.isr.len() == 2);
    assert!(state.leader.is_some_and(|l| l != leader));
}

#[test]
fn all_three_killed_at_once_come_back_with_a_clean_leader() {
    // The controllers died too: nobody was fenced when the brokers register again, one after the other.
    let mut cluster = Cluster::with_brokers(3);
    let topic = cluster.create("t", 1, 3);
    let image = cluster.image.clone();
    cluster.live.activate(&image, cluster.now);
    for broker in ids(&[0, 1, 2]) {
        assert_eq!(
            cluster.register(&registration(broker, 2, 1)).outcome.error,
            ErrorCode::None
        );
        cluster.unfence(broker);
    }
    for broker in ids(&[0, 1, 2]) {
        cluster.join_isr(topic, 0, broker);
    }
    let state = cluster.partition(topic, 0);
    assert!(state.leader.is_some() && !state.recovering);
    assert_eq!(isr_and_elr(&cluster, topic), (ids(&[0, 1, 2]), vec![]));
}

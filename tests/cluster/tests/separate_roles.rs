//! Brokers and controllers as processes of their own, as larger clusters run them.

use milena_cluster_tests::{Cluster, Load, Settings, admin, check, is_acknowledged, until};
use std::time::Duration;

const TOPIC: &str = "separate";
const PARTITIONS: i32 = 6;

/// The session would end long after the deadline: only the broken streams can tell of the death.
#[test]
fn a_killed_broker_is_noticed_before_its_session_ends() {
    let settings = Settings::default().with("broker.session.timeout.ms", "300000");
    let mut cluster = Cluster::start_separate(3, 3, settings);
    let bootstrap = cluster.bootstrap();
    admin::create_topic(&bootstrap, TOPIC, PARTITIONS, 3, &[("min.insync.replicas", "2")]);
    let load = Load::start(&bootstrap, TOPIC, PARTITIONS, 1000);
    let progress = |count: usize| {
        let before = load.acked();
        until("acknowledgements", Duration::from_secs(60), || {
            (load.acked() >= before + count).then_some(())
        });
    };
    progress(1000);
    let victim = 2;
    let killed = load.elapsed();
    cluster.kill(victim);
    until("leaders that live", Duration::from_secs(60), || {
        let views = admin::partitions(&bootstrap, TOPIC);
        let moved = |view: &admin::PartitionView| view.leader > 0 && view.leader != victim;
        (!views.is_empty() && views.iter().all(moved)).then_some(())
    });
    progress(2000);
    println!(
        "kill -9 of a broker, controllers apart: longest time without an acknowledgement: {:?}",
        load.longest_gap_per_partition(&(0..PARTITIONS).collect::<Vec<_>>(), killed, load.elapsed())
    );
    cluster.start_node(victim);
    let all = usize::try_from(PARTITIONS).unwrap();
    admin::wait_full_isr(&bootstrap, TOPIC, all, Duration::from_secs(60));
    let report = load.finish();
    check::assert_nothing_lost(&bootstrap, TOPIC, PARTITIONS, &report);
}

/// With the active controller frozen nobody moves the leaders away before another is elected.
#[test]
fn a_second_sigterm_does_not_wait_for_the_leaders_to_move() {
    let mut cluster = Cluster::start_separate(3, 3, Settings::default());
    let bootstrap = cluster.bootstrap();
    admin::create_topic(&bootstrap, TOPIC, PARTITIONS, 3, &[("min.insync.replicas", "2")]);
    let active = until("an active controller", Duration::from_secs(30), || {
        cluster.controller()
    });
    let said = |cluster: &Cluster, words: &str| {
        std::fs::read_to_string(cluster.log_file(1)).is_ok_and(|log| log.contains(words))
    };
    cluster.signal(active, "STOP");
    cluster.signal(1, "TERM");
    until("a controlled shutdown", Duration::from_secs(30), || {
        said(&cluster, "controlled shutdown begins").then_some(())
    });
    cluster.stop(1, Duration::from_secs(30));
    assert!(said(&cluster, "second signal: leaving without moving leaders"));
}

/// The brokers cannot know whether somebody was elected in their place: what only the leader has is not acknowledged.
#[test]
fn without_a_controller_nothing_is_acknowledged_by_the_leader_alone() {
    let settings = Settings::default()
        .with("broker.session.timeout.ms", "3000")
        .with("broker.heartbeat.interval.ms", "500");
    let cluster = Cluster::start_separate(3, 1, settings);
    let bootstrap = cluster.bootstrap();
    admin::create_topic(&bootstrap, TOPIC, 1, 3, &[("min.insync.replicas", "2")]);
    let patience = Duration::from_secs(60);
    admin::wait_full_isr(&bootstrap, TOPIC, 1, patience);
    assert!(is_acknowledged(&bootstrap, TOPIC, "1"));
    cluster.signal(101, "STOP");
    until("acks=1 to be refused", patience, || {
        (!is_acknowledged(&bootstrap, TOPIC, "1")).then_some(())
    });
    assert!(
        is_acknowledged(&bootstrap, TOPIC, "all"),
        "the others in sync have it too"
    );
    cluster.signal(101, "CONT");
    until("acks=1 to be taken again", patience, || {
        is_acknowledged(&bootstrap, TOPIC, "1").then_some(())
    });
}

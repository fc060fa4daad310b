//! What a failure cost, as the product measures it, beside what this test measures.

use milena_cluster_tests::{Cluster, Load, Settings, admin, check, until};
use std::time::{Duration, Instant};

const TOPIC: &str = "availability";
const PARTITIONS: i32 = 6;
const WAIT: Duration = Duration::from_secs(60);

const DETECT: &str = "milena_failover_detect_seconds";
const ELECT: &str = "milena_failover_elect_seconds";
const FIRST_ACK: &str = "milena_failover_first_ack_seconds";
const BY_FAILURE: &str = "milena_elections_total{reason=\"failure\"}";
const AT_RISK: &str = "milena_records_at_risk";
const UNDER_REPLICATED: &str = "kafka_server_replicamanager_underreplicatedpartitions";
const LED: &str = "kafka_server_replicamanager_leadercount";
const NO_LEADER: &str = "milena_topic_unavailable_seconds_total{topic=\"availability\",reason=\"no-leader\"}";
const TOO_FEW: &str =
    "milena_topic_unavailable_seconds_total{topic=\"availability\",reason=\"under-min-isr\"}";

struct Watched {
    cluster: Cluster,
    load: Load,
}

impl Watched {
    fn start(settings: Settings) -> Self {
        let cluster = Cluster::start(3, settings);
        let bootstrap = cluster.bootstrap();
        admin::create_topic(&bootstrap, TOPIC, PARTITIONS, 3, &[("min.insync.replicas", "2")]);
        let load = Load::start(&bootstrap, TOPIC, PARTITIONS, 500);
        let watched = Self { cluster, load };
        watched.wait_progress();
        watched
    }

    fn wait_progress(&self) {
        let before = self.load.acked();
        until("acknowledgements", WAIT, || {
            (self.load.acked() >= before + 1_000).then_some(())
        });
    }

    fn finish(self) {
        let report = self.load.finish();
        check::assert_nothing_lost(&self.cluster.bootstrap(), TOPIC, PARTITIONS, &report);
    }

    fn led_by(&self, leader: i32) -> Vec<i32> {
        let views = admin::partitions(&self.cluster.bootstrap(), TOPIC);
        let led = views.iter().filter(|view| view.leader == leader);
        led.map(|view| view.index).collect()
    }

    /// The figure, of these nodes together.
    fn sum(&self, nodes: &[i32], name: &str) -> f64 {
        let of = |id: &i32| self.cluster.metric(*id, name).unwrap_or_default();
        nodes.iter().map(of).sum()
    }

    fn wait_sum(&self, nodes: &[i32], name: &str, is_right: impl Fn(f64) -> bool) -> f64 {
        until(name, WAIT, || {
            Some(self.sum(nodes, name)).filter(|sum| is_right(*sum))
        })
    }
}

/// Nodes 1 to 3 without this one.
fn others(id: i32) -> Vec<i32> {
    (1..=3).filter(|other| *other != id).collect()
}

#[test]
fn a_killed_leader_is_measured_from_its_death_to_the_first_acknowledgement() {
    let mut watched = Watched::start(Settings::default());
    let victim = 2;
    let (led, left) = (watched.led_by(victim), others(victim));
    let moves = led.len() as f64;
    let of_other_topics = watched.sum(&[victim], LED) - moves;
    let from = watched.load.elapsed();
    watched.cluster.kill(victim);
    watched.wait_progress();
    // Each of its partitions has a new leader that has acknowledged something, and both phases were timed once.
    watched.wait_sum(&left, &format!("{FIRST_ACK}_count"), |count| count == moves);
    assert_eq!(watched.sum(&left, BY_FAILURE), moves + of_other_topics);
    for phase in [DETECT, ELECT] {
        assert_eq!(watched.sum(&left, &format!("{phase}_count")), 1.0, "{phase}");
    }
    // The client was without an acknowledgement for as long as that, and for the time it takes to learn of the new leader.
    let gap = watched
        .load
        .longest_gap_per_partition(&led, from, watched.load.elapsed());
    let [detect, elect] = [DETECT, ELECT].map(|phase| watched.sum(&left, &format!("{phase}_sum")));
    let unavailable = watched.sum(&left, NO_LEADER) / moves;
    println!("client {gap:?}; detect {detect} s, elect {elect} s, without a leader {unavailable} s");
    assert!(unavailable <= gap.as_secs_f64(), "{unavailable} s of {gap:?}");
    assert!((unavailable - detect - elect).abs() < 0.002, "the same phases");
    assert_eq!(watched.sum(&left, TOO_FEW), 0.0);
    // What is written now has two copies of three; once the third is back, nothing is at risk.
    watched.wait_sum(&left, UNDER_REPLICATED, |count| count >= f64::from(PARTITIONS));
    watched.wait_sum(&left, AT_RISK, |records| records > 0.0);
    watched.cluster.start_node(victim);
    let everybody = [1, 2, 3];
    watched.cluster.wait_brokers(3);
    admin::wait_full_isr(&watched.cluster.bootstrap(), TOPIC, PARTITIONS as usize, WAIT);
    watched.wait_sum(&everybody, UNDER_REPLICATED, |count| count == 0.0);
    watched.wait_sum(&everybody, AT_RISK, |records| records == 0.0);
    watched.finish();
}

/// A hung process breaks no connection: its session has to end.
#[test]
fn a_hung_leader_is_unavailable_for_as_long_as_its_session_lasts() {
    hung(|controller| others(controller)[0]);
}

/// Its session begins anew with the next controller; that one goes by what it has heard of the former one itself.
#[test]
fn a_hung_leader_that_is_the_active_controller_is_unavailable_for_an_election_more() {
    hung(|controller| controller);
}

fn hung(victim: impl Fn(i32) -> i32) {
    let settings = Settings::default()
        .with("broker.session.timeout.ms", "5000")
        .with("broker.heartbeat.interval.ms", "200");
    let watched = Watched::start(settings);
    let controller = until("a controller", WAIT, || watched.cluster.controller());
    let victim = victim(controller);
    let (led, left) = (watched.led_by(victim), others(victim));
    watched.cluster.signal(victim, "STOP");
    let began = Instant::now();
    until("other leaders", WAIT, || {
        watched.led_by(victim).is_empty().then_some(())
    });
    let measured = began.elapsed().as_secs_f64();
    let told = watched.wait_sum(&left, NO_LEADER, |seconds| seconds > 0.0) / led.len() as f64;
    watched.cluster.signal(victim, "CONT");
    println!("measured {measured} s, told {told} s");
    assert!(
        (told - measured).abs() <= 0.2 * measured,
        "measured {measured} s, told {told} s"
    );
    watched.finish();
}

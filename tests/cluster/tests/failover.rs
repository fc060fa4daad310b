//! Brokers die on purpose, and nothing acknowledged is lost.
//!
//! Three nodes, 12 partitions, RF 3, min.insync.replicas 2, an idempotent acks=all producer at a steady rate. Each fault prints the longest
//! time without an acknowledgement; no time is asserted, only behaviour.

use milena_cluster_tests::{Cluster, Load, Settings, admin, assert_replicas_identical, check, until};
use std::time::Duration;

const TOPIC: &str = "failover";
const PARTITIONS: i32 = 12;
const RATE: u64 = 2000;

struct Drill {
    cluster: Cluster,
    load: Load,
}

impl Drill {
    fn new(settings: Settings) -> Self {
        let cluster = Cluster::start(3, settings);
        admin::create_topic(
            &cluster.bootstrap(),
            TOPIC,
            PARTITIONS,
            3,
            &[("min.insync.replicas", "2")],
        );
        let load = Load::start(&cluster.bootstrap(), TOPIC, PARTITIONS, RATE);
        let drill = Self { cluster, load };
        drill.wait_progress(2000);
        drill
    }

    /// Waits until `count` more records are acknowledged.
    fn wait_progress(&self, count: usize) {
        let before = self.load.acked();
        until("acknowledgements", Duration::from_secs(60), || {
            (self.load.acked() >= before + count).then_some(())
        });
    }

    fn wait_healed(&self) {
        admin::wait_full_isr(&self.cluster.bootstrap(), TOPIC, 12, Duration::from_secs(60));
    }

    fn leader_of(&self, partition: i32) -> i32 {
        until("a leader", Duration::from_secs(30), || {
            let views = admin::partitions(&self.cluster.bootstrap(), TOPIC);
            views
                .iter()
                .find(|v| v.index == partition)
                .map(|v| v.leader)
                .filter(|l| *l >= 0)
        })
    }

    /// Kills, waits until every partition moves again, restarts, waits until the ISR is full.
    fn kill_and_restart(&mut self, what: &str, id: i32) {
        let led: Vec<i32> = admin::partitions(&self.cluster.bootstrap(), TOPIC)
            .iter()
            .filter(|v| v.leader == id)
            .map(|v| v.index)
            .collect();
        let others: Vec<i32> = (0..PARTITIONS).filter(|p| !led.contains(p)).collect();
        let from = self.load.elapsed();
        self.cluster.kill(id);
        self.wait_progress(6000);
        let to = self.load.elapsed();
        println!(
            "{what}: longest time without an acknowledgement: {:?} on partitions that node {id} led, {:?} on the others",
            self.load.longest_gap_per_partition(&led, from, to),
            self.load.longest_gap_per_partition(&others, from, to),
        );
        let restart = self.load.elapsed();
        self.cluster.start_node(id);
        self.wait_healed();
        println!("{what}: restart to full ISR: {:?}", self.load.elapsed() - restart);
    }
}

#[test]
fn killed_brokers_lose_nothing() {
    let mut drill = Drill::new(Settings::default());

    let leader = drill.leader_of(0);
    drill.kill_and_restart("kill -9 of the leader of partition 0", leader);

    let controller = until("an active controller", Duration::from_secs(10), || {
        drill.cluster.controller()
    });
    drill.kill_and_restart("kill -9 of the active controller", controller);

    // Two of three: nothing may be acknowledged until one of them is back.
    drill.cluster.kill(1);
    drill.cluster.kill(2);
    let down = drill.load.elapsed();
    // What was in flight may still arrive; after that, silence.
    until(
        "silence below min.insync.replicas",
        Duration::from_secs(10),
        || {
            let now = drill.load.elapsed();
            (now > down + Duration::from_secs(3) && drill.load.acked_since(now - Duration::from_secs(2)) == 0)
                .then_some(())
        },
    );
    let silent = drill.load.elapsed();
    drill.cluster.start_node(1);
    drill.cluster.start_node(2);
    drill.wait_progress(6000);
    println!(
        "kill -9 of two of three: nothing acknowledged while they were down ({:?})",
        silent - down
    );
    drill.wait_healed();

    // All three at once.
    let from = drill.load.elapsed();
    for id in [1, 2, 3] {
        drill.cluster.kill(id);
    }
    for id in [1, 2, 3] {
        drill.cluster.start_node(id);
    }
    drill.wait_progress(6000);
    println!(
        "kill -9 of all three, restarted at once: longest time without an acknowledgement: {:?}",
        drill.load.longest_gap(from, drill.load.elapsed())
    );
    drill.wait_healed();

    let Drill { cluster, load } = drill;
    let report = load.finish();
    println!(
        "{} sent, {} acknowledged, {} given up",
        report.sent,
        report.acked.len(),
        report.failed.len()
    );
    assert!(
        report.failed.is_empty(),
        "the client gave up records: {:?}",
        &report.failed[..report.failed.len().min(5)]
    );
    check::assert_nothing_lost(&cluster.bootstrap(), TOPIC, PARTITIONS, &report);
    admin::wait_full_isr(&cluster.bootstrap(), TOPIC, 12, Duration::from_secs(60));
    assert_replicas_identical(&cluster, TOPIC, PARTITIONS);
}

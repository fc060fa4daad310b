//! Replication that keeps to a rate (KIP-73): a throttled replica catches up at it, everybody else as fast as ever.

use crate::background::set;
use crate::cluster::*;
use milena_broker::config::ReplicaConfig;
use milena_types::{BrokerId, TopicIdPartition};

/// Of each topic, before the second broker is there.
const BATCHES: usize = 30;
const BATCH_BYTES: usize = 100_000;

/// What comes of a topic before the throttle takes hold: credit, and a turn or two.
const FIRST_BYTES_MAX: usize = 1_200_000;

/// Broker 1 leads `free` and `held` alone, with 3 MB each; `held` has this configuration, and broker 2 is not there yet.
async fn behind(
    replica: ReplicaConfig,
    configs: &[(&str, &str)],
) -> (Cluster, TopicIdPartition, TopicIdPartition) {
    let mut cluster = Cluster::start_with(2, 1, replica).await;
    let create = |name: &str, configs: &[(&str, &str)]| {
        let one = [("min.insync.replicas", "1")];
        let configs: Vec<_> = one.iter().chain(configs).copied().collect();
        partition(cluster.controller.create_topic(name, 1, &[1, 2], &configs), 0)
    };
    let (free, held) = (create("free", &[]), create("held", configs));
    for id in [free, held] {
        cluster.wait_isr(id, &[1, 2]).await;
    }
    cluster.stop_node(2).await;
    cluster.controller.fence(BrokerId(2));
    for id in [free, held] {
        cluster.wait_isr(id, &[1]).await;
    }
    let large = "x".repeat(BATCH_BYTES);
    for _ in 0..BATCHES {
        for id in [free, held] {
            cluster.produce_until_ok(1, id, &large).await;
        }
    }
    (cluster, free, held)
}

/// `free` is in sync; then `held` is where the rate holds it, and after the rate is gone in sync too.
async fn catches_up_only_without(
    cluster: Cluster,
    rate: &str,
    broker: Option<i32>,
    free: TopicIdPartition,
    held: TopicIdPartition,
) {
    cluster.wait_isr(free, &[1, 2]).await;
    // Far more than came of `held` when it was stopped has come of the other one since.
    for _ in 0..BATCHES {
        cluster.produce_until_ok(1, free, &"y".repeat(BATCH_BYTES)).await;
    }
    until("it begins", async || !cluster.segments(2, "held", 0).is_empty()).await;
    let came = cluster.segments(2, "held", 0).len();
    assert!(came <= FIRST_BYTES_MAX, "{came} bytes of it came");
    assert_eq!(cluster.controller.partition(held).isr.len(), 1);
    set(&cluster, broker, rate, None);
    cluster.wait_isr(held, &[1, 2]).await;
    assert_eq!(cluster.segments(1, "held", 0), cluster.segments(2, "held", 0));
    cluster.stop().await;
}

#[tokio::test]
async fn a_leader_holds_back_what_throttled_replicas_lack() {
    let rate = "leader.replication.throttled.rate";
    let configs = [("leader.replication.throttled.replicas", "0:1")];
    let (mut cluster, free, held) = behind(ReplicaConfig::default(), &configs).await;
    set(&cluster, Some(1), rate, Some("1"));
    cluster.start_node(2).await;
    catches_up_only_without(cluster, rate, Some(1), free, held).await;
}

#[tokio::test]
async fn a_follower_asks_for_what_it_may_take() {
    let rate = "follower.replication.throttled.rate";
    let configs = [("follower.replication.throttled.replicas", "*")];
    // What it lacks is not at the tail.
    let replica = ReplicaConfig {
        tail_ring_bytes: 1 << 16,
        link_credit_bytes: 512 << 10,
        ..ReplicaConfig::default()
    };
    let (mut cluster, free, held) = behind(replica, &configs).await;
    set(&cluster, None, rate, Some("1"));
    cluster.start_node(2).await;
    catches_up_only_without(cluster, rate, None, free, held).await;
}

#[tokio::test]
async fn a_throttled_replica_that_is_in_sync_waits_for_nothing() {
    let cluster = Cluster::start(2, 1).await;
    let configs = [
        ("leader.replication.throttled.replicas", "*"),
        ("follower.replication.throttled.replicas", "*"),
        ("min.insync.replicas", "2"),
    ];
    let id = partition(cluster.controller.create_topic("t", 1, &[1, 2], &configs), 0);
    for rate in ["leader", "follower"] {
        set(
            &cluster,
            None,
            &format!("{rate}.replication.throttled.rate"),
            Some("1"),
        );
    }
    for _ in 0..20 {
        cluster.produce_until_ok(1, id, &"z".repeat(BATCH_BYTES)).await;
    }
    assert_eq!(cluster.controller.partition(id).isr.len(), 2);
    cluster.stop().await;
}

//! Voters that were away: caught up by log, by snapshot, and from nothing.

use super::cluster::{Cluster, eventually};
use crate::ControllerConfig;

fn small_log(config: &mut ControllerConfig) {
    config.snapshot_entries = Some(40);
    config.log_entries_kept = Some(5);
}

#[tokio::test]
async fn a_lagging_voter_gets_a_snapshot_when_the_log_is_purged() {
    let mut cluster = Cluster::new(3, small_log);
    for node in 0..3 {
        cluster.start(node).await;
    }
    let leader = cluster.wait_active().await;
    cluster.broker(1).await;
    let lagging = (leader + 1) % 3;
    cluster.kill(lagging).await;
    for number in 0..200 {
        cluster.create_topic(&format!("t-{number}"), 1, 1).await;
    }
    let image = cluster.image(cluster.wait_active().await);
    cluster.start(lagging).await;
    eventually("a voter that caught up", || {
        (cluster.image(lagging).version >= image.version).then_some(())
    })
    .await;
    assert!(cluster.image(lagging).topics == image.topics);
    // It restarts from that snapshot.
    cluster.kill(lagging).await;
    cluster.start(lagging).await;
    eventually("a voter that caught up", || {
        (cluster.image(lagging).version >= image.version).then_some(())
    })
    .await;
    // And all of them restart from theirs.
    for node in 0..3 {
        cluster.kill(node).await;
    }
    for node in 0..3 {
        cluster.start(node).await;
    }
    assert!(cluster.image(cluster.wait_active().await).topics == image.topics);
}

#[tokio::test]
async fn a_voter_that_lost_its_disk_votes_only_after_it_has_caught_up() {
    let mut cluster = Cluster::started(3).await;
    let leader = cluster.wait_active().await;
    cluster.broker(1).await;
    cluster.create_topic("precious", 1, 1).await;
    let (wiped, third) = ((leader + 1) % 3, (leader + 2) % 3);
    // Make sure that both followers know the cluster, then lose one disk and stop everybody else.
    for node in [wiped, third] {
        eventually("the topic on a follower", || {
            cluster.image(node).topic_by_name("precious").map(|_| ())
        })
        .await;
    }
    for node in 0..3 {
        cluster.kill(node).await;
    }
    std::fs::remove_dir_all(cluster.directory.path().join(wiped.to_string())).unwrap();
    // The wiped one and one that may be behind: they must not make up a cluster of their own, nor elect.
    cluster.start(wiped).await;
    cluster.start(third).await;
    for _ in 0..100 {
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        assert_eq!(cluster.active(), None, "a voter without memory has voted");
        assert!(!cluster.may_vote(wiped), "nor does it say that it may");
    }
    cluster.start(leader).await;
    let active = cluster.wait_active().await;
    assert_ne!(active, wiped);
    eventually("a restored voter", || {
        cluster.image(wiped).topic_by_name("precious").map(|_| ())
    })
    .await;
    // Now its vote counts again: with it and one other the quorum lives.
    eventually("a voter with its vote", || cluster.may_vote(wiped).then_some(())).await;
    cluster.kill(active).await;
    cluster.create_topic("after", 1, 1).await;
}

#[tokio::test]
async fn a_majority_founds_a_cluster_and_the_third_follows() {
    let mut cluster = Cluster::new(3, |_| {});
    cluster.start(1).await;
    cluster.start(2).await;
    cluster.wait_active().await;
    cluster.start(0).await;
    let version = cluster.image(cluster.wait_active().await).version;
    eventually("the third voter", || {
        (cluster.image(0).version >= version).then_some(())
    })
    .await;
}

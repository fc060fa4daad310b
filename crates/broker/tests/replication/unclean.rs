//! Unclean elections: what the returning leader lost is in quarantine, told exactly, and never simply gone.

use crate::cluster::*;
use crate::opened_files::OpensFiles as _;
use crate::short_fs::ShortFs;
use milena_broker::config::{QuarantineRules, ReplicaConfig};
use milena_metadata::record::MetadataRecord;
use milena_types::{Acks, BrokerId, ErrorCode, TopicIdPartition};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The tails in quarantine on these disks: `loss.json`, and the values with their offsets.
fn quarantined(disks: &[PathBuf]) -> Vec<(String, Vec<(i64, String)>)> {
    let entries = disks
        .iter()
        .flat_map(|disk| std::fs::read_dir(disk).unwrap().flatten());
    let paths = entries.map(|entry| entry.path());
    let mut strays: Vec<_> = paths
        .filter(|path| path.to_string_lossy().ends_with("-stray"))
        .collect();
    strays.sort();
    strays
        .into_iter()
        .map(|stray| (loss(&stray), tail(&stray)))
        .collect()
}

fn loss(stray: &Path) -> String {
    std::fs::read_to_string(stray.join("loss.json")).unwrap()
}

fn tail(stray: &Path) -> Vec<(i64, String)> {
    let files = std::fs::read_dir(stray)
        .unwrap()
        .flatten()
        .map(|entry| entry.path());
    let mut logs: Vec<_> = files
        .filter(|path| path.extension().is_some_and(|e| e == "log"))
        .collect();
    logs.sort();
    let bytes: Vec<u8> = logs
        .into_iter()
        .flat_map(|log| std::fs::read(log).unwrap())
        .collect();
    values(&bytes.into())
}

/// A number that `loss.json` says.
pub(crate) fn said(loss: &str, key: &str) -> Option<i64> {
    let (_, value) = loss.split_once(&format!("\"{key}\": "))?;
    value.split([',', '}']).next()?.parse().ok()
}

/// The number of records that the broker has cut because of such an election.
fn truncated(cluster: &Cluster, broker: i32, election: &str) -> i64 {
    let metrics = cluster.router(broker).metrics();
    let tags = [("election", election.to_owned())];
    let row = metrics
        .iter()
        .find(|row| row.name == "truncated_total" && row.tags == tags);
    row.and_then(milena_metrics::Metric::number).unwrap() as i64
}

/// Two brokers; the first one alone has committed `b` and `c` when it stops, and the second one is elected uncleanly and goes on
/// with `d`.
async fn lost(mut cluster: Cluster) -> (Cluster, TopicIdPartition) {
    let configs = [("min.insync.replicas", "1"), ("segment.bytes", "100")];
    let id = partition(cluster.controller.create_topic("t", 1, &[1, 2], &configs), 0);
    cluster.produce_until_ok(1, id, "a").await;
    cluster.stop_node(2).await;
    cluster.controller.fence(BrokerId(2));
    cluster.wait_isr(id, &[1]).await;
    for value in ["b", "c"] {
        cluster.produce_until_ok(1, id, value).await;
    }
    cluster.stop_node(1).await;
    cluster.controller.fence(BrokerId(1));
    elect_uncleanly(&cluster, id, 2);
    cluster.start_node(2).await;
    cluster.produce_until_ok(2, id, "d").await;
    (cluster, id)
}

pub(crate) fn elect_uncleanly(cluster: &Cluster, id: TopicIdPartition, leader: i32) {
    let mut state = cluster.controller.partition(id);
    state.leader = Some(BrokerId(leader));
    state.isr = vec![BrokerId(leader)];
    state.leader_epoch = state.leader_epoch.next();
    state.partition_epoch = state.partition_epoch.next();
    state.unclean_epochs.push(state.leader_epoch);
    cluster
        .controller
        .commit(vec![MetadataRecord::Partition { id, state }]);
}

#[tokio::test]
async fn what_an_unclean_election_loses_is_kept_and_told() {
    let (mut cluster, id) = lost(Cluster::start(2, 2).await).await;
    let elected = cluster.controller.partition(id).leader_epoch;
    cluster.start_node(1).await;
    cluster.wait_isr(id, &[1, 2]).await;
    let kept = quarantined(&[cluster.disk(1)]);
    assert_eq!(kept.len(), 1);
    let (loss, records) = &kept[0];
    assert_eq!(records, &[(1, "b".to_owned()), (2, "c".to_owned())]);
    for (key, expected) in [
        ("lost_from", 1),
        ("lost_to", 3),
        ("unclean_epoch", i64::from(elected.0)),
        ("broker", 1),
        ("leader", 2),
        ("partition", 0),
    ] {
        assert_eq!(said(loss, key), Some(expected), "{key} in {loss}");
    }
    let committed = said(loss, "committed_to").unwrap();
    assert!((1..=3).contains(&committed), "{loss}");
    assert!(said(loss, "from_epoch").unwrap() < i64::from(elected.0), "{loss}");
    assert_eq!(truncated(&cluster, 1, "unclean"), 2);
    assert_eq!(
        (truncated(&cluster, 1, "clean"), truncated(&cluster, 2, "unclean")),
        (0, 0)
    );
    assert_eq!(read_all(cluster.router(2), id).await, ["a", "d"]);
    assert_eq!(cluster.segments(1, "t", 0), cluster.segments(2, "t", 0));
    // It outlives restarts, and nothing is kept twice.
    cluster.stop_node(1).await;
    cluster.start_node(1).await;
    cluster.produce_until_ok(2, id, "e").await;
    assert_eq!(quarantined(&[cluster.disk(1)]), kept);
    assert!(quarantined(&[cluster.disk(2)]).is_empty());
    cluster.stop().await;
}

/// The leader has an epoch that this replica never saw, and which ends inside of a batch of an older one: all of that batch goes.
#[tokio::test]
async fn a_batch_that_the_leaders_epoch_ends_inside_of_is_lost_as_a_whole() {
    let mut cluster = Cluster::start(2, 1).await;
    let configs = [("min.insync.replicas", "1")];
    let id = partition(cluster.controller.create_topic("t", 1, &[1, 2], &configs), 0);
    cluster.produce_until_ok(1, id, "a").await;
    cluster.stop_node(2).await;
    cluster.controller.fence(BrokerId(2));
    cluster.wait_isr(id, &[1]).await;
    let three = batch_of(&["b", "c", "d"]);
    let written = produce_batch(cluster.router(1), id, Acks::All, three, Duration::from_secs(20)).await;
    assert_eq!(written.error, ErrorCode::None);
    // Neither has what the other one has written since.
    for (leader, values) in [(2, ["x", "y"].as_slice()), (1, &["e"]), (2, &["z"])] {
        let other = 3 - leader;
        cluster.stop_node(other).await;
        cluster.controller.fence(BrokerId(other));
        elect_uncleanly(&cluster, id, leader);
        cluster.start_node(leader).await;
        for value in values {
            cluster.produce_until_ok(leader, id, value).await;
        }
    }
    cluster.start_node(1).await;
    cluster.wait_isr(id, &[1, 2]).await;
    let kept = quarantined(&[cluster.disk(1)]);
    let lost = [(1, "b"), (2, "c"), (3, "d"), (4, "e")].map(|(offset, value)| (offset, value.to_owned()));
    assert_eq!((kept.len(), kept[0].1.as_slice()), (1, lost.as_slice()));
    assert_eq!(
        (said(&kept[0].0, "lost_from"), said(&kept[0].0, "lost_to")),
        (Some(1), Some(5))
    );
    assert_eq!(truncated(&cluster, 1, "unclean"), 4);
    assert_eq!(read_all(cluster.router(2), id).await, ["a", "x", "y", "z"]);
    cluster.stop().await;
}

/// KIP-101: such records are above every high watermark.
#[tokio::test]
async fn what_a_clean_election_leaves_behind_is_not_kept() {
    let mut cluster = Cluster::start(2, 1).await;
    let id = partition(cluster.controller.create_topic("t", 1, &[1, 2], &[]), 0);
    cluster.produce_until_ok(1, id, "a").await;
    cluster.stop_node(2).await;
    // Still in the ISR: not committed.
    let written = produce(cluster.router(1), id, Acks::Leader, "b").await;
    assert_eq!(written.error, ErrorCode::None);
    cluster.stop_node(1).await;
    cluster.controller.fence(BrokerId(1));
    cluster.start_node(2).await;
    assert_eq!(cluster.controller.partition(id).leader, Some(BrokerId(2)));
    cluster.produce_until_ok(2, id, "c").await;
    cluster.start_node(1).await;
    cluster.wait_isr(id, &[1, 2]).await;
    assert_eq!(quarantined(&[cluster.disk(1)]), []);
    assert_eq!(
        (truncated(&cluster, 1, "clean"), truncated(&cluster, 1, "unclean")),
        (1, 0)
    );
    assert_eq!(read_all(cluster.router(2), id).await, ["a", "c"]);
    cluster.stop().await;
}

/// A leader that forgets what it has acknowledged, and no election that explains it.
#[tokio::test]
async fn committed_records_that_go_for_no_reason_are_kept_too() {
    let replica = ReplicaConfig {
        high_watermark_checkpoint_interval: Duration::from_millis(20),
        doubt_patience: Duration::from_millis(100),
        ..ReplicaConfig::default()
    };
    let mut cluster = Cluster::start_with(2, 1, replica).await;
    let configs = [("min.insync.replicas", "1")];
    let id = partition(cluster.controller.create_topic("t", 1, &[1, 2], &configs), 0);
    for value in ["a", "b", "c"] {
        cluster.produce_until_ok(1, id, value).await;
    }
    let checkpoint = cluster.disk(2).join("replication-offset-checkpoint");
    until("the follower's high watermark", || async {
        std::fs::read_to_string(&checkpoint).is_ok_and(|text| text.contains("t 0 3\n"))
    })
    .await;
    for broker in [2, 1] {
        cluster.stop_node(broker).await;
    }
    cluster.controller.fence(BrokerId(2));
    // The leader's disk goes back in time.
    let log = cluster.disk(1).join("t-0/00000000000000000000.log");
    let bytes = std::fs::read(&log).unwrap();
    std::fs::write(&log, &bytes[..bytes.len() / 3]).unwrap();
    for file in ["recovery-point-offset-checkpoint", "milena-idle-logs"] {
        let _ = std::fs::remove_file(cluster.disk(1).join(file));
    }
    for file in std::fs::read_dir(cluster.disk(1).join("t-0")).unwrap().flatten() {
        if file.path().extension().is_some_and(|e| e == "snapshot") {
            std::fs::remove_file(file.path()).unwrap();
        }
    }
    cluster.controller.elect(id, 1);
    cluster.start_node(1).await;
    cluster.produce_until_ok(1, id, "d").await;
    cluster.start_node(2).await;
    cluster.wait_isr(id, &[1, 2]).await;
    let kept = quarantined(&[cluster.disk(2)]);
    assert_eq!(kept.len(), 1);
    assert_eq!(kept[0].1, [(1, "b".to_owned()), (2, "c".to_owned())]);
    assert!(kept[0].0.contains("\"unclean_epoch\": null"), "{}", kept[0].0);
    assert_eq!(said(&kept[0].0, "committed_to"), Some(3));
    assert_eq!(truncated(&cluster, 2, "unexplained"), 2);
    cluster.stop().await;
}

#[tokio::test]
async fn a_tail_that_may_not_be_kept_is_cut_all_the_same() {
    for bytes_max in [0, 100] {
        let replica = ReplicaConfig {
            quarantine: QuarantineRules {
                bytes_max,
                age_max_ms: 1_000_000,
            },
            ..ReplicaConfig::default()
        };
        let (mut cluster, id) = lost(Cluster::start_with(2, 1, replica).await).await;
        cluster.start_node(1).await;
        cluster.wait_isr(id, &[1, 2]).await;
        assert_eq!(quarantined(&[cluster.disk(1)]), []);
        assert_eq!(truncated(&cluster, 1, "unclean"), 2);
        assert_eq!(cluster.segments(1, "t", 0), cluster.segments(2, "t", 0));
        cluster.stop().await;
    }
}

#[tokio::test]
async fn without_space_to_keep_it_nothing_is_cut() {
    let fs = ShortFs::default();
    let (mut cluster, id) = lost(Cluster::start_with_two_disks_on(2, 1, Some(fs.env())).await).await;
    let disks = [cluster.disk(1), cluster.second_disk(1)];
    fs.refuse(rustix::io::Errno::NOSPC.raw_os_error());
    cluster.start_node(1).await;
    until("the tail to be refused", || async { fs.refused() > 0 }).await;
    cluster.produce_until_ok(2, id, "e").await;
    assert_eq!(cluster.controller.partition(id).isr, [BrokerId(2)]);
    assert_eq!(truncated(&cluster, 1, "unclean"), 0);
    cluster.stop_node(1).await;
    assert_eq!(quarantined(&disks), []);
    fs.refuse(0);
    cluster.start_node(1).await;
    cluster.wait_isr(id, &[1, 2]).await;
    let kept = quarantined(&disks);
    assert_eq!(kept.len(), 1);
    assert_eq!(
        kept[0].1,
        [(1, "b".to_owned()), (2, "c".to_owned())],
        "it was still there"
    );
    cluster.stop().await;
}

/// The replica hears of another leader while its tail is on its way: what was kept for the first one is not taken for cut.
#[tokio::test]
async fn another_election_meanwhile_keeps_the_tail_once() {
    let (mut cluster, id) = lost(Cluster::start(2, 1).await).await;
    cluster.start_node(1).await;
    for _ in 0..20 {
        elect_again(&cluster, id);
        tokio::task::yield_now().await;
    }
    cluster.wait_isr(id, &[1, 2]).await;
    until("what was kept in vain to go", || async {
        quarantined(&[cluster.disk(1)]).len() == 1
    })
    .await;
    let kept = quarantined(&[cluster.disk(1)]);
    assert_eq!(kept[0].1, [(1, "b".to_owned()), (2, "c".to_owned())]);
    assert_eq!(truncated(&cluster, 1, "unclean"), 2);
    cluster.stop().await;
}

/// The same leader in a new epoch.
fn elect_again(cluster: &Cluster, id: TopicIdPartition) {
    cluster.controller.elect(id, 2);
}

#[tokio::test]
async fn what_is_old_leaves_the_quarantine() {
    let replica = ReplicaConfig {
        quarantine: QuarantineRules {
            bytes_max: 1 << 20,
            age_max_ms: 0,
        },
        ..ReplicaConfig::default()
    };
    let mut cluster = Cluster::start_with(2, 1, replica).await;
    cluster.log_work.initial_task_delay = Duration::ZERO;
    cluster.log_work.retention_check_interval = Duration::from_millis(50);
    let (mut cluster, id) = lost(cluster).await;
    let other = cluster.disk(1).join("gone-0.0123-stray");
    std::fs::create_dir(&other).unwrap();
    cluster.start_node(1).await;
    cluster.wait_isr(id, &[1, 2]).await;
    assert_eq!(truncated(&cluster, 1, "unclean"), 2);
    until("the quarantine to be empty", || async {
        let names = std::fs::read_dir(cluster.disk(1)).unwrap().flatten();
        let strays = names.filter(|entry| entry.file_name().to_string_lossy().ends_with("-stray"));
        strays.count() == 1
    })
    .await;
    assert!(other.exists(), "that one is not of the quarantine");
    cluster.stop().await;
}

//! Damaged logs and failed directories: the replicas give way, and are repaired from the others.

use crate::cluster::*;
use crate::opened_files::OpensFiles as _;
use crate::short_fs::ShortFs;
use milena_broker::config::ReplicaConfig;
use milena_metadata::record::MetadataRecord;
use milena_metadata::request::ReplicaState;
use milena_types::{Acks, BrokerId, ErrorCode, TopicIdPartition};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Somebody may have what a log in doubt lacks.
pub(crate) fn patient(doubt_patience: Duration) -> ReplicaConfig {
    ReplicaConfig {
        doubt_patience,
        ..ReplicaConfig::default()
    }
}

/// The smallest segments: two records each.
pub(crate) const SMALL: &[(&str, &str)] = &[("segment.bytes", "1048576")];
pub(crate) const RECORDS: i64 = 9;
pub(crate) const PADDING: usize = 400_000;

/// Nothing is kept in memory.
pub(crate) fn from_disk() -> ReplicaConfig {
    ReplicaConfig {
        tail_ring_bytes: 0,
        ..ReplicaConfig::default()
    }
}

pub(crate) fn logs(dir: &Path) -> Vec<PathBuf> {
    let mut names: Vec<PathBuf> = std::fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "log"))
        .collect();
    names.sort();
    names
}

/// Records of which each has its number in its value, in several segments.
pub(crate) async fn fill(cluster: &Cluster, leader: i32, id: TopicIdPartition) {
    let padding = "x".repeat(PADDING);
    for number in 0..RECORDS {
        cluster
            .produce_until_ok(leader, id, &format!("{number} {padding}"))
            .await;
    }
}

/// A topic `t` on brokers 1, which leads, and 2, filled by [`fill`] and in sync; and the bytes of its log.
pub(crate) async fn filled_on_two(cluster: &Cluster) -> (TopicIdPartition, Vec<u8>) {
    let id = partition(cluster.controller.create_topic("t", 1, &[1, 2], SMALL), 0);
    fill(cluster, 1, id).await;
    cluster.wait_isr(id, &[1, 2]).await;
    (id, cluster.segments(1, "t", 0))
}

/// What [`fill`] wrote is there, in order, on that leader; more may follow.
pub(crate) async fn assert_complete(cluster: &Cluster, leader: i32, id: TopicIdPartition) {
    wait_served(cluster.router(leader), id, RECORDS).await;
    let all = read_all(cluster.router(leader), id).await;
    let filled = usize::try_from(RECORDS).unwrap();
    assert!(all.len() >= filled, "only {} of {filled}", all.len());
    for (number, value) in all[..filled].iter().enumerate() {
        assert!(value.starts_with(&format!("{number} ")), "{number}: {value:.20}");
    }
}

pub(crate) fn flip_a_bit(path: &Path) {
    let mut bytes = std::fs::read(path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 4;
    std::fs::write(path, bytes).unwrap();
}

pub(crate) async fn wait_leader(cluster: &Cluster, id: TopicIdPartition, leader: Option<i32>) {
    until("the leader", || async {
        cluster.controller.partition(id).leader == leader.map(BrokerId)
    })
    .await;
}

#[tokio::test]
async fn a_leader_that_reads_damage_stands_down_and_is_repaired_by_the_next_one() {
    let cluster = Cluster::start_with(2, 2, from_disk()).await;
    let id = partition(cluster.controller.create_topic("t", 1, &[1, 2], SMALL), 0);
    fill(&cluster, 1, id).await;
    let dir = cluster.disk(1).join("t-0");
    let before = cluster.segments(1, "t", 0);
    let closed = logs(&dir)[1].clone();
    flip_a_bit(&closed);
    let mut at = 0;
    let error = loop {
        let result = fetch(cluster.router(1), id, at).await;
        if result.error != ErrorCode::None {
            break result.error;
        }
        let found = values(&result.records);
        for (offset, value) in &found {
            assert!(
                value.starts_with(&format!("{offset} ")),
                "damaged bytes were sent"
            );
        }
        at = found.last().expect("the damage comes before the end").0 + 1;
    };
    assert_eq!(error, ErrorCode::KafkaStorageError);
    wait_leader(&cluster, id, Some(2)).await;
    assert_complete(&cluster, 2, id).await;
    wait_repaired(&cluster, 1, id, &before).await;
    assert_eq!(cluster.segments(2, "t", 0), before, "nobody cut the good replica");
    cluster.controller.elect(id, 1);
    until("the repaired replica to lead", || async {
        fetch(cluster.router(1), id, 0).await.error == ErrorCode::None
    })
    .await;
    assert_complete(&cluster, 1, id).await;
    cluster.stop().await;
}

#[tokio::test]
async fn damage_that_is_met_for_a_follower_is_not_sent() {
    let mut cluster = Cluster::start_with(2, 1, from_disk()).await;
    let id = partition(cluster.controller.create_topic("t", 1, &[1, 2, 3], SMALL), 0);
    cluster.controller.fence_absent(id, 3);
    fill(&cluster, 1, id).await;
    let before = cluster.segments(1, "t", 0);
    flip_a_bit(&logs(&cluster.disk(1).join("t-0"))[1]);
    cluster.start_node(3).await;
    cluster.wait_isr(id, &[1, 2, 3]).await;
    assert_eq!(cluster.controller.partition(id).leader, Some(BrokerId(2)));
    until("the same bytes", || async {
        (1..=3).all(|broker| cluster.segments(broker, "t", 0) == before)
    })
    .await;
    cluster.stop().await;
}

#[tokio::test]
async fn a_log_that_lacks_a_segment_is_not_opened_before_another_leads() {
    let mut cluster = Cluster::start(2, 1).await;
    let (id, before) = filled_on_two(&cluster).await;
    cluster.stop_node(1).await;
    std::fs::remove_file(&logs(&cluster.disk(1).join("t-0"))[2]).unwrap();
    // It still leads, as far as the metadata goes.
    cluster.start_node(1).await;
    wait_leader(&cluster, id, Some(2)).await;
    wait_repaired(&cluster, 1, id, &before).await;
    cluster.stop().await;
}

/// What the threads of a killed broker would not have written as they ended, nor yet before.
const WRITTEN_AT_THE_END: [&str; 2] = ["recovery-point-offset-checkpoint", "milena-idle-logs"];

/// Two replicas in sync, both killed: nothing of the log is below a recovery point. Gives what was on both disks.
pub(crate) async fn killed_at_once(cluster: &mut Cluster) -> (TopicIdPartition, Vec<u8>) {
    let id = partition(cluster.controller.create_topic("t", 1, &[1, 2], &[]), 0);
    fill(cluster, 1, id).await;
    cluster.wait_isr(id, &[1, 2]).await;
    let before = cluster.segments(1, "t", 0);
    for broker in [1, 2] {
        cluster.stop_node(broker).await;
        cluster.controller.lose(BrokerId(broker));
        for file in WRITTEN_AT_THE_END {
            std::fs::remove_file(cluster.disk(broker).join(file)).unwrap();
        }
    }
    assert_eq!(cluster.segments(2, "t", 0), before);
    (id, before)
}

pub(crate) fn damage(cluster: &Cluster, broker: i32) {
    flip_a_bit(&logs(&cluster.disk(broker).join("t-0"))[0]);
}

/// The reports up to a number; later ones may follow.
pub(crate) async fn wait_reports(cluster: &Cluster, expected: &[(BrokerId, ReplicaState)]) {
    until("the reports", || async {
        cluster.controller.reports().len() >= expected.len()
    })
    .await;
    assert_eq!(cluster.controller.reports()[..expected.len()], *expected);
}

/// The broker's log is not served, and lies there as it was.
pub(crate) async fn wait_refused(cluster: &Cluster, broker: i32, id: TopicIdPartition, left: &[u8]) {
    wait_reports(cluster, &[(BrokerId(broker), ReplicaState::Offline)]).await;
    let error = fetch(cluster.router(broker), id, 0).await.error;
    assert_eq!(error, ErrorCode::KafkaStorageError);
    assert_eq!(cluster.segments(broker, "t", 0), left);
}

/// The broker has put its log out of use, and fetched it again from the other one.
pub(crate) async fn wait_repaired(cluster: &Cluster, broker: i32, id: TopicIdPartition, whole: &[u8]) {
    // One that it is well again may follow, where the metadata comes later than the answer.
    let reports = [ReplicaState::Offline, ReplicaState::Refill].map(|state| (BrokerId(broker), state));
    wait_reports(cluster, &reports).await;
    cluster.wait_isr(id, &[1, 2]).await;
    let dir = cluster.disk(broker).join("t-0");
    until("the same bytes", || async {
        dir.exists() && (1..=2).all(|broker| cluster.segments(broker, "t", 0) == whole)
    })
    .await;
}

#[tokio::test]
async fn a_replica_in_doubt_is_filled_by_one_that_has_more() {
    let mut cluster = Cluster::start_with(2, 1, patient(Duration::from_secs(2))).await;
    let (id, before) = killed_at_once(&mut cluster).await;
    damage(&cluster, 1);
    let damaged = cluster.segments(1, "t", 0);
    cluster.start_node(1).await;
    wait_refused(&cluster, 1, id, &damaged).await;
    cluster.start_node(2).await;
    cluster.controller.elect(id, 2);
    wait_repaired(&cluster, 1, id, &before).await;
    assert_complete(&cluster, 2, id).await;
    cluster.stop().await;
}

/// Marked as left in order, its log would be gone by without a look at the next start.
#[tokio::test]
async fn a_stop_in_the_midst_of_a_doubt_is_not_a_clean_one() {
    let mut cluster = Cluster::start_with(2, 1, patient(Duration::from_secs(3600))).await;
    let (id, _) = killed_at_once(&mut cluster).await;
    damage(&cluster, 1);
    cluster.start_node(1).await;
    wait_reports(&cluster, &[(BrokerId(1), ReplicaState::Offline)]).await;
    assert_eq!(cluster.controller.partition(id).leader, None);
    assert!(!cluster.stops_in_order(1).await);
    cluster.stop().await;
}

/// Nor is one while a log could not be opened: it would not be recovered at the next start.
#[tokio::test]
async fn a_stop_while_a_log_waits_for_files_is_not_a_clean_one() {
    let fs = ShortFs::default();
    let mut cluster = Cluster::start_with_two_disks_on(1, 1, Some(fs.env())).await;
    let id = partition(cluster.controller.create_topic("short", 1, &[1], &[]), 0);
    fill(&cluster, 1, id).await;
    cluster.stop_node(1).await;
    for disk in [cluster.disk(1), cluster.second_disk(1)] {
        for file in WRITTEN_AT_THE_END {
            let _ = std::fs::remove_file(disk.join(file));
        }
    }
    fs.refuse(rustix::io::Errno::MFILE.raw_os_error());
    cluster.start_node(1).await;
    until("the log to be refused", || async {
        fetch(cluster.router(1), id, 0).await.error == ErrorCode::KafkaStorageError
    })
    .await;
    assert!(fs.refused() > 0);
    assert!(!cluster.stops_in_order(1).await);
    fs.refuse(0);
    cluster.start_node(1).await;
    assert_complete(&cluster, 1, id).await;
    cluster.stop().await;
}

/// Its directory is gone, and with it more than the leader has kept: it begins where the leader does.
#[tokio::test]
async fn a_replica_without_its_directory_begins_anew() {
    let mut cluster = Cluster::start_with(2, 1, patient(Duration::from_millis(300))).await;
    let (id, before) = killed_at_once(&mut cluster).await;
    std::fs::remove_dir_all(cluster.disk(1).join("t-0")).unwrap();
    // What an older log of that name had deleted before it was made again.
    let checkpoint = cluster.disk(1).join("log-start-offset-checkpoint");
    std::fs::write(checkpoint, "0\n1\nt 0 3\n").unwrap();
    cluster.start_node(2).await;
    cluster.controller.elect(id, 2);
    cluster.start_node(1).await;
    wait_repaired(&cluster, 1, id, &before).await;
    cluster.controller.elect(id, 1);
    until("the former follower to lead", || async {
        fetch(cluster.router(1), id, 0).await.error == ErrorCode::None
    })
    .await;
    assert_complete(&cluster, 1, id).await;
    cluster.stop().await;
}

#[tokio::test]
async fn a_replica_in_doubt_goes_on_alone_when_nobody_comes() {
    let mut cluster = Cluster::start_with(2, 1, patient(Duration::from_millis(300))).await;
    let (id, before) = killed_at_once(&mut cluster).await;
    damage(&cluster, 1);
    cluster.start_node(1).await;
    wait_leader(&cluster, id, Some(1)).await;
    let value = format!("again {}", "x".repeat(PADDING));
    cluster.produce_until_ok(1, id, &value).await;
    let all = read_all(cluster.router(1), id).await;
    assert!(all.len() > 1 && all.len() < usize::try_from(RECORDS).unwrap());
    assert!(all.last().unwrap().starts_with("again"));
    let kept = cluster.segments(1, "t", 0);
    let common = kept.iter().zip(&before).take_while(|(a, b)| a == b).count();
    assert!(
        common >= (all.len() - 1) * PADDING,
        "it is cut where it is damaged"
    );
    let reports = cluster.controller.reports();
    assert_eq!(
        reports[..2],
        [
            (BrokerId(1), ReplicaState::Offline),
            (BrokerId(1), ReplicaState::Cut)
        ]
    );
    cluster.stop().await;
}

#[tokio::test]
async fn replicas_that_are_all_in_doubt_come_back() {
    let mut cluster = Cluster::start_with(2, 1, patient(Duration::from_millis(300))).await;
    let (id, _) = killed_at_once(&mut cluster).await;
    damage(&cluster, 1);
    damage(&cluster, 2);
    cluster.start_node(1).await;
    cluster.start_node(2).await;
    until("a leader", || async {
        cluster.controller.partition(id).leader.is_some()
    })
    .await;
    cluster.wait_isr(id, &[1, 2]).await;
    until("the same bytes", || async {
        cluster.segments(1, "t", 0) == cluster.segments(2, "t", 0)
    })
    .await;
    assert!(
        cluster.segments(1, "t", 0).len() > PADDING,
        "what is good is kept"
    );
    cluster.stop().await;
}

#[tokio::test]
async fn the_only_replica_goes_offline_with_its_damage_and_keeps_it() {
    let mut cluster = Cluster::start(1, 1).await;
    let id = partition(cluster.controller.create_topic("t", 1, &[1], SMALL), 0);
    fill(&cluster, 1, id).await;
    cluster.stop_node(1).await;
    let dir = cluster.disk(1).join("t-0");
    let lost = logs(&dir)[2].clone();
    let bytes = std::fs::read(&lost).unwrap();
    std::fs::remove_file(&lost).unwrap();
    let left = cluster.segments(1, "t", 0);
    cluster.start_node(1).await;
    wait_leader(&cluster, id, None).await;
    let error = fetch(cluster.router(1), id, 0).await.error;
    assert_eq!(error, ErrorCode::KafkaStorageError);
    let refused = produce(cluster.router(1), id, Acks::All, "x").await;
    assert_eq!(refused.error, ErrorCode::KafkaStorageError);
    assert_eq!(cluster.segments(1, "t", 0), left, "what is left is left alone");
    // Somebody brings the segment back.
    cluster.stop_node(1).await;
    std::fs::write(&lost, bytes).unwrap();
    cluster.start_node(1).await;
    until("the replica to be reported online", || async {
        cluster.controller.reports().last() == Some(&(BrokerId(1), ReplicaState::Online))
    })
    .await;
    cluster.controller.elect(id, 1);
    until("the leader", || async {
        fetch(cluster.router(1), id, 0).await.error == ErrorCode::None
    })
    .await;
    assert_complete(&cluster, 1, id).await;
    cluster.stop().await;
}

/// A file of Milena's own in one partition says nothing about its directory.
#[tokio::test]
async fn a_file_that_makes_no_sense_costs_its_own_replica_only() {
    let mut cluster = Cluster::start(2, 1).await;
    let (id, before) = filled_on_two(&cluster).await;
    let other = partition(cluster.controller.create_topic("u", 1, &[1], SMALL), 0);
    fill(&cluster, 1, other).await;
    cluster.stop_node(1).await;
    let dir = cluster.disk(1).join("t-0");
    std::fs::write(dir.join("compaction-swap"), "0\n2\nold 0\nnfw 0 0 00000000\n").unwrap();
    std::fs::write(dir.join("recovery-floor"), vec![b'7'; 2000]).unwrap();
    cluster.start_node(1).await;
    wait_repaired(&cluster, 1, id, &before).await;
    assert_complete(&cluster, 1, other).await;
    cluster.stop().await;
}

/// It may be that of a deleted topic: it is kept, aside, and the leader's takes its place.
#[tokio::test]
async fn a_log_that_does_not_say_whose_it_is_is_not_taken_for_the_replicas() {
    for damage in [&b""[..], &[0; 40]] {
        let mut cluster = Cluster::start(2, 1).await;
        let id = partition(cluster.controller.create_topic("t", 1, &[1, 2], SMALL), 0);
        fill(&cluster, 1, id).await;
        cluster.wait_isr(id, &[1, 2]).await;
        let before = cluster.segments(1, "t", 0);
        cluster.stop_node(2).await;
        let disk = cluster.disk(2);
        // The word of the last shutdown knows whose it is.
        std::fs::remove_file(disk.join("milena-idle-logs")).unwrap();
        std::fs::write(disk.join("t-0").join("partition.metadata"), damage).unwrap();
        cluster.start_node(2).await;
        wait_reports(&cluster, &[(BrokerId(2), ReplicaState::Refill)]).await;
        until("the same bytes", || async {
            disk.join("t-0").exists() && cluster.segments(2, "t", 0) == before
        })
        .await;
        cluster.wait_isr(id, &[1, 2]).await;
        let names = std::fs::read_dir(&disk)
            .unwrap()
            .map(|entry| entry.unwrap().file_name());
        let is_stray = |name: &std::ffi::OsString| {
            let name = name.to_string_lossy();
            name.starts_with("t-0.") && name.ends_with("-stray")
        };
        assert_eq!(names.filter(is_stray).count(), 1);
        assert_complete(&cluster, 1, id).await;
        cluster.stop().await;
    }
}

/// One flipped bit makes another valid id: it is the log all the same, and no empty one takes its place.
#[tokio::test]
async fn a_log_that_says_that_it_is_of_a_topic_that_nobody_knows_is_damaged() {
    let mut cluster = Cluster::start(2, 1).await;
    let (id, before) = killed_at_once(&mut cluster).await;
    let marked = cluster.disk(2).join("t-0").join("partition.metadata");
    let text = std::fs::read_to_string(&marked).unwrap();
    let other = text.replace(
        &id.topic.to_string(),
        &milena_types::TopicId::random().to_string(),
    );
    assert_ne!(other, text);
    std::fs::write(&marked, other).unwrap();
    // It was the last one in sync.
    cluster.start_node(2).await;
    wait_refused(&cluster, 2, id, &before).await;
    // The other one has everything too.
    cluster.start_node(1).await;
    cluster.controller.elect(id, 1);
    wait_repaired(&cluster, 2, id, &before).await;
    assert_complete(&cluster, 1, id).await;
    cluster.stop().await;
}

/// Gives the last batch an epoch that no leader had: no checksum covers it.
fn damage_epoch(cluster: &Cluster, broker: i32) {
    let path = logs(&cluster.disk(broker).join("t-0")).pop().unwrap();
    let mut bytes = std::fs::read(&path).unwrap();
    let mut last = 0;
    while let Some(length) = bytes.get(last + 8..last + 12) {
        let next = last + 12 + u32::from_be_bytes(length.try_into().unwrap()) as usize;
        if next >= bytes.len() {
            break;
        }
        last = next;
    }
    bytes[last + 12] ^= 0x40;
    std::fs::write(path, bytes).unwrap();
}

#[tokio::test]
async fn an_epoch_that_was_never_given_out_costs_no_record_when_no_log_is_whole() {
    let mut cluster = Cluster::start_with(2, 1, patient(Duration::from_millis(300))).await;
    let (id, before) = killed_at_once(&mut cluster).await;
    damage_epoch(&cluster, 1);
    damage_epoch(&cluster, 2);
    assert_ne!(cluster.segments(1, "t", 0), before);
    cluster.start_node(1).await;
    wait_leader(&cluster, id, Some(1)).await;
    assert_complete(&cluster, 1, id).await;
    cluster.start_node(2).await;
    cluster.wait_isr(id, &[1, 2]).await;
    cluster.produce_until_ok(1, id, "after").await;
    until("the same bytes", || async {
        let kept = cluster.segments(1, "t", 0);
        kept.starts_with(&before) && kept == cluster.segments(2, "t", 0)
    })
    .await;
    cluster.stop().await;
}

/// The batches say what the epochs are: no record is lost, and no replica offline.
#[tokio::test]
async fn an_epoch_file_that_lacks_an_epoch_is_built_again_by_the_read_that_meets_it() {
    let mut cluster = Cluster::start_with(1, 1, from_disk()).await;
    let id = partition(cluster.controller.create_topic("t", 1, &[1], SMALL), 0);
    let padding = "x".repeat(PADDING);
    for number in 0..RECORDS {
        if number > 0 && number % 3 == 0 {
            cluster.controller.elect(id, 1);
        }
        cluster
            .produce_until_ok(1, id, &format!("{number} {padding}"))
            .await;
    }
    cluster.stop_node(1).await;
    std::fs::remove_file(cluster.disk(1).join("milena-idle-logs")).unwrap();
    let path = cluster.disk(1).join("t-0").join("leader-epoch-checkpoint");
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "0\n3\n0 0\n1 3\n2 6\n");
    std::fs::write(&path, "0\n2\n0 0\n2 6\n").unwrap();
    cluster.start_node(1).await;
    until("the fourth record", || async {
        let result = fetch(cluster.router(1), id, 3).await;
        result.error == ErrorCode::None && !result.records.is_empty()
    })
    .await;
    assert_complete(&cluster, 1, id).await;
    assert_eq!(cluster.controller.reports(), []);
    cluster.stop_node(1).await;
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "0\n3\n0 0\n1 3\n2 6\n");
    cluster.stop().await;
}

#[tokio::test]
async fn a_failed_directory_takes_its_own_partitions_along_and_no_others() {
    let mut cluster = Cluster::start_with_two_disks(2, 2).await;
    let topic = cluster.controller.create_topic("t", 4, &[1, 2], SMALL);
    for index in 0..4 {
        fill(&cluster, 1, partition(topic, index)).await;
    }
    let failed = cluster.second_disk(1);
    let lost: Vec<i32> = (0..4)
        .filter(|index| failed.join(format!("t-{index}")).exists())
        .collect();
    assert_eq!(lost.len(), 2, "partitions are spread: {lost:?}");
    std::fs::rename(&failed, failed.with_extension("gone")).unwrap();
    for index in 0..4 {
        let id = partition(topic, index);
        let leader = if lost.contains(&index) {
            // Its segments are full after a few records, and there is no place for another one.
            until("a storage error", || async {
                let padding = "x".repeat(PADDING);
                let result = produce(cluster.router(1), id, Acks::All, &padding).await;
                matches!(
                    result.error,
                    ErrorCode::KafkaStorageError | ErrorCode::NotLeaderOrFollower
                )
            })
            .await;
            wait_leader(&cluster, id, Some(2)).await;
            2
        } else {
            1
        };
        cluster.produce_until_ok(leader, id, "after").await;
        assert_complete(&cluster, leader, id).await;
        let offline = &cluster.controller.partition(id).offline;
        assert_eq!(offline.contains(&BrokerId(1)), leader == 2, "t-{index}");
    }
    assert!(!failed.exists(), "nothing is written in place of the directory");
    // The directory is back after a restart: its replicas are as well.
    cluster.stop_node(1).await;
    std::fs::rename(failed.with_extension("gone"), &failed).unwrap();
    cluster.start_node(1).await;
    for index in 0..4 {
        cluster.wait_isr(partition(topic, index), &[1, 2]).await;
    }
    cluster.stop().await;
}

#[tokio::test]
async fn a_directory_that_cannot_be_opened_leaves_the_others_to_work_with() {
    let mut cluster = Cluster::start_with_two_disks(2, 1).await;
    let topic = cluster.controller.create_topic("t", 4, &[1, 2], SMALL);
    for index in 0..4 {
        cluster.produce_until_ok(1, partition(topic, index), "a").await;
    }
    cluster.stop_node(1).await;
    cluster.controller.fence(BrokerId(1));
    let bad = cluster.second_disk(1);
    let lost: Vec<i32> = (0..4)
        .filter(|index| bad.join(format!("t-{index}")).exists())
        .collect();
    assert_eq!(lost.len(), 2, "partitions are spread: {lost:?}");
    std::fs::rename(&bad, bad.with_extension("gone")).unwrap();
    // A file where the directory should be: nothing in it can be opened.
    std::fs::write(&bad, b"").unwrap();
    cluster.start_node(1).await;
    for index in 0..4 {
        let id = partition(topic, index);
        if lost.contains(&index) {
            until("the replica to be reported", || async {
                cluster.controller.partition(id).offline == [BrokerId(1)]
            })
            .await;
            assert!(
                !cluster.disk(1).join(format!("t-{index}")).exists(),
                "no empty log takes the place of one that may be there"
            );
        } else {
            cluster.wait_isr(id, &[1, 2]).await;
        }
    }
    // New partitions go where there is a directory.
    let new = partition(cluster.controller.create_topic("new", 1, &[1], &[]), 0);
    cluster.produce_until_ok(1, new, "a").await;
    cluster.stop().await;
}

/// A log that nothing is appended to any more has no news for the checkpoints, and keeps no floor for that.
#[tokio::test]
async fn a_recovery_floor_goes_at_a_stop_and_with_the_first_checkpoint_of_a_start() {
    let replica = ReplicaConfig {
        high_watermark_checkpoint_interval: Duration::from_secs(3_600),
        ..ReplicaConfig::default()
    };
    let mut cluster = Cluster::start_with(1, 1, replica).await;
    let former = cluster.controller.create_topic("t", 1, &[1], &[]);
    cluster.produce_until_ok(1, partition(former, 0), "x").await;
    cluster.stop_clean(1).await;
    cluster.start_node(1).await;
    let removed = MetadataRecord::TopicRemoved(former);
    cluster.controller.commit(vec![removed]);
    let id = partition(cluster.controller.create_topic("t", 1, &[1], &[]), 0);
    cluster.produce_until_ok(1, id, "y").await;
    let floor = cluster.disk(1).join("t-0").join("recovery-floor");
    assert!(floor.exists(), "the checkpoint knows the former log");
    cluster.stop_clean(1).await;
    assert!(!floor.exists());
    // After a crash, where the checkpoints say what they will be found to say.
    std::fs::write(&floor, "0\n").unwrap();
    std::fs::remove_file(cluster.disk(1).join(".kafka_cleanshutdown")).unwrap();
    cluster.replica.high_watermark_checkpoint_interval = Duration::from_millis(200);
    cluster.start_node(1).await;
    until("the floor to go", || async { !floor.exists() }).await;
    cluster.stop().await;
}

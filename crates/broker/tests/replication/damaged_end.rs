//! A damaged log is cut only once its end is set aside: what is good of it may be nowhere else.

use crate::cluster::*;
use crate::opened_files::OpensFiles as _;
use crate::short_fs::ShortFs;
use crate::slow_fs::SlowFs;
use crate::storage::*;
use crate::unclean::{elect_uncleanly, said};
use milena_broker::config::{QuarantineRules, ReplicaConfig};
use milena_metadata::request::ReplicaState;
use milena_types::{Acks, BrokerId, ErrorCode, TopicIdPartition};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// What a copy holds: the word of it, and the bytes.
#[derive(Debug, PartialEq, Eq)]
struct Kept {
    word: String,
    bytes: Vec<u8>,
}

/// The copies on this disk.
fn kept(disk: &Path) -> Vec<Kept> {
    let entries = std::fs::read_dir(disk).unwrap().flatten();
    let mut strays: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
    strays.retain(|path| path.to_string_lossy().ends_with("-stray"));
    strays.sort();
    let read = |stray: &PathBuf| Kept {
        word: std::fs::read_to_string(stray.join("loss.json")).unwrap(),
        bytes: logs(stray)
            .iter()
            .flat_map(|log| std::fs::read(log).unwrap())
            .collect(),
    };
    strays.iter().map(read).collect()
}

/// The numbers of the records in whole batches, as `fill` wrote them.
fn numbers(bytes: &[u8]) -> BTreeSet<i64> {
    let mut found = BTreeSet::new();
    let mut at = 0;
    while let Some(length) = bytes.get(at + 8..at + 12) {
        let next = at + 12 + u32::from_be_bytes(length.try_into().unwrap()) as usize;
        let batch = &bytes[at..next.min(bytes.len())];
        if milena_record::check_crc(batch).is_ok() {
            let whole = bytes::Bytes::copy_from_slice(batch);
            found.extend(values(&whole).into_iter().map(|(offset, value)| {
                assert!(value.starts_with(&format!("{offset} ")));
                offset
            }));
        }
        at = next;
    }
    found
}

/// Where the batch of a record is: each record has one of its own.
fn place_of(cluster: &Cluster, broker: i32, number: i64) -> (PathBuf, usize) {
    let logs = logs(&cluster.disk(broker).join("t-0"));
    let base = |path: &PathBuf| -> i64 { path.file_stem().unwrap().to_str().unwrap().parse().unwrap() };
    let path = logs.iter().rfind(|path| base(path) <= number).unwrap();
    let bytes = std::fs::read(path).unwrap();
    let mut at = 0;
    for _ in base(path)..number {
        at += 12 + u32::from_be_bytes(bytes[at + 8..at + 12].try_into().unwrap()) as usize;
    }
    (path.clone(), at)
}

/// Flips a bit inside of the batch of a record; gives all the bytes of the log from that batch on.
fn damage_record(cluster: &Cluster, broker: i32, number: i64) -> Vec<u8> {
    let (path, at) = place_of(cluster, broker, number);
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[at + 1000] ^= 4;
    std::fs::write(&path, &bytes).unwrap();
    let mut end = bytes.split_off(at);
    let logs = logs(&cluster.disk(broker).join("t-0"));
    let later = logs.iter().filter(|later| **later > path);
    later.for_each(|later| end.extend(std::fs::read(later).unwrap()));
    end
}

/// A sector that was lost: how long the batch is nobody knows.
fn zero_header(cluster: &Cluster, broker: i32, number: i64) {
    let (path, at) = place_of(cluster, broker, number);
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[at..at + 512].fill(0);
    std::fs::write(path, bytes).unwrap();
}

/// A stopped broker's disk as kill -9 leaves it: the checkpoints are some seconds old.
fn as_killed(cluster: &Cluster, broker: i32, checkpoint: i64) {
    let disk = cluster.disk(broker);
    for word in ["milena-idle-logs", "milena-clean-shutdown"] {
        let _ = std::fs::remove_file(disk.join(word));
    }
    for file in [
        "recovery-point-offset-checkpoint",
        "replication-offset-checkpoint",
    ] {
        std::fs::write(disk.join(file), format!("0\n1\nt 0 {checkpoint}\n")).unwrap();
    }
}

/// Reads until the damage is met.
async fn read_into(cluster: &Cluster, leader: i32, id: TopicIdPartition) {
    let mut at = 0;
    loop {
        let result = fetch(cluster.router(leader), id, at).await;
        if result.error != ErrorCode::None {
            assert_eq!(result.error, ErrorCode::KafkaStorageError);
            return;
        }
        at = values(&result.records)
            .last()
            .expect("the damage comes before the end")
            .0
            + 1;
    }
}

async fn wait_kept(cluster: &Cluster, broker: i32, count: usize) -> Vec<Kept> {
    until("the copies", || async {
        kept(&cluster.disk(broker)).len() == count
    })
    .await;
    kept(&cluster.disk(broker))
}

/// One record is bad here, another one there: each replica has what the other one lacks, and nothing good is lost by the repair.
#[tokio::test]
async fn when_the_leader_is_damaged_too_every_good_record_is_still_somewhere() {
    let cluster = Cluster::start_with(2, 1, from_disk()).await;
    let (id, _) = filled_on_two(&cluster).await;
    let first = damage_record(&cluster, 1, 3);
    let second = damage_record(&cluster, 2, 6);
    read_into(&cluster, 1, id).await;
    // The second one leads, and meets its own damage as it fills the first one again.
    until("both to be out of use", || async {
        let state = cluster.controller.partition(id);
        state.leader.is_none()
            && cluster
                .controller
                .reports()
                .contains(&(BrokerId(2), ReplicaState::Offline))
    })
    .await;
    let copies = wait_kept(&cluster, 1, 1).await;
    assert_eq!(copies[0].bytes, first, "byte by byte, with what is bad");
    let word = &copies[0].word;
    assert!(word.contains("\"why\": \"damage\""), "{word}");
    for (key, expected) in [
        ("lost_from", 3),
        ("committed_to", RECORDS),
        ("lost_to", RECORDS),
        ("broker", 1),
        ("partition", 0),
    ] {
        assert_eq!(said(word, key), Some(expected), "{key} in {word}");
    }
    assert_eq!(kept(&cluster.disk(2)), []);
    // By hand.
    elect_uncleanly(&cluster, id, 1);
    let dropped = wait_kept(&cluster, 2, 1).await;
    assert_eq!(dropped[0].bytes, second);
    assert_eq!(
        (
            said(&dropped[0].word, "lost_from"),
            said(&dropped[0].word, "lost_to")
        ),
        (Some(6), Some(RECORDS))
    );
    cluster.wait_isr(id, &[1, 2]).await;
    cluster.produce_until_ok(1, id, "after").await;
    let all = read_all(cluster.router(1), id).await;
    assert!(all.len() >= 4 && all.last().unwrap() == "after", "{}", all.len());
    let mut good = numbers(&first);
    good.extend(numbers(&second));
    good.extend(0..i64::try_from(all.len()).unwrap() - 1);
    assert_eq!(good, (0..RECORDS).collect(), "none is gone");
    // The leader has less: they stay.
    assert_eq!(kept(&cluster.disk(1)), copies);
    assert_eq!(kept(&cluster.disk(2)), dropped);
    cluster.stop().await;
}

#[tokio::test]
async fn the_copy_goes_when_the_leader_has_filled_all_of_it_in() {
    let cluster = Cluster::start_with(2, 2, from_disk()).await;
    let (id, before) = filled_on_two(&cluster).await;
    damage_record(&cluster, 1, 2);
    read_into(&cluster, 1, id).await;
    wait_repaired(&cluster, 1, id, &before).await;
    wait_kept(&cluster, 1, 0).await;
    assert_complete(&cluster, 2, id).await;
    cluster.stop().await;
}

/// Until there is space for the copy.
#[tokio::test]
async fn without_space_for_the_copy_the_damaged_log_is_not_cut() {
    let fs = ShortFs::default();
    let cluster = Cluster::start_on(2, 1, from_disk(), fs.env()).await;
    let (id, before) = filled_on_two(&cluster).await;
    damage_record(&cluster, 1, 2);
    let damaged = cluster.segments(1, "t", 0);
    fs.refuse(rustix::io::Errno::NOSPC.raw_os_error());
    read_into(&cluster, 1, id).await;
    wait_reports(
        &cluster,
        &[ReplicaState::Offline, ReplicaState::Refill].map(|state| (BrokerId(1), state)),
    )
    .await;
    until("the copy to be refused", || async { fs.refused() > 0 }).await;
    cluster.produce_until_ok(2, id, "after").await;
    assert_eq!(cluster.segments(1, "t", 0), damaged);
    assert_eq!(kept(&cluster.disk(1)), []);
    fs.refuse(0);
    // At a change of the metadata it is tried again, before its pause is over.
    cluster.controller.elect(id, 2);
    cluster.wait_isr(id, &[1, 2]).await;
    until("the same bytes", || async {
        let whole = cluster.segments(2, "t", 0);
        whole.starts_with(&before) && cluster.segments(1, "t", 0) == whole
    })
    .await;
    wait_kept(&cluster, 1, 0).await;
    cluster.stop().await;
}

#[tokio::test]
async fn an_end_that_may_not_be_kept_is_cut_all_the_same() {
    let replica = ReplicaConfig {
        quarantine: QuarantineRules {
            bytes_max: PADDING as u64,
            age_max_ms: 1_000_000,
        },
        ..from_disk()
    };
    let cluster = Cluster::start_with(2, 1, replica).await;
    let (id, before) = filled_on_two(&cluster).await;
    damage_record(&cluster, 1, 2);
    read_into(&cluster, 1, id).await;
    wait_repaired(&cluster, 1, id, &before).await;
    assert_eq!(kept(&cluster.disk(1)), []);
    cluster.stop().await;
}

/// Its log is not open: the copy is made as it is opened.
#[tokio::test]
async fn what_a_replica_in_doubt_cuts_when_nobody_comes_is_kept() {
    let fs = ShortFs::default();
    let mut cluster = Cluster::start_on(2, 1, patient(Duration::from_millis(300)), fs.env()).await;
    let (id, _) = killed_at_once(&mut cluster).await;
    let end = damage_record(&cluster, 1, 4);
    let damaged = cluster.segments(1, "t", 0);
    fs.refuse(rustix::io::Errno::NOSPC.raw_os_error());
    cluster.start_node(1).await;
    until("the copy to be refused", || async { fs.refused() > 0 }).await;
    until("the log to be refused", || async {
        fetch(cluster.router(1), id, 0).await.error == ErrorCode::KafkaStorageError
    })
    .await;
    cluster.stop_node(1).await;
    assert_eq!(cluster.segments(1, "t", 0), damaged, "nothing is cut");
    assert_eq!(kept(&cluster.disk(1)), []);
    fs.refuse(0);
    cluster.start_node(1).await;
    cluster.produce_until_ok(1, id, "again").await;
    let all = read_all(cluster.router(1), id).await;
    assert_eq!((all.len(), all[4].as_str()), (5, "again"));
    let copies = wait_kept(&cluster, 1, 1).await;
    assert_eq!(copies[0].bytes, end);
    assert_eq!(said(&copies[0].word, "lost_from"), Some(4));
    assert_eq!(said(&copies[0].word, "lost_to"), Some(RECORDS));
    assert_eq!(numbers(&end), (5..RECORDS).collect(), "good records are in it");
    cluster.stop().await;
}

/// Its log lacks a segment, and the leader has all of it.
#[tokio::test]
async fn the_copy_of_a_log_that_was_not_open_goes_too() {
    let mut cluster = Cluster::start_with(2, 1, from_disk()).await;
    let (id, before) = filled_on_two(&cluster).await;
    cluster.stop_node(1).await;
    std::fs::remove_file(&logs(&cluster.disk(1).join("t-0"))[2]).unwrap();
    cluster.start_node(1).await;
    wait_repaired(&cluster, 1, id, &before).await;
    wait_kept(&cluster, 1, 0).await;
    cluster.stop().await;
}

/// While the end was on its way into the quarantine whoever was to fill the log again has gone.
#[tokio::test]
async fn a_log_that_nobody_can_fill_any_more_is_not_cut() {
    let fs = SlowFs::default();
    let mut cluster = Cluster::start_on(2, 1, from_disk(), fs.env()).await;
    let (id, before) = filled_on_two(&cluster).await;
    damage_record(&cluster, 1, 2);
    let damaged = cluster.segments(1, "t", 0);
    fs.hold(Some(cluster.disk(1)));
    read_into(&cluster, 1, id).await;
    let disk = cluster.disk(1);
    until("the copy to begin", || async { partition_dirs(&disk) == 2 }).await;
    cluster.stop_node(2).await;
    cluster.controller.fence(BrokerId(2));
    wait_leader(&cluster, id, None).await;
    fs.hold(None);
    until("the copy to go again", || async { partition_dirs(&disk) == 1 }).await;
    assert_eq!(cluster.segments(1, "t", 0), damaged);
    cluster.start_node(2).await;
    cluster.controller.elect(id, 2);
    cluster.wait_isr(id, &[1, 2]).await;
    until("the same bytes", || async {
        cluster.segments(1, "t", 0) == before
    })
    .await;
    wait_kept(&cluster, 1, 0).await;
    cluster.stop().await;
}

/// Only the first record behind the bad header was counted as cut, and the copy went before the leader had filled in the others.
#[tokio::test]
async fn behind_an_unreadable_header_the_copy_waits_for_the_last_record() {
    let mut cluster = Cluster::start_with(2, 1, from_disk()).await;
    let id = partition(cluster.controller.create_topic("t", 1, &[1, 2], &[]), 0);
    fill(&cluster, 1, id).await;
    cluster.wait_isr(id, &[1, 2]).await;
    cluster.stop_node(1).await;
    cluster.controller.lose(BrokerId(1));
    as_killed(&cluster, 1, 4);
    zero_header(&cluster, 1, 2);
    damage_record(&cluster, 2, 7);
    wait_leader(&cluster, id, Some(2)).await;
    cluster.start_node(1).await;
    until("both to be out of use", || async {
        cluster.controller.partition(id).leader.is_none()
    })
    .await;
    let copies = wait_kept(&cluster, 1, 1).await;
    let word = &copies[0].word;
    assert_eq!(said(word, "lost_from"), Some(2), "{word}");
    assert_eq!(said(word, "lost_to"), Some(RECORDS), "{word}");
    assert!(word.contains("\"at_least\": false"), "{word}");
    cluster.stop().await;
}

#[tokio::test]
async fn what_the_only_replica_cuts_is_named_to_its_end() {
    let mut cluster = Cluster::start_with(1, 1, patient(Duration::from_millis(300))).await;
    let id = partition(cluster.controller.create_topic("t", 1, &[1], &[]), 0);
    fill(&cluster, 1, id).await;
    cluster.stop_node(1).await;
    as_killed(&cluster, 1, 4);
    zero_header(&cluster, 1, 6);
    cluster.start_node(1).await;
    cluster.produce_until_ok(1, id, "again").await;
    let copies = wait_kept(&cluster, 1, 1).await;
    let word = &copies[0].word;
    assert_eq!(
        (said(word, "lost_from"), said(word, "lost_to")),
        (Some(6), Some(RECORDS)),
        "{word}"
    );
    cluster.stop().await;
}

/// The header of the last batch: nobody knows where the log ended, and that of the one before it is no epoch to compare.
#[tokio::test]
async fn the_copy_of_an_unknown_end_is_kept_when_the_log_is_filled_again() {
    let mut cluster = Cluster::start_with(2, 1, from_disk()).await;
    let (id, before) = filled_on_two(&cluster).await;
    cluster.stop_node(1).await;
    cluster.controller.lose(BrokerId(1));
    as_killed(&cluster, 1, RECORDS);
    std::fs::remove_file(&logs(&cluster.disk(1).join("t-0"))[1]).unwrap();
    zero_header(&cluster, 1, RECORDS - 1);
    wait_leader(&cluster, id, Some(2)).await;
    cluster.start_node(1).await;
    cluster.wait_isr(id, &[1, 2]).await;
    assert_eq!(cluster.segments(1, "t", 0), before);
    cluster.produce_until_ok(2, id, "after").await;
    let copies = kept(&cluster.disk(1));
    assert_eq!(copies.len(), 1);
    let word = &copies[0].word;
    assert!(word.contains("\"at_least\": true"), "{word}");
    cluster.stop().await;
}

/// Appends a record of that key.
async fn put(cluster: &Cluster, leader: i32, id: TopicIdPartition, key: &str, acks: Acks) {
    let value = "x".repeat(PADDING);
    until("the record to be taken", || async {
        let batch = keyed(key, Some(&value));
        let produced = produce_batch(cluster.router(leader), id, acks, batch, Duration::from_secs(5)).await;
        produced.error == ErrorCode::None
    })
    .await;
}

/// Its leader's records are others, from the same offsets on: a length says nothing in a compacted topic either.
#[tokio::test]
async fn in_a_compacted_topic_another_leaders_records_are_not_what_was_cut() {
    let mut cluster = Cluster::start_with(2, 1, from_disk()).await;
    let configs = [
        ("cleanup.policy", "compact"),
        ("min.cleanable.dirty.ratio", "1.0"),
    ];
    let id = partition(cluster.controller.create_topic("t", 1, &[1, 2], &configs), 0);
    for number in 0..6 {
        put(&cluster, 1, id, &format!("k{number}"), Acks::All).await;
    }
    cluster.stop_node(2).await;
    for number in 6..9 {
        put(&cluster, 1, id, &format!("k{number}"), Acks::Leader).await;
    }
    damage_record(&cluster, 1, 2);
    read_into(&cluster, 1, id).await;
    wait_kept(&cluster, 1, 1).await;
    cluster.start_node(2).await;
    for number in 0..6 {
        put(&cluster, 2, id, &format!("n{number}"), Acks::All).await;
    }
    cluster.wait_isr(id, &[1, 2]).await;
    put(&cluster, 2, id, "after", Acks::All).await;
    assert_eq!(kept(&cluster.disk(1)).len(), 1);
    cluster.stop().await;
}

#[tokio::test]
async fn in_a_compacted_topic_the_copy_goes_when_the_same_epoch_is_at_its_end() {
    let cluster = Cluster::start_with(2, 2, from_disk()).await;
    let id = partition(
        cluster
            .controller
            .create_topic("t", 1, &[1, 2], &[("cleanup.policy", "compact")]),
        0,
    );
    for number in 0..6 {
        put(&cluster, 1, id, &format!("k{number}"), Acks::All).await;
    }
    damage_record(&cluster, 1, 2);
    read_into(&cluster, 1, id).await;
    cluster.wait_isr(id, &[2]).await;
    cluster.wait_isr(id, &[1, 2]).await;
    wait_kept(&cluster, 1, 0).await;
    cluster.stop().await;
}

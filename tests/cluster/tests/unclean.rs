//! An unclean election with real processes: exactly what was acknowledged and lost is in the quarantine of the broker that had it.

use milena_cluster_tests::{Cluster, Load, LoadReport, Settings, admin, check, until};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

const TOPIC: &str = "unclean";
const PARTITIONS: i32 = 3;
const PATIENCE: Duration = Duration::from_secs(60);

/// A tail in quarantine.
struct Tail {
    partition: i32,
    lost_from: i64,
    lost_to: i64,
    unclean_epoch: i64,
    /// (offset, number of the record) of what lies in the range.
    records: BTreeSet<(i64, u64)>,
}

/// A number that `loss.json` says.
fn said(loss: &str, key: &str) -> i64 {
    let value = loss.split_once(&format!("\"{key}\": ")).expect(key).1;
    value.split([',', '}']).next().unwrap().parse().expect(key)
}

fn sequence(value: &[u8]) -> u64 {
    let text = std::str::from_utf8(value).unwrap();
    text.split(' ').next().unwrap().parse().unwrap()
}

fn read_tail(stray: &Path) -> Tail {
    let loss = std::fs::read_to_string(stray.join("loss.json")).expect("loss.json");
    assert!(loss.contains(&format!("\"topic\": \"{TOPIC}\"")), "{loss}");
    let (lost_from, lost_to) = (said(&loss, "lost_from"), said(&loss, "lost_to"));
    let files = std::fs::read_dir(stray)
        .unwrap()
        .flatten()
        .map(|entry| entry.path());
    let mut records = BTreeSet::new();
    for log in files.filter(|path| path.extension().is_some_and(|e| e == "log")) {
        let bytes = bytes::Bytes::from(std::fs::read(log).unwrap());
        for batch in milena_record::batches(&bytes) {
            let (_, batch) = batch.unwrap();
            for record in milena_record::records(&bytes.slice_ref(batch), 1 << 20).unwrap() {
                records.insert((record.offset.0, sequence(&record.value.unwrap())));
            }
        }
    }
    records.retain(|(offset, _)| (lost_from..lost_to).contains(offset));
    Tail {
        partition: i32::try_from(said(&loss, "partition")).unwrap(),
        lost_from,
        lost_to,
        unclean_epoch: said(&loss, "unclean_epoch"),
        records,
    }
}

fn strays(dir: &Path) -> Vec<PathBuf> {
    let paths = std::fs::read_dir(dir)
        .unwrap()
        .flatten()
        .map(|entry| entry.path());
    paths
        .filter(|path| path.to_string_lossy().ends_with("-stray"))
        .collect()
}

/// Runs a load, its records numbered from `first` on, until `count` records are acknowledged, and everything that was sent is.
fn load(cluster: &Cluster, first: u64, count: usize) -> LoadReport {
    let load = Load::start_from(&cluster.bootstrap(), TOPIC, PARTITIONS, 5000, first);
    until("acknowledgements", PATIENCE, || {
        (load.acked() >= count).then_some(())
    });
    let report = load.finish();
    assert!(report.failed.is_empty(), "given up: {:?}", report.failed.first());
    report
}

fn wait_led(cluster: &Cluster, leader: i32) {
    until("the only leader", PATIENCE, || {
        let views = admin::partitions(&cluster.bootstrap(), TOPIC);
        let led = |view: &admin::PartitionView| view.leader == leader && view.isr == [leader];
        (!views.is_empty() && views.iter().all(led)).then_some(())
    });
}

/// The lines about unclean elections in a node's output, that have all these words.
fn lines(cluster: &Cluster, id: i32, words: &[&str]) -> usize {
    let text = std::fs::read_to_string(cluster.log_file(id)).unwrap();
    let ours = text.lines().filter(|line| line.contains("milena::unclean"));
    ours.filter(|line| words.iter().all(|word| line.contains(word)))
        .count()
}

/// What was acknowledged at (partition, offset) under which number.
fn acknowledged(report: &LoadReport) -> BTreeMap<(i32, i64), u64> {
    let acked = report.acked.iter();
    acked
        .map(|acked| ((acked.partition, acked.offset), acked.sequence))
        .collect()
}

#[test]
fn what_was_acknowledged_and_lost_is_in_quarantine() {
    let mut cluster = Cluster::start_separate(2, 1, Settings::default());
    let configs = [
        ("min.insync.replicas", "1"),
        ("unclean.leader.election.enable", "true"),
        ("segment.bytes", "1048576"),
    ];
    admin::create_topic(&cluster.bootstrap(), TOPIC, PARTITIONS, 2, &configs);
    let mut before = acknowledged(&load(&cluster, 0, 3000));
    cluster.kill(2);
    wait_led(&cluster, 1);
    // What only broker 1 has.
    before.extend(acknowledged(&load(&cluster, 1_000_000, 6000)));
    cluster.kill(1);
    cluster.start_node(2);
    wait_led(&cluster, 2);
    let after = acknowledged(&load(&cluster, 2_000_000, 3000));
    cluster.start_node(1);
    let count = usize::try_from(PARTITIONS).unwrap();
    admin::wait_full_isr(&cluster.bootstrap(), TOPIC, count, PATIENCE);

    let mut found = BTreeMap::new();
    for (partition, records) in check::read_all(&cluster.bootstrap(), TOPIC, PARTITIONS, PATIENCE) {
        let numbered = |(offset, value): (i64, String)| ((partition, offset), sequence(value.as_bytes()));
        found.extend(records.into_iter().map(numbered));
    }
    let is_there = |(at, sequence): &(&(i32, i64), &u64)| found.get(*at) == Some(*sequence);
    assert!(
        after.iter().all(|acked| is_there(&acked)),
        "lost after the election"
    );
    let lost: BTreeMap<_, _> = before.iter().filter(|acked| !is_there(acked)).collect();
    assert!(
        lost.len() >= 5000 && lost.len() < before.len(),
        "{} were lost",
        lost.len()
    );

    let tails: Vec<Tail> = strays(&cluster.log_dir(1))
        .iter()
        .map(|stray| read_tail(stray))
        .collect();
    assert_eq!(tails.len(), count);
    for ((partition, offset), sequence) in &lost {
        let tail = tails.iter().find(|tail| tail.partition == *partition).unwrap();
        assert!(
            (tail.lost_from..tail.lost_to).contains(offset),
            "{partition}@{offset}"
        );
        assert!(
            tail.records.contains(&(*offset, **sequence)),
            "{partition}@{offset}"
        );
    }
    let kept: usize = tails.iter().map(|tail| tail.records.len()).sum();
    assert_eq!(kept, lost.len(), "nothing else is in the ranges");
    assert!(tails.iter().all(|tail| tail.unclean_epoch > 0));
    assert!(strays(&cluster.log_dir(2)).is_empty());
    let topic = format!("topic=\"{TOPIC}\"");
    assert_eq!(
        lines(&cluster, 101, &["unclean election", &topic, "reason=\"config\""]),
        count
    );
    assert_eq!(lines(&cluster, 1, &["in quarantine", "lost_from=", TOPIC]), count);
    println!(
        "{} of {} acknowledged records were lost, and are in quarantine",
        lost.len(),
        before.len()
    );
}

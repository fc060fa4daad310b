//! Disks that fail, fill up or forget, under load: nothing acknowledged is lost, and all heals.
//!
//! No mount is needed but for the disk that fills up, which is a small tmpfs: only root can mount one, so for any other user the test
//! says that it does nothing. In CI, where nobody reads that, it fails.

use milena_cluster_tests::{Cluster, Load, Settings, admin, assert_replicas_identical, check, until};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

const PARTITIONS: i32 = 6;
const PATIENCE: Duration = Duration::from_secs(60);

fn all() -> usize {
    usize::try_from(PARTITIONS).unwrap()
}

fn progress(load: &Load, count: usize) {
    let before = load.acked();
    until("acknowledgements", PATIENCE, || {
        (load.acked() >= before + count).then_some(())
    });
}

/// Does this node's output have a line with all these words?
fn said(cluster: &Cluster, id: i32, words: &[&str]) -> bool {
    let text = std::fs::read_to_string(cluster.log_file(id)).unwrap_or_default();
    text.lines()
        .any(|line| words.iter().all(|word| line.contains(word)))
}

/// The partitions of `topic` in one of a broker's directories.
fn inside(dir: &Path, topic: &str) -> Vec<i32> {
    (0..PARTITIONS)
        .filter(|partition| dir.join(format!("{topic}-{partition}")).is_dir())
        .collect()
}

/// Waits until this broker is in the ISR of exactly the other partitions.
fn wait_given_way(cluster: &Cluster, topic: &str, id: i32, out_of: &[i32]) {
    until("the partitions to be led elsewhere", PATIENCE, || {
        let views = admin::partitions(&cluster.bootstrap(), topic);
        let as_expected = |view: &admin::PartitionView| {
            let out = out_of.contains(&view.index);
            view.leader >= 0 && view.isr.contains(&id) != out && (view.leader != id || !out)
        };
        (views.len() == all() && views.iter().all(as_expected)).then_some(())
    });
}

fn two_dirs() -> Settings {
    Settings::default()
        .with_data_dirs(2)
        .with("replica.high.watermark.checkpoint.interval.ms", "300")
}

#[test]
fn a_failed_directory_moves_its_partitions_and_stops_nothing_else() {
    let topic = "failed-dir";
    let mut cluster = Cluster::start(3, two_dirs());
    let bootstrap = cluster.bootstrap();
    admin::create_topic(&bootstrap, topic, PARTITIONS, 3, &[("min.insync.replicas", "2")]);
    let load = Load::start(&bootstrap, topic, PARTITIONS, 2000);
    progress(&load, 2000);
    let dir = cluster.data_dir(1, 1);
    let lost = inside(&dir, topic);
    assert!(
        !lost.is_empty() && lost.len() < all(),
        "spread over directories: {lost:?}"
    );
    let from = load.elapsed();
    std::fs::rename(&dir, dir.with_extension("gone")).unwrap();
    wait_given_way(&cluster, topic, 1, &lost);
    progress(&load, 4000);
    println!(
        "a log directory vanishes: longest time without an acknowledgement {:?}",
        load.longest_gap_per_partition(&lost, from, load.elapsed())
    );
    assert!(said(&cluster, 1, &["log directory is offline", "node-1-data-1"]));
    assert!(!dir.exists(), "nothing was written in its place");
    // It is still not there at the next start: the node works with the other one.
    cluster.kill(1);
    std::fs::write(&dir, b"no directory").unwrap();
    cluster.start_node(1);
    wait_given_way(&cluster, topic, 1, &lost);
    assert!(said(&cluster, 1, &["cannot be opened", "node-1-data-1"]));
    progress(&load, 2000);
    // And it is back.
    cluster.kill(1);
    std::fs::remove_file(&dir).unwrap();
    std::fs::rename(dir.with_extension("gone"), &dir).unwrap();
    cluster.start_node(1);
    admin::wait_full_isr(&bootstrap, topic, all(), PATIENCE);
    let report = load.finish();
    assert!(report.failed.is_empty(), "given up: {:?}", report.failed.first());
    check::assert_nothing_lost(&bootstrap, topic, PARTITIONS, &report);
    assert_replicas_identical(&cluster, topic, PARTITIONS);
}

fn change(path: &Path, change: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = std::fs::read(path).unwrap();
    change(&mut bytes);
    std::fs::write(path, bytes).unwrap();
}

/// Flips a bit in the middle; an empty file gets something that does not belong there.
fn flip(bytes: &mut Vec<u8>) {
    let middle = bytes.len() / 2;
    match bytes.get_mut(middle) {
        Some(byte) => *byte ^= 1,
        None => bytes.extend_from_slice(b"\xffgarbage"),
    }
}

fn newest(dir: &Path, extension: &str) -> PathBuf {
    let entries = std::fs::read_dir(dir)
        .unwrap()
        .flatten()
        .map(|entry| entry.path());
    let mut found: Vec<PathBuf> = entries
        .filter(|path| path.extension().is_some_and(|e| e == extension))
        .collect();
    found.sort();
    found.pop().expect("there is one")
}

type Damage = fn(&Cluster, i32, &str);

/// What becomes of a replica's files while its broker is down, and whether the broker was stopped cleanly before.
const DAMAGES: &[(&str, bool, Damage)] = &[
    ("a closed segment is gone", true, |cluster, id, topic| {
        std::fs::remove_file(&cluster.closed_segments(id, topic)[1]).unwrap();
    }),
    (
        "a closed segment is gone after a kill",
        false,
        |cluster, id, topic| {
            std::fs::remove_file(&cluster.closed_segments(id, topic)[1]).unwrap();
        },
    ),
    (
        "the active segment is cut to nothing",
        true,
        |cluster, id, topic| {
            let dir = cluster.partition_dir(id, topic, 0).unwrap();
            change(&newest(&dir, "log"), Vec::clear);
        },
    ),
    ("the indexes are garbled", false, |cluster, id, topic| {
        for log in cluster.closed_segments(id, topic) {
            change(&log.with_extension("index"), flip);
            std::fs::remove_file(log.with_extension("timeindex")).unwrap();
        }
    }),
    ("epochs and snapshots are garbled", true, |cluster, id, topic| {
        let dir = cluster.partition_dir(id, topic, 0).unwrap();
        std::fs::write(dir.join("leader-epoch-checkpoint"), b"0\n7\n").unwrap();
        change(&newest(&dir, "snapshot"), flip);
    }),
];

/// `broker` leads partition 0 in the place of `leader`, and goes on leading while that one comes back.
fn make_leader(cluster: &mut Cluster, topic: &str, broker: i32, leader: i32) {
    let bootstrap = cluster.bootstrap();
    admin::wait_full_isr(&bootstrap, topic, 1, PATIENCE);
    cluster.kill(leader);
    until("the damaged replica to lead", PATIENCE, || {
        let views = admin::partitions(&bootstrap, topic);
        views.first().filter(|view| view.leader == broker).map(drop)
    });
    cluster.start_ready(leader);
    admin::wait_full_isr(&bootstrap, topic, 1, PATIENCE);
}

#[test]
fn damaged_replicas_are_repaired_from_their_peers() {
    let topic = "damage";
    let mut cluster = Cluster::start(3, Settings::default());
    let bootstrap = cluster.bootstrap();
    let configs = [("min.insync.replicas", "2"), ("segment.bytes", "1048576")];
    admin::create_topic(&bootstrap, topic, 1, 3, &configs);
    let load = Load::start(&bootstrap, topic, 1, 30_000);
    progress(&load, 60_000);
    let report = load.finish();
    let order = admin::partitions(&bootstrap, topic)[0].replicas.clone();
    let (first, second) = (order[0], order[1]);
    let healed = |cluster: &Cluster, what: &str| {
        println!("{what}");
        admin::wait_full_isr(&bootstrap, topic, 1, PATIENCE);
        assert_replicas_identical(cluster, topic, 1);
    };
    healed(&cluster, "nothing yet");
    for (what, clean, damage) in DAMAGES {
        if *clean {
            cluster.stop(second, PATIENCE);
        } else {
            cluster.kill(second);
        }
        damage(&cluster, second, topic);
        cluster.start_ready(second);
        if *clean {
            // Its word is taken for the log until somebody reads what it says.
            make_leader(&mut cluster, topic, second, first);
            check::assert_nothing_lost(&bootstrap, topic, 1, &report);
        }
        healed(&cluster, what);
    }
    // Bits that flip where no start looks: found by the first read, while the damaged replica leads.
    let flipped = cluster.closed_segments(second, topic)[1].clone();
    cluster.stop(second, PATIENCE);
    change(&flipped, flip);
    let short = cluster.closed_segments(second, topic)[2].clone();
    change(&short, |bytes| bytes.truncate(bytes.len() / 3));
    cluster.start_ready(second);
    make_leader(&mut cluster, topic, second, first);
    check::assert_nothing_lost(&bootstrap, topic, 1, &report);
    let name = flipped.file_name().unwrap().to_str().unwrap().to_owned();
    assert!(
        said(&cluster, second, &["the log is damaged", &name]),
        "it says what and where"
    );
    healed(&cluster, "a flipped bit and a cut segment, found by a consumer");
    check::assert_nothing_lost(&bootstrap, topic, 1, &report);
}

/// What was acknowledged since the last checkpoint is on disk all the same: a replica that is damaged there must not lead the
/// others to be cut to its length.
#[test]
fn all_killed_at_once_and_one_of_them_damaged_lose_nothing() {
    let topic = "doubt";
    // No recovery point is written while the test runs.
    let settings = Settings::default()
        .with("replica.high.watermark.checkpoint.interval.ms", "3600000")
        .with("milena.doubtful.replica.wait.ms", "3000");
    let mut cluster = Cluster::start_separate(3, 1, settings);
    let bootstrap = cluster.bootstrap();
    admin::create_topic(&bootstrap, topic, 1, 3, &[("min.insync.replicas", "2")]);
    let load = Load::start(&bootstrap, topic, 1, 20_000);
    progress(&load, 20_000);
    let report = load.finish();
    for damaged in cluster.ids() {
        let others: Vec<i32> = cluster.ids().into_iter().filter(|id| *id != damaged).collect();
        // The last one stays eligible, whatever the controller sees of this.
        others.iter().for_each(|id| cluster.kill(*id));
        cluster.kill(damaged);
        let dir = cluster.partition_dir(damaged, topic, 0).unwrap();
        change(&newest(&dir, "log"), flip);
        cluster.start_node(damaged);
        until("the damage to be met", PATIENCE, || {
            let path = format!("{topic}-0");
            let met = |words: &str| said(&cluster, damaged, &[words, &path]);
            (met("cut off") || met("is in doubt")).then_some(())
        });
        others.iter().for_each(|id| cluster.start_node(*id));
        cluster.wait_brokers(3);
        admin::wait_full_isr(&bootstrap, topic, 1, PATIENCE);
        check::assert_nothing_lost(&bootstrap, topic, 1, &report);
        assert_replicas_identical(&cluster, topic, 1);
    }
}

/// A file system of that size; unmounted in the end.
struct Mounted(PathBuf);

impl Mounted {
    /// `None` for a user who may not mount, outside of CI.
    fn tmpfs(at: &Path, mebibytes: u32) -> Option<Self> {
        std::fs::create_dir_all(at).unwrap();
        let size = format!("size={mebibytes}m");
        let mount = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &size, "tmpfs"])
            .arg(at)
            .output();
        match mount {
            Ok(done) if done.status.success() => Some(Self(at.to_owned())),
            other => {
                let may_mount = std::fs::metadata("/proc/self").unwrap().uid() == 0;
                let must_test = may_mount || std::env::var_os("CI").is_some();
                assert!(!must_test, "a tmpfs cannot be mounted: {other:?}");
                println!("NOT TESTED, for only root can mount a tmpfs: {other:?}");
                None
            }
        }
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        // Lazily: a node that was killed may still hold files.
        let unmounted = Command::new("umount").arg("-l").arg(&self.0).status();
        let is_ok = matches!(&unmounted, Ok(status) if status.success());
        assert!(
            is_ok || std::thread::panicking(),
            "{} stays mounted: {unmounted:?}",
            self.0.display()
        );
    }
}

/// Leaves no space.
fn fill(dir: &Path) -> PathBuf {
    use std::io::Write as _;
    let filler = dir.join("filler");
    let mut file = std::fs::File::create(&filler).unwrap();
    for size in [1 << 20, 1 << 12, 1] {
        while file.write_all(&vec![0; size]).is_ok() {}
    }
    filler
}

#[test]
fn a_full_disk_gives_way_and_recovers_when_there_is_space() {
    let topic = "full";
    let mut cluster = Cluster::start(3, two_dirs());
    cluster.stop(1, PATIENCE);
    // A new disk, as far as the broker can tell.
    let dir = cluster.data_dir(1, 1);
    std::fs::remove_dir_all(&dir).unwrap();
    let Some(_mounted) = Mounted::tmpfs(&dir, 64) else {
        return;
    };
    cluster.start_node(1);
    cluster.wait_brokers(3);
    let bootstrap = cluster.bootstrap();
    admin::create_topic(&bootstrap, topic, PARTITIONS, 3, &[("min.insync.replicas", "2")]);
    let load = Load::start(&bootstrap, topic, PARTITIONS, 2000);
    progress(&load, 2000);
    let inside = inside(&dir, topic);
    assert!(
        !inside.is_empty() && inside.len() < all(),
        "spread over directories: {inside:?}"
    );
    for round in 0..2 {
        let from = load.elapsed();
        let filler = fill(&dir);
        wait_given_way(&cluster, topic, 1, &inside);
        progress(&load, 4000);
        println!(
            "the disk is full, round {round}: longest time without an acknowledgement {:?}",
            load.longest_gap_per_partition(&inside, from, load.elapsed())
        );
        std::fs::remove_file(filler).unwrap();
        admin::wait_full_isr(&bootstrap, topic, all(), PATIENCE);
    }
    assert!(said(&cluster, 1, &["log directory is full", "node-1-data-1"]));
    assert!(said(&cluster, 1, &["has space again", "node-1-data-1"]));
    assert!(!said(&cluster, 1, &["log directory is offline"]));
    let report = load.finish();
    assert!(report.failed.is_empty(), "given up: {:?}", report.failed.first());
    check::assert_nothing_lost(&bootstrap, topic, PARTITIONS, &report);
    assert_replicas_identical(&cluster, topic, PARTITIONS);
    cluster.stop(1, PATIENCE);
}

//! Two thousand partitions on one node: what they cost while nobody uses them, and how the node comes back with them.

use milena_cluster_tests::{Cluster, Load, Settings, admin, check, until};
use std::time::{Duration, Instant};

const TOPIC: &str = "many";
const PARTITIONS: i32 = 2000;
/// Partitions that are written to.
const WRITTEN: i32 = 100;
/// Descriptors that a node may gain by two thousand partitions: connections of clients, files of the metadata log.
const DESCRIPTORS_MAX: usize = 64;
/// Resident memory that one partition may take in a node that is its controller, its broker and its log, when the
/// allocator's slack and the buffers of the first requests are divided by two thousand as well.
const RESIDENT_BYTES_MAX: usize = 16 * 1024;

fn descriptors(cluster: &Cluster) -> usize {
    let pid = cluster.pid(1).expect("a running node");
    let open = std::fs::read_dir(format!("/proc/{pid}/fd"));
    open.expect("the node's descriptors").count()
}

fn resident_bytes(cluster: &Cluster) -> usize {
    let pid = cluster.pid(1).expect("a running node");
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<usize>().ok());
    kib.expect("VmRSS") * 1024
}

fn partition_dirs(cluster: &Cluster) -> usize {
    let entries = std::fs::read_dir(cluster.log_dir(1)).expect("the log directory");
    let of_topic = |name: &std::ffi::OsStr| name.to_string_lossy().starts_with("many-");
    entries
        .flatten()
        .filter(|entry| of_topic(&entry.file_name()))
        .count()
}

#[test]
fn idle_partitions_cost_nothing_and_come_back() {
    let mut cluster = Cluster::start(1, Settings::default());
    let bootstrap = cluster.bootstrap();
    let (descriptors_before, resident_before) = (descriptors(&cluster), resident_bytes(&cluster));
    let began = Instant::now();
    admin::create_topic(&bootstrap, TOPIC, PARTITIONS, 1, &[]);
    let created = began.elapsed();
    assert_eq!(
        partition_dirs(&cluster),
        0,
        "no directory before the first record"
    );
    let opened = descriptors(&cluster).saturating_sub(descriptors_before);
    let each =
        resident_bytes(&cluster).saturating_sub(resident_before) / usize::try_from(PARTITIONS).unwrap();
    println!("{PARTITIONS} partitions: created in {created:?}, {opened} descriptors, {each} bytes each");
    assert!(opened <= DESCRIPTORS_MAX, "{opened} descriptors");
    assert!(each <= RESIDENT_BYTES_MAX, "{each} bytes for a partition");

    let load = Load::start(&bootstrap, TOPIC, WRITTEN, 2000);
    until("acknowledgements", Duration::from_secs(60), || {
        (load.acked() >= 2000).then_some(())
    });
    let report = load.finish();
    assert_eq!(partition_dirs(&cluster), usize::try_from(WRITTEN).unwrap());
    let began = Instant::now();
    cluster.stop(1, Duration::from_secs(60));
    let stopped = began.elapsed();
    let began = Instant::now();
    cluster.start_node(1);
    let all = usize::try_from(PARTITIONS).unwrap();
    admin::wait_full_isr(&bootstrap, TOPIC, all, Duration::from_secs(60));
    println!(
        "clean stop in {stopped:?}, all led again after {:?}",
        began.elapsed()
    );
    let opened = descriptors(&cluster).saturating_sub(descriptors_before);
    assert!(
        opened <= DESCRIPTORS_MAX,
        "{opened} descriptors after a clean start"
    );
    check::assert_nothing_lost(&bootstrap, TOPIC, WRITTEN, &report);

    cluster.kill(1);
    let began = Instant::now();
    cluster.start_node(1);
    admin::wait_full_isr(&bootstrap, TOPIC, all, Duration::from_secs(60));
    println!("all led again {:?} after a kill", began.elapsed());
    check::assert_nothing_lost(&bootstrap, TOPIC, WRITTEN, &report);
}

//! AlterReplicaLogDirs: replicas move between the directories of a broker while they serve.

use crate::cluster::*;
use crate::opened_files::OpensFiles as _;
use crate::short_fs::ShortFs;
use milena_broker::shard::AlterLogDirItem;
use milena_types::{Acks, ErrorCode, PartitionIndex, TopicIdPartition, TopicName, TopicPartition};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

fn item(id: Option<TopicIdPartition>, topic: &str, to: &Path) -> AlterLogDirItem {
    AlterLogDirItem {
        id,
        name: TopicPartition {
            topic: TopicName::new(topic).unwrap(),
            partition: PartitionIndex(0),
        },
        path: to.display().to_string().into(),
    }
}

async fn alter(cluster: &Cluster, broker: i32, item: AlterLogDirItem) -> ErrorCode {
    cluster.router(broker).alter_log_dirs(vec![item]).await.remove(0)
}

/// The directories of a broker, the partition's first.
fn here_and_there(cluster: &Cluster, broker: i32) -> (PathBuf, PathBuf) {
    let (first, second) = (cluster.disk(broker), cluster.second_disk(broker));
    if first.join("t-0").exists() {
        (first, second)
    } else {
        (second, first)
    }
}

async fn wait_moved(from: &Path, to: &Path) {
    until("the replica to have moved", || async {
        let names = |dir: &Path| -> Vec<String> {
            let entries = std::fs::read_dir(dir).unwrap().flatten();
            let names = entries.map(|entry| entry.file_name().into_string().unwrap());
            names.filter(|name| name.starts_with("t-0")).collect()
        };
        names(from).is_empty() && names(to) == ["t-0"] && !to.join("t-0/moved-in").exists()
    })
    .await;
}

/// The records of that leader are the numbers below `count`, each at its own offset.
async fn assert_numbers(cluster: &Cluster, leader: i32, id: TopicIdPartition, count: i64) {
    let expected: Vec<String> = (0..count).map(|number| number.to_string()).collect();
    assert_eq!(read_all(cluster.router(leader), id).await, expected);
}

#[tokio::test]
async fn a_replica_moves_there_and_back_under_load() {
    let mut cluster = Cluster::start_with_two_disks(2, 2).await;
    let id = partition(cluster.controller.create_topic("t", 1, &[1, 2], &[]), 0);
    cluster.produce_until_ok(1, id, "0").await;
    let (stop, router) = (Arc::new(AtomicBool::new(false)), cluster.router(1).clone());
    let stopped = Arc::clone(&stop);
    let load = tokio::spawn(async move {
        let mut next = 1;
        while !stopped.load(Ordering::Relaxed) {
            let result = produce(&router, id, Acks::All, &next.to_string()).await;
            assert_eq!(
                (result.error, result.base_offset.map(|offset| offset.0)),
                (ErrorCode::None, Some(next)),
                "the load sees nothing of the moves"
            );
            next += 1;
        }
        next
    });
    for _ in 0..3 {
        for broker in [1, 2] {
            let (from, to) = here_and_there(&cluster, broker);
            assert_eq!(
                alter(&cluster, broker, item(Some(id), "t", &to)).await,
                ErrorCode::None
            );
            wait_moved(&from, &to).await;
        }
    }
    stop.store(true, Ordering::Relaxed);
    let count = load.await.unwrap();
    assert_numbers(&cluster, 1, id, count).await;
    let described = cluster.router(1).describe_log_dirs().await;
    let (here, _) = here_and_there(&cluster, 1);
    for dir in described {
        let rows = usize::from(Path::new(&dir.path) == here);
        assert_eq!(dir.replicas.len(), rows, "{}", dir.path);
        assert!(dir.replicas.iter().all(|replica| !replica.is_future));
    }
    // What was moved is there after a restart, on both.
    for broker in [1, 2] {
        cluster.stop_node(broker).await;
        cluster.start_node(broker).await;
    }
    cluster.produce_until_ok(1, id, &count.to_string()).await;
    assert_numbers(&cluster, 1, id, count + 1).await;
    until("the same bytes", || async {
        let log = |broker| {
            let (here, _) = here_and_there(&cluster, broker);
            std::fs::read(here.join("t-0/00000000000000000000.log")).unwrap()
        };
        log(1) == log(2)
    })
    .await;
    cluster.stop().await;
}

#[tokio::test]
async fn a_move_that_was_cut_short_begins_again() {
    let mut cluster = Cluster::start_with_two_disks(1, 1).await;
    let id = partition(cluster.controller.create_topic("t", 1, &[1], &[]), 0);
    for number in 0..20 {
        cluster.produce_until_ok(1, id, &number.to_string()).await;
    }
    cluster.stop_node(1).await;
    let (from, to) = here_and_there(&cluster, 1);
    let copy = to.join("t-0.0123456789abcdef0123456789abcdef-future");
    std::fs::create_dir(&copy).unwrap();
    std::fs::write(copy.join("00000000000000000000.log"), b"half of it").unwrap();
    cluster.start_node(1).await;
    wait_moved(&from, &to).await;
    assert_numbers(&cluster, 1, id, 20).await;
    cluster.stop().await;
}

#[tokio::test]
async fn wrong_and_early_requests_get_kafkas_codes_and_the_choice_is_remembered() {
    let cluster = Cluster::start_with_two_disks(1, 1).await;
    let second = cluster.second_disk(1);
    let elsewhere = item(None, "t", Path::new("/no/such/directory"));
    assert_eq!(alter(&cluster, 1, elsewhere).await, ErrorCode::LogDirNotFound);
    let early = item(None, "t", &second);
    assert_eq!(alter(&cluster, 1, early).await, ErrorCode::ReplicaNotAvailable);
    let long = item(None, &"x".repeat(220), &second);
    assert_eq!(alter(&cluster, 1, long).await, ErrorCode::InvalidTopicException);
    let id = partition(cluster.controller.create_topic("t", 1, &[1], &[]), 0);
    cluster.produce_until_ok(1, id, "0").await;
    assert!(second.join("t-0").exists(), "it was created where it was wanted");
    let there = item(Some(id), "t", &second);
    assert_eq!(
        alter(&cluster, 1, there).await,
        ErrorCode::None,
        "it is there already"
    );
    cluster.stop().await;
}

/// The directories with a name of the partition in it, sorted.
fn names(dir: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(dir).unwrap().flatten();
    let names = entries.map(|entry| entry.file_name().into_string().unwrap());
    let mut names: Vec<_> = names.filter(|name| name.starts_with("t-0")).collect();
    names.sort();
    names
}

fn copy_dir(from: &Path, to: &Path) {
    std::fs::create_dir(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap().flatten() {
        std::fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
}

fn content(dir: &Path) -> Vec<(std::ffi::OsString, Vec<u8>)> {
    let entries = std::fs::read_dir(dir).unwrap().flatten();
    let mut files: Vec<_> = entries
        .map(|file| (file.file_name(), std::fs::read(file.path()).unwrap()))
        .collect();
    files.sort();
    files
}

async fn create_in(cluster: &Cluster, topic: &str, dir: &Path) -> TopicIdPartition {
    let early = alter(cluster, 1, item(None, topic, dir)).await;
    assert_eq!(early, ErrorCode::ReplicaNotAvailable);
    partition(cluster.controller.create_topic(topic, 1, &[1], &[]), 0)
}

#[tokio::test]
async fn what_lies_in_the_destination_does_not_become_the_log() {
    for records in [0, 20] {
        let cluster = Cluster::start_with_two_disks(1, 1).await;
        let (first, second) = (cluster.disk(1), cluster.second_disk(1));
        let other = create_in(&cluster, "other", &second).await;
        for number in 0..3 {
            cluster.produce_until_ok(1, other, &number.to_string()).await;
        }
        let id = create_in(&cluster, "t", &first).await;
        for number in 0..records {
            cluster.produce_until_ok(1, id, &number.to_string()).await;
        }
        until("the replica", || async {
            let dirs = cluster.router(1).describe_log_dirs().await;
            dirs.iter().all(|dir| dir.replicas.len() == 1)
        })
        .await;
        // Of a topic of the same name that was deleted.
        copy_dir(&second.join("other-0"), &second.join("t-0"));
        assert_eq!(
            alter(&cluster, 1, item(Some(id), "t", &second)).await,
            ErrorCode::None
        );
        cluster.produce_until_ok(1, id, &records.to_string()).await;
        until("the move, and the foreign log set aside", || async {
            let found = names(&second);
            names(&first).is_empty() && found.len() == 2 && found[0] == "t-0" && found[1].ends_with("-stray")
        })
        .await;
        assert_numbers(&cluster, 1, id, records + 1).await;
        // A former log of this one, which that move would have left.
        until("the end of the move", || async {
            !second.join("t-0/moved-in").exists()
        })
        .await;
        copy_dir(&second.join("t-0"), &first.join("t-0"));
        let left = content(&first.join("t-0"));
        let back = item(Some(id), "t", &first);
        assert_eq!(
            alter(&cluster, 1, back.clone()).await,
            ErrorCode::KafkaStorageError
        );
        assert_eq!(
            content(&first.join("t-0")),
            left,
            "nobody knows which is newer: both are kept"
        );
        cluster.produce_until_ok(1, id, &(records + 1).to_string()).await;
        assert_numbers(&cluster, 1, id, records + 2).await;
        assert_eq!(names(&first), ["t-0"], "no copy is left");
        // With the mark of a complete move it is known.
        std::fs::write(second.join("t-0/moved-in"), b"").unwrap();
        assert_eq!(alter(&cluster, 1, back).await, ErrorCode::None);
        until("the move back", || async {
            names(&first) == ["t-0"] && names(&second).len() == 1
        })
        .await;
        assert_numbers(&cluster, 1, id, records + 2).await;
        cluster.stop().await;
    }
}

/// A partition with 20 records, and the file system it lies on.
async fn on_short_fs() -> (Cluster, ShortFs, TopicIdPartition) {
    let fs = ShortFs::default();
    let cluster = Cluster::start_with_two_disks_on(1, 1, Some(fs.env())).await;
    let id = partition(cluster.controller.create_topic("t", 1, &[1], &[]), 0);
    for number in 0..20 {
        cluster.produce_until_ok(1, id, &number.to_string()).await;
    }
    (cluster, fs, id)
}

#[tokio::test]
async fn a_move_that_the_process_is_short_of_files_for_is_tried_again() {
    let (cluster, fs, id) = on_short_fs().await;
    let (from, to) = here_and_there(&cluster, 1);
    fs.refuse(rustix::io::Errno::MFILE.raw_os_error());
    assert_eq!(
        alter(&cluster, 1, item(Some(id), "t", &to)).await,
        ErrorCode::None
    );
    until("several attempts", || async { fs.refused() > 2 }).await;
    cluster.produce_until_ok(1, id, "20").await;
    assert_eq!(names(&from), ["t-0"]);
    fs.refuse(0);
    wait_moved(&from, &to).await;
    assert_numbers(&cluster, 1, id, 21).await;
    cluster.stop().await;
}

#[tokio::test]
async fn a_move_that_finds_no_space_is_over_and_leaves_nothing_behind() {
    let (cluster, fs, id) = on_short_fs().await;
    let (from, to) = here_and_there(&cluster, 1);
    let original = content(&from.join("t-0"));
    fs.refuse(rustix::io::Errno::NOSPC.raw_os_error());
    assert_eq!(
        alter(&cluster, 1, item(Some(id), "t", &to)).await,
        ErrorCode::None
    );
    until("the end of the move", || async {
        fs.refused() > 0 && names(&to).is_empty()
    })
    .await;
    assert_eq!(content(&from.join("t-0")), original);
    let tried = fs.refused();
    cluster.produce_until_ok(1, id, "20").await;
    assert_numbers(&cluster, 1, id, 21).await;
    assert_eq!(fs.refused(), tried, "it is not tried again");
    fs.refuse(0);
    until("the directory to have space, and the move", || async {
        alter(&cluster, 1, item(Some(id), "t", &to)).await == ErrorCode::None
    })
    .await;
    wait_moved(&from, &to).await;
    assert_numbers(&cluster, 1, id, 21).await;
    cluster.stop().await;
}

#[tokio::test]
async fn a_move_whose_log_somebody_has_worked_on_goes_on_once_it_is_open_again() {
    let mut cluster = Cluster::start_with_two_disks(1, 1).await;
    let id = partition(cluster.controller.create_topic("t", 1, &[1], &[]), 0);
    for number in 0..20 {
        cluster.produce_until_ok(1, id, &number.to_string()).await;
    }
    cluster.stop_clean(1).await;
    let (from, to) = here_and_there(&cluster, 1);
    std::fs::write(from.join("t-0/00000000000000000005.log.deleted"), b"x").unwrap();
    cluster.start_node(1).await;
    until("the move to begin", || async {
        alter(&cluster, 1, item(Some(id), "t", &to)).await == ErrorCode::None
    })
    .await;
    wait_moved(&from, &to).await;
    assert_numbers(&cluster, 1, id, 20).await;
    cluster.stop().await;
}

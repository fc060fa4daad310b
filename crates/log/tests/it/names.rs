//! What is done twice on two disks, with the same seed for names, leaves the same: no name and no order comes from elsewhere.

use crate::support::*;
use milena_log::env::{FaultyFileSystem, SeededNames};
use milena_log::{Env, LogDir, PartitionLog, Removal};
use milena_types::{
    BrokerEpoch, BrokerId, ClusterId, PartitionIndex, Timestamp, TopicId, TopicName, TopicPartition, Uuid,
};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

const ROOT: &str = "/logs";

fn name(index: i32) -> TopicPartition {
    TopicPartition {
        topic: TopicName::new("t").unwrap(),
        partition: PartitionIndex(index),
    }
}

fn open_dir(fs: &FaultyFileSystem, seed: u64) -> LogDir {
    let env = Env::with_names(Arc::new(fs.clone()), Arc::new(SeededNames::new(seed)), 4);
    let cluster = ClusterId("c".to_owned());
    LogDir::open_in(env, Path::new(ROOT), BrokerId(1), Some(&cluster), None).unwrap()
}

/// A log of many producers with some closed segments, on disk.
fn open_log(dir: &LogDir, index: i32) -> PartitionLog {
    let config = Arc::new(small());
    let options = dir.open_options(name(index), TopicId(Uuid([7; 16])), config, Timestamp(1_000_000));
    let mut log = PartitionLog::open(options).unwrap().0;
    for producer in (0..40).rev() {
        log.append_as_leader(produced(producer, 1, 0, 2, false), &ctx(0))
            .unwrap();
    }
    flush(&mut log);
    log
}

/// The disk after everything that needs a name, and the names that are not on it (any more).
fn life(seed: u64) -> (BTreeMap<PathBuf, Vec<u8>>, [String; 2]) {
    let fs = disk();
    drop(open_dir(&fs, seed));
    let meta = Path::new(ROOT).join("meta.properties");
    let text = String::from_utf8(fs.content(&meta).unwrap()).unwrap();
    let formatted = text
        .lines()
        .find(|line| line.starts_with("directory.id"))
        .unwrap();
    fs.overwrite(&meta, text.replace(formatted, "").as_bytes());
    // As one that an older Kafka has formatted.
    let dir = open_dir(&fs, seed + 1000);
    let mut removals: Vec<Removal> = Vec::new();
    removals.extend(open_log(&dir, 0).delete().unwrap());
    open_log(&dir, 1).close().unwrap();
    removals.push(dir.retire_dir(&name(1), &dir.partition_path(&name(1))).unwrap());
    open_log(&dir, 2).close().unwrap();
    dir.set_aside(&name(2), &dir.partition_path(&name(2)))
        .unwrap()
        .unwrap();
    let mut log = open_log(&dir, 3);
    assert!(log.release_idle().unwrap());
    let mut word = Vec::new();
    log.idle_log().unwrap().encode_into(&mut word);
    dir.write_idle_logs(&[word]).unwrap();
    dir.write_clean_shutdown(BrokerEpoch(7)).unwrap();
    let future = dir.new_future_path(&name(4)).display().to_string();
    let files = fs.paths().into_iter().map(|path| {
        let content = fs.content(&path).unwrap_or_default();
        (path, content)
    });
    (files.collect(), [formatted.to_owned(), future])
}

#[test]
fn the_same_seed_leaves_the_same_names_and_bytes() {
    let first = life(7);
    for (index, ending) in [(0, "-delete"), (1, "-delete"), (2, "-stray")] {
        let begin = format!("{ROOT}/t-{index}.");
        let renamed = |path: &str| path.starts_with(&begin) && path.contains(ending);
        assert!(first.0.keys().any(|path| renamed(&path.to_string_lossy())));
    }
    assert_eq!(first, life(7));
    let other = life(8);
    assert!(other.0 != first.0 && (0..2).all(|at| other.1[at] != first.1[at]));
}

//! An epoch file that the batches contradict: it is what is wrong, unless the batches contradict one another.

use crate::support::{batch, ctx, disk, dump, files, options};
use milena_log::env::FaultyFileSystem;
use milena_log::{CorruptionPolicy, LogConfig, OpenOptions, OpenReport, PartitionLog, ReadError};
use milena_types::{LeaderEpoch, Offset};

const END: i64 = 6;
const TRUE_FILE: &str = "0\n3\n0 0\n2 2\n4 4\n";

fn reopen(
    fs: &FaultyFileSystem,
    recovery_point: Option<i64>,
    corruption: CorruptionPolicy,
    epochs_from_batches: bool,
) -> (PartitionLog, OpenReport) {
    PartitionLog::open(OpenOptions {
        recovery_point: Offset(recovery_point.unwrap_or(END)),
        clean: recovery_point.is_none(),
        corruption,
        epochs_from_batches,
        leader_epoch: LeaderEpoch(9),
        ..options(fs, &LogConfig::default())
    })
    .unwrap()
}

/// A flushed log with batches of one record and these epochs, two to a segment.
fn filled(epochs: [i32; 6]) -> FaultyFileSystem {
    let fs = disk();
    let config = LogConfig {
        segment_bytes: 2 * batch(&["v0"]).len() as u64,
        ..LogConfig::default()
    };
    let (mut log, _) = PartitionLog::open(options(&fs, &config)).unwrap();
    for (at, epoch) in epochs.iter().enumerate() {
        log.append_as_leader(batch(&[&format!("v{at}")]), &ctx(*epoch))
            .unwrap();
    }
    log.close().unwrap();
    assert_eq!(files(&fs, ".log").len(), 3);
    fs
}

fn write_file(fs: &FaultyFileSystem, text: &str) {
    fs.overwrite(&files(fs, "leader-epoch-checkpoint")[0], text.as_bytes());
}

fn entries(log: &PartitionLog) -> Vec<(i32, i64)> {
    log.epoch_entries()
        .iter()
        .map(|(epoch, start)| (epoch.0, start.0))
        .collect()
}

/// Is the batch at that offset one of another epoch than the cache has it?
fn contradicts(log: &PartitionLog, offset: i64) -> bool {
    match log.read(Offset(offset), 1, Offset(END), true) {
        Err(ReadError::Corrupt { other_epoch, .. }) => other_epoch,
        Err(other) => panic!("{other}"),
        Ok(_) => false,
    }
}

#[test]
fn one_that_a_read_contradicts_is_built_again() {
    for text in [
        "0\n3\n0 0\n3 2\n4 4\n",
        "0\n2\n0 0\n4 4\n",
        "0\n3\n0 0\n1 1\n4 4\n",
    ] {
        for corruption in [CorruptionPolicy::Refuse, CorruptionPolicy::RefuseDoubtful] {
            let fs = filled([0, 0, 2, 2, 4, 4]);
            write_file(&fs, text);
            let (log, report) = reopen(&fs, None, corruption, false);
            assert!(!report.epochs_rebuilt && contradicts(&log, 2), "{text}");
            drop(log);
            let (mut log, report) = reopen(&fs, None, corruption, true);
            assert!(report.epochs_rebuilt, "{text}");
            assert_eq!(entries(&log), [(0, 0), (2, 2), (4, 4)]);
            assert_eq!(dump(&log, 1).len(), 6);
            log.flush().unwrap();
            assert_eq!(
                fs.content(&files(&fs, "leader-epoch-checkpoint")[0]).unwrap(),
                TRUE_FILE.as_bytes()
            );
        }
    }
}

fn put_epoch(fs: &FaultyFileSystem, segment: usize, second: bool, epoch: i32) {
    let path = files(fs, ".log").remove(segment);
    let mut bytes = fs.content(&path).unwrap();
    let at = 12 + usize::from(second) * bytes.len() / 2;
    bytes[at..at + 4].copy_from_slice(&epoch.to_be_bytes());
    fs.overwrite(&path, &bytes);
}

#[test]
fn batches_that_contradict_one_another_are_damaged() {
    for epoch in [1, 5] {
        let fs = filled([0, 0, 2, 2, 4, 4]);
        put_epoch(&fs, 1, true, epoch);
        for from_batches in [false, true] {
            let (log, report) = reopen(&fs, None, CorruptionPolicy::Refuse, from_batches);
            assert!(!report.epochs_rebuilt);
            assert_eq!(entries(&log), [(0, 0), (2, 2), (4, 4)]);
            assert!(contradicts(&log, 3), "{epoch} {from_batches}");
        }
    }
}

/// One flipped bit may be all of it, and somebody else has the batch as it was.
#[test]
fn an_epoch_of_one_batch_alone_is_believed_only_where_nobody_else_has_it() {
    let fs = filled([0, 0, 2, 2, 4, 4]);
    put_epoch(&fs, 1, true, 3);
    let (log, report) = reopen(&fs, None, CorruptionPolicy::RefuseDoubtful, true);
    assert!(!report.epochs_rebuilt && contradicts(&log, 3));
    drop(log);
    let (log, report) = reopen(&fs, None, CorruptionPolicy::Refuse, true);
    assert!(report.epochs_rebuilt);
    assert_eq!(
        (entries(&log), dump(&log, 1).len()),
        (vec![(0, 0), (2, 2), (3, 3), (4, 4)], 6)
    );
}

/// Where recovery sees that the file is wrong, what lies below what it looked at is seen too.
#[test]
fn one_that_a_recovery_contradicts_is_built_again() {
    let fs = filled([0, 0, 2, 2, 2, 2]);
    write_file(&fs, "0\n2\n0 0\n3 2\n");
    let (log, report) = reopen(&fs, Some(4), CorruptionPolicy::RefuseDoubtful, false);
    assert!(report.epochs_rebuilt);
    assert_eq!((entries(&log), dump(&log, 1).len()), (vec![(0, 0), (2, 2)], 6));
}

//! Segments of a compacted log that do not reach the next one: Kafka leaves them, and so does a loss.

use crate::compaction::{compact, compact_with, compacted, pairs, put, roll};
use crate::support::*;
use milena_log::checkpoint::OffsetCheckpoint;
use milena_log::compaction::{CompactionError, CompactionRules};
use milena_log::env::{Fault, FaultyFileSystem, FileSystem, Survival};
use milena_log::{CorruptionPolicy, Env, LogConfig, LogDir, OpenOptions, PartitionLog, ReadError};
use milena_types::{BrokerId, ClusterId, Offset, PartitionIndex, Timestamp, TopicName, TopicPartition};
use std::path::Path;
use std::sync::Arc;

/// How far a log is compacted.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Compacted {
    Not,
    /// There was nothing to be taken away.
    Unchanged,
    WithHoles,
}

/// A log of many keys in several segments.
fn filled(how: Compacted) -> (FaultyFileSystem, PartitionLog) {
    let fs = disk();
    let (mut log, _) = open(&fs, &compacted());
    let keys = if how == Compacted::Unchanged { 100 } else { 37 };
    for i in 0..60 {
        put(&mut log, &format!("key {}", i % keys), Some(&"x".repeat(60)));
    }
    roll(&mut log);
    put(&mut log, "last", Some("1"));
    if how != Compacted::Not {
        compact(&mut log).unwrap();
    }
    flush(&mut log);
    assert!(log.segments() > 4);
    (fs, log)
}

/// One key, sixty times: only the last one stays. Not compacted yet.
fn overwritten() -> (FaultyFileSystem, PartitionLog) {
    let fs = disk();
    let (mut log, _) = open(&fs, &compacted());
    for _ in 0..60 {
        put(&mut log, "key", Some(&"x".repeat(60)));
    }
    roll(&mut log);
    put(&mut log, "other", Some("1"));
    (fs, log)
}

fn base_of(path: &Path) -> i64 {
    path.file_stem().unwrap().to_str().unwrap().parse().unwrap()
}

/// What may happen to a segment that is closed and flushed.
fn lose(fs: &FaultyFileSystem, path: &Path, how: &str) {
    let whole = fs.content(path).unwrap();
    match how {
        "gone" => {
            for kind in ["log", "index", "timeindex"] {
                fs.remove_file(&path.with_extension(kind)).unwrap();
            }
        }
        "zero" => fs.overwrite(path, b""),
        "cut" => {
            let mut last = 0;
            let mut at = 0;
            for batch in milena_record::batches(&whole) {
                last = at;
                at += batch.unwrap().1.len();
            }
            fs.overwrite(path, &whole[..last]);
        }
        _ => unreachable!(),
    }
}

fn reopened(
    fs: &FaultyFileSystem,
    end: Offset,
    (compacted_once, may_be_kafkas): (bool, bool),
) -> PartitionLog {
    let options = OpenOptions {
        recovery_point: end,
        compacted: compacted_once,
        may_be_kafkas,
        corruption: CorruptionPolicy::RefuseDoubtful,
        ..options(fs, &compacted())
    };
    PartitionLog::open(options).unwrap().0
}

/// Reads all there is; the offset at which the log says that it is damaged.
fn first_damage(log: &PartitionLog) -> Option<Offset> {
    let mut at = log.log_start_offset();
    while at < log.log_end_offset() {
        match log.read(at, 1, log.log_end_offset(), true) {
            Ok(read) => at = read.next_offset,
            Err(ReadError::Corrupt { offset, .. }) => return Some(offset),
            Err(error) => panic!("{error}"),
        }
    }
    None
}

#[test]
fn a_lost_end_or_segment_of_a_compacted_log_is_found_by_the_read_and_by_the_cleaner() {
    for compaction in [Compacted::Not, Compacted::Unchanged, Compacted::WithHoles] {
        for how in ["gone", "zero", "cut"] {
            let (fs, log) = filled(compaction);
            let end = log.log_end_offset();
            drop(log);
            let path = files(&fs, ".log")[1].clone();
            lose(&fs, &path, how);
            let what = format!("{how}, {compaction:?}");
            let mut log = reopened(&fs, end, (compaction != Compacted::Not, false));
            let damage = first_damage(&log).unwrap_or_else(|| panic!("{what}: nobody noticed"));
            assert!(damage.0 <= base_of(&path) + 60, "{what}: {damage}");
            // Nor does compaction make it a log that has always been like that.
            put(&mut log, "key 1", Some("dirty"));
            roll(&mut log);
            put(&mut log, "more", Some("1"));
            let now = Timestamp(i64::MAX / 2);
            let cleaned = compact_with(&mut log, &CompactionRules::default(), end, now, 1 << 20);
            assert!(
                matches!(cleaned, Err(CompactionError::Corrupt { .. })),
                "{what}: {cleaned:?}"
            );
        }
    }
}

#[test]
fn a_log_that_kafka_has_compacted_may_part_for_ever() {
    let (fs, log) = filled(Compacted::Not);
    let end = log.log_end_offset();
    drop(log);
    lose(&fs, &files(&fs, ".log")[1], "cut");
    let log = reopened(&fs, end, (true, true));
    assert_eq!(first_damage(&log), None);
    let found = pairs(&log).len();
    drop(log);
    // From here on the log says it itself.
    let fs = fs.after_crash(Survival::NothingUnsynced);
    let mut log = reopened(&fs, end, (false, false));
    assert_eq!((first_damage(&log), pairs(&log).len()), (None, found));
    put(&mut log, "more", Some("1"));
    roll(&mut log);
    compact(&mut log).unwrap();
    assert_eq!(first_damage(&log), None);
}

fn dir_on(fs: &FaultyFileSystem) -> LogDir {
    let (env, cluster) = (Env::with(Arc::new(fs.clone()), 4), ClusterId("c".to_owned()));
    LogDir::open_in(env, Path::new("/logs"), BrokerId(1), Some(&cluster), None).unwrap()
}

fn name(topic: &str) -> TopicPartition {
    TopicPartition {
        topic: TopicName::new(topic).unwrap(),
        partition: PartitionIndex(0),
    }
}

fn may_be_kafkas(fs: &FaultyFileSystem, dir: &LogDir, topic: &str) -> bool {
    let of = options(fs, &compacted());
    dir.open_options(name(topic), of.topic_id, of.config, of.now)
        .may_be_kafkas
}

fn note(dir: &LogDir, cleaned: &[(&str, i64)]) -> Result<(), milena_log::LogError> {
    let offsets = cleaned.iter().map(|(topic, at)| (name(topic), Offset(*at)));
    dir.write_checkpoint(OffsetCheckpoint::Cleaner, &offsets.collect())
}

fn make_dir(fs: &FaultyFileSystem, topic: &str) {
    fs.create_dir(&Path::new("/logs").join(format!("{topic}-0")))
        .unwrap();
    fs.sync_dir(Path::new("/logs")).unwrap();
}

#[test]
fn what_milena_notes_for_kafka_is_not_taken_for_kafkas() {
    for seed in 0..8 {
        for budget in 0..250 {
            let fs = disk();
            let dir = dir_on(&fs);
            make_dir(&fs, "ours");
            // It goes down, too: a log of that name was made anew.
            for at in [7, 900] {
                note(&dir, &[("ours", at)]).unwrap();
            }
            fs.die_after(budget);
            let _ = note(&dir, &[("ours", 3)]);
            let fs = fs.after_crash(Survival::Random(seed));
            let dir = dir_on(&fs);
            assert!(!may_be_kafkas(&fs, &dir, "ours"), "{seed}, {budget}");
            for at in [5, 6, 4] {
                note(&dir, &[("ours", at)]).unwrap();
                assert!(!may_be_kafkas(&fs, &dir, "ours"), "{seed}, {budget}, {at}");
            }
        }
    }
}

#[test]
fn what_kafka_notes_or_leaves_is_kafkas() {
    let fs = disk();
    drop(dir_on(&fs));
    make_dir(&fs, "old");
    fs.remove_file(Path::new("/logs/milena-cleaner-offsets")).unwrap();
    let again = || dir_on(&fs);
    // Milena comes for the first time.
    let dir = again();
    make_dir(&fs, "new");
    drop(dir);
    let dir = again();
    assert!(may_be_kafkas(&fs, &dir, "old") && !may_be_kafkas(&fs, &dir, "new"));
    note(&dir, &[("new", 5)]).unwrap();
    drop(dir);
    // Kafka goes on, and is killed.
    let theirs = "0\n2\nnew 0 9\nold 0 4\n";
    fs.overwrite(Path::new("/logs/cleaner-offset-checkpoint"), theirs.as_bytes());
    let dir = again();
    assert!(may_be_kafkas(&fs, &dir, "new"));
    // Milena writes it again as it is, with a number of its own beside it.
    note(&dir, &[("new", 9), ("old", 4), ("third", 1)]).unwrap();
    drop(dir);
    assert!(may_be_kafkas(&fs, &again(), "new") && !may_be_kafkas(&fs, &again(), "third"));
    note(&again(), &[("new", 12)]).unwrap();
    assert!(!may_be_kafkas(&fs, &again(), "new"), "Milena compacted it since");
    // A damaged note is none.
    assert!(!may_be_kafkas(&fs, &again(), "third"));
    let noted = Path::new("/logs/milena-cleaner-offsets");
    let whole = fs.content(noted).unwrap();
    fs.overwrite(noted, b"0\nmany\n");
    assert!(may_be_kafkas(&fs, &again(), "old") && may_be_kafkas(&fs, &again(), "new"));
    fs.overwrite(noted, &whole);
    // Kafka closes the directory.
    let clean = Path::new("/logs/.kafka_cleanshutdown");
    fs.overwrite(clean, br#"{"version":0,"brokerEpoch":4}"#);
    assert!(may_be_kafkas(&fs, &again(), "new"));
    assert!(may_be_kafkas(&fs, &again(), "new"), "for ever");
}

#[test]
fn a_consumer_is_given_records_before_what_compaction_has_left_without() {
    let (_, mut log) = overwritten();
    compact(&mut log).unwrap();
    let end = log.log_end_offset();
    let plain = log.read(Offset(0), 1, end, true).unwrap();
    assert!(plain.is_without_records() && plain.next_offset < Offset(59));
    let read = log.read_records(Offset(0), 1, end, true).unwrap();
    assert!(!read.is_without_records());
    assert_eq!(read.next_offset, Offset(60));
    // Where nothing follows that may be read, it moves on all the same.
    let read = log.read_records(Offset(0), 1, plain.next_offset, true).unwrap();
    assert_eq!(
        (read.is_without_records(), read.next_offset),
        (true, plain.next_offset)
    );
}

#[test]
fn the_largest_timestamp_is_one_of_a_record() {
    let (fs, mut log) = overwritten();
    let end = log.log_end_offset();
    let found = |log: &PartitionLog| log.offset_of_max_timestamp(end).unwrap().unwrap().offset;
    compact(&mut log).unwrap();
    assert_eq!(found(&log), Offset(59));
    // Built again from the log.
    for path in fs.paths() {
        if path.extension().is_some_and(|kind| kind == "timeindex") {
            fs.remove_file(&path).unwrap();
        }
    }
    drop(log);
    assert_eq!(found(&reopened(&fs, Offset(0), (true, false))), Offset(59));
}

#[test]
fn what_has_expired_goes_though_there_is_no_space_for_a_new_segment() {
    let fs = disk();
    let config = LogConfig {
        retention_ms: 1000,
        ..small()
    };
    let (mut log, _) = open(&fs, &config);
    for i in 0..30 {
        append(&mut log, &[&format!("a{i}"), &format!("b{i}")]);
    }
    flush(&mut log);
    log.on_high_watermark(Offset(60));
    let before = log.segments();
    fs.inject(Fault::NoSpaceAtCreate(1));
    let now = Timestamp(i64::MAX / 2);
    let deleted = log.delete_old_segments(now, Offset(60)).unwrap();
    assert_eq!((deleted.len(), log.segments()), (before - 1, 1));
    assert!(log.log_start_offset() < Offset(60));
    let deleted = log.delete_old_segments(now, Offset(60)).unwrap();
    assert_eq!((deleted.len(), log.log_start_offset()), (1, Offset(60)));
}

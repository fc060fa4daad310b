//! The first segments of a log: gone by a deletion, which says so before it removes them, or gone.

use crate::support::*;
use milena_log::env::{Fault, FaultyFileSystem, FileSystem, Survival};
use milena_log::{CorruptionPolicy, LogConfig, OpenError, OpenOptions, OpenReport, PartitionLog};
use milena_types::{Offset, Timestamp};
use std::path::PathBuf;

const END: i64 = 60;

/// Segments of two batches of two records, flushed. Only a test deletes them.
fn filled() -> (FaultyFileSystem, PartitionLog) {
    let config = LogConfig {
        retention_ms: -1,
        ..small()
    };
    let fs = disk();
    let (mut log, _) = open(&fs, &config);
    for i in 0..END / 2 {
        append(&mut log, &[&format!("a{i}"), &format!("b{i}")]);
    }
    flush(&mut log);
    assert!(log.segments() > 4);
    (fs, log)
}

/// As after a kill at a time when all was flushed; `start`: the log start by the checkpoint.
fn killed(
    fs: &FaultyFileSystem,
    start: i64,
    corruption: CorruptionPolicy,
) -> Result<(PartitionLog, OpenReport), OpenError> {
    PartitionLog::open(OpenOptions {
        recovery_point: Offset(END),
        log_start_offset: Offset(start),
        corruption,
        ..options(fs, &small())
    })
}

fn bases(fs: &FaultyFileSystem) -> Vec<i64> {
    let base = |path: &PathBuf| path.file_stem()?.to_str()?.parse().ok();
    files(fs, ".log").iter().filter_map(base).collect()
}

fn lose(fs: &FaultyFileSystem, base: i64) {
    for kind in ["log", "index", "timeindex", "snapshot"] {
        let _ = fs.remove_file(&file(&format!("{base:020}.{kind}")));
    }
}

fn refused_at(result: Result<(PartitionLog, OpenReport), OpenError>, what: &str) -> Offset {
    match result {
        Err(OpenError::Corrupt { offset, error, .. }) => {
            assert!(error.contains("the segment is missing"), "{what}: {error}");
            offset
        }
        Err(error) => panic!("{what}: {error}"),
        Ok((log, _)) => panic!("{what}: begins at {}", log.log_start_offset()),
    }
}

/// Deletes what lies below the log start `to`.
fn delete_to(log: &mut PartitionLog, to: i64) -> usize {
    log.on_high_watermark(Offset(END));
    log.set_log_start_offset(Offset(to));
    log.delete_old_segments(Timestamp(0), Offset(END)).unwrap().len()
}

#[test]
fn first_segments_that_are_gone_are_missed_by_word_of_the_epoch_file() {
    for gone in 1..4 {
        let (fs, log) = filled();
        let all = dump(&log, 1);
        drop(log);
        let bases = bases(&fs);
        for base in &bases[..gone] {
            lose(&fs, *base);
        }
        let before = fs.paths();
        for policy in [CorruptionPolicy::Refuse, CorruptionPolicy::RefuseDoubtful] {
            assert_eq!(refused_at(killed(&fs, 0, policy), "lost"), Offset(0));
        }
        assert_eq!(fs.paths(), before, "the evidence stays");
        // Where the log begins inside of what is left, nothing is missing.
        let (log, _) = killed(&fs, bases[gone] + 2, CorruptionPolicy::Refuse).unwrap();
        assert_eq!(dump(&log, 1), all[bases[gone] as usize + 2..]);
        drop(log);
        // As the message says.
        fs.remove_file(&file("leader-epoch-checkpoint")).unwrap();
        let fs = fs.after_crash(Survival::ProcessKilled);
        let (log, _) = killed(&fs, 0, CorruptionPolicy::Refuse).unwrap();
        assert_eq!(log.log_start_offset(), Offset(bases[gone]), "given up");
    }
}

#[test]
fn they_are_missed_before_the_first_checkpoint_too() {
    let (fs, log) = filled();
    drop(log);
    lose(&fs, bases(&fs)[0]);
    let never = PartitionLog::open(options(&fs, &small()));
    assert_eq!(refused_at(never, "no checkpoint"), Offset(0));
}

#[test]
fn a_repair_begins_where_the_log_began() {
    let (fs, _) = filled();
    for base in &bases(&fs)[..2] {
        lose(&fs, *base);
    }
    let (log, report) = killed(&fs, 0, CorruptionPolicy::Truncate).unwrap();
    assert!(report.lost_flushed);
    assert_eq!(
        (log.log_start_offset(), log.log_end_offset()),
        (Offset(0), Offset(0))
    );
}

/// The log start of the checkpoint is older than the deletion in all of these.
#[test]
fn a_deletion_that_a_crash_comes_into_at_any_write_is_never_a_loss() {
    let survivals: Vec<_> = (0..6)
        .map(Survival::Random)
        .chain([Survival::ProcessKilled, Survival::NothingUnsynced])
        .collect();
    let (mut ends, mut refused) = (0, 0);
    for budget in 0.. {
        let (fs, mut log) = filled();
        let all = dump(&log, 1);
        fs.die_after(budget);
        let to = bases(&fs)[3];
        log.on_high_watermark(Offset(END));
        log.set_log_start_offset(Offset(to));
        let deleted = log.delete_old_segments(Timestamp(0), Offset(END));
        let removals = log.take_removals(Timestamp(i64::MAX));
        let removed = removals
            .into_iter()
            .map(milena_log::Removal::run)
            .collect::<Vec<_>>();
        let is_whole = deleted.is_ok() && removed.iter().all(Result::is_ok);
        for survival in &survivals {
            let fs = fs.after_crash(*survival);
            // A crash comes into the start after it, too.
            for second in [
                None,
                Some(0),
                Some(1),
                Some(2),
                Some(3),
                Some(5),
                Some(8),
                Some(13),
                Some(40),
                Some(60),
            ] {
                let fs = fs.after_crash(Survival::ProcessKilled);
                if let Some(second) = second {
                    fs.die_after(second);
                    let _ = killed(&fs, 0, CorruptionPolicy::Refuse);
                }
                let fs = fs.after_crash(*survival);
                let what = format!("{budget}, {survival:?}, {second:?}");
                let (log, report) = killed(&fs, 0, CorruptionPolicy::Refuse)
                    .unwrap_or_else(|error| panic!("{what}: {error}"));
                assert!(!report.lost_flushed, "{what}");
                let start = log.log_start_offset().0;
                assert!(start <= to, "{what}: {start}");
                assert_eq!(dump(&log, 1), all[start as usize..], "{what}");
                drop(log);
                // What is missing now is missed.
                let fs = fs.after_crash(Survival::ProcessKilled);
                lose(&fs, bases(&fs)[0]);
                refused_at(killed(&fs, 0, CorruptionPolicy::Refuse), &what);
                refused += 1;
            }
        }
        ends += usize::from(is_whole);
        if ends > 1 {
            break;
        }
    }
    assert!(refused > 500, "{refused}");
}

#[test]
fn a_start_without_space_removes_what_the_checkpoint_says_is_deleted() {
    let (fs, mut log) = filled();
    let to = bases(&fs)[2];
    assert_eq!(delete_to(&mut log, to), 2);
    drop(log);
    let deleted = |fs: &FaultyFileSystem| files(fs, ".log.deleted").len();
    assert_eq!(deleted(&fs), 2);
    fs.inject(Fault::NoSpaceAtWrite(1));
    let error = killed(&fs, to, CorruptionPolicy::Refuse).unwrap_err();
    assert_eq!(deleted(&fs), 0, "{error}");
    killed(&fs, to, CorruptionPolicy::Refuse).unwrap();
}

#[test]
fn a_segment_goes_only_when_it_is_durable_where_the_log_begins() {
    let (fs, mut log) = filled();
    let to = bases(&fs)[2];
    assert_eq!(delete_to(&mut log, to), 2);
    let epochs = || String::from_utf8(fs.content(&file("leader-epoch-checkpoint")).unwrap()).unwrap();
    let before = epochs();
    let removals = log.take_removals(Timestamp(i64::MAX));
    assert_eq!(epochs(), before, "not on the thread of the log");
    let mut removals = removals.into_iter();
    removals.next().unwrap().run().unwrap();
    assert_ne!(epochs(), before);
    assert!(epochs().trim_end().ends_with(&format!(" {to}")), "{}", epochs());
    // A log that is deleted meanwhile has nothing to say any more.
    log.delete().unwrap();
    removals.for_each(|removal| removal.run().unwrap());
}

/// Which of the removed names are gone after a power cut is a lot.
#[test]
fn a_log_that_began_again_elsewhere_misses_nothing() {
    let survivals = (0..8).map(Survival::Random).chain([Survival::ProcessKilled]);
    for survival in survivals {
        for budget in 0..400 {
            let (fs, mut log) = filled();
            fs.die_after(budget);
            let restarted = log.truncate_fully_and_start_at(Offset(40));
            let fs = fs.after_crash(survival);
            let (log, _) = killed(&fs, 0, CorruptionPolicy::Refuse).unwrap();
            assert!(
                restarted.is_err() || log.log_start_offset() == Offset(40),
                "{budget}"
            );
        }
    }
}

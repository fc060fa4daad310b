//! Compactions that find no space at any write or creation, cannot open a file, or whose flush fails at any file.
//!
//! The log is as it was, or has failed and is whole when it is opened again; nothing of the attempt is left; and the error says
//! what it was: without space or files the compaction is tried again later, after a failed flush the directory goes offline.

use crate::compaction::{compact_with, compacted, names, pairs, put, roll};
use crate::compaction_sums::abort_some;
use crate::support::*;
use milena_log::compaction::{CompactionError, CompactionRules, GroupDone, OffsetMap};
use milena_log::env::{Fault, FaultyFileSystem, Survival};
use milena_log::{PartitionLog, ReadError};
use milena_types::{Offset, Timestamp};

const NOW: Timestamp = Timestamp(1_000_000);

/// Several groups, holes, an aborted transaction that keeps its entry in the index.
fn filled() -> (FaultyFileSystem, PartitionLog) {
    let fs = disk();
    let (mut log, _) = open(&fs, &compacted());
    for i in 0..12 {
        put(&mut log, &format!("key {}", i % 4), Some(&"x".repeat(60)));
        if i % 5 == 4 {
            abort_some(&mut log, i / 5);
        }
    }
    roll(&mut log);
    log.on_recovery_point_saved(log.recovery_point());
    (fs, log)
}

/// How a compaction ended that meets `fault`.
fn attempt(fs: &FaultyFileSystem, log: &mut PartitionLog, fault: Fault) -> Result<(), CompactionError> {
    let (rules, end) = (CompactionRules::default(), log.log_end_offset());
    let cleanable = log.cleanable(&rules, end, NOW).unwrap().unwrap();
    let mut job = log.begin_compaction(&cleanable, &rules, end, NOW);
    let (mut map, mut pace) = (OffsetMap::new(1 << 16, 0.9), |_| true);
    fs.inject(fault);
    let mut run = || {
        job.build_map(&mut map, &mut pace)?;
        loop {
            match job.clean_group(&map, &mut pace)? {
                GroupDone::Last => break,
                GroupDone::Unchanged => continue,
                GroupDone::Ready { .. } => {}
            }
            job.commit()?;
            assert!(log.swap_compacted(job.id(), NOW)?);
            job.finish_swap()?;
        }
        job.write_mark()
    };
    let result = run();
    fs.disarm();
    if result.is_err() {
        let dropped = job.discard();
        assert!(
            matches!(dropped, Ok(()) | Err(CompactionError::Ended)),
            "{dropped:?}"
        );
    }
    let end = result.is_ok().then(|| job.end_offset());
    assert!(log.compaction_over(job.id(), end));
    assert!(!log.compaction_over(job.id(), end), "it is the log's no more");
    result
}

fn values(log: &PartitionLog) -> Vec<(String, i64)> {
    let mut newest = std::collections::BTreeMap::new();
    for (at, key, value) in pairs(log) {
        if value.as_deref().is_some_and(|value| value.starts_with('x')) {
            newest.insert(key, at);
        }
    }
    newest.into_iter().collect()
}

fn has_garbage(fs: &FaultyFileSystem) -> bool {
    let unfinished = |name: &String| {
        [".cleaned", ".swap", ".tmp", "compaction-swap"]
            .iter()
            .any(|end| name.ends_with(end))
    };
    names(fs).iter().any(unfinished)
}

fn read_all(log: &PartitionLog) -> Result<(), ReadError> {
    let mut at = log.log_start_offset();
    while at < log.log_end_offset() {
        at = log.read(at, 100, log.log_end_offset(), true)?.next_offset;
    }
    Ok(())
}

/// True when the fault came.
fn one(fault: Fault, right: impl Fn(&CompactionError) -> bool) -> bool {
    let (fs, mut log) = filled();
    let (before, values_before) = (pairs(&log), values(&log));
    let Err(error) = attempt(&fs, &mut log, fault) else {
        return false;
    };
    assert!(right(&error), "{fault:?}: {error:?}");
    match read_all(&log) {
        Ok(()) => assert_eq!(
            values(&log),
            values_before,
            "{fault:?}: what readers find meanwhile"
        ),
        Err(ReadError::Log(read)) => {
            assert!(log.is_failed(), "{fault:?}: {read:?}");
            assert!(right(&CompactionError::Log(read)), "{fault:?}");
        }
        Err(read) => panic!("{fault:?}: {read:?}"),
    }
    if log.is_failed() {
        assert!(try_append(&mut log, batch(&["x"])).is_err());
    } else {
        assert!(!has_garbage(&fs), "{fault:?}: {:?}", names(&fs));
        assert!(pairs(&log).len() <= before.len());
        // With space again the next attempt comes to its end.
        let end = log.log_end_offset();
        compact_with(&mut log, &CompactionRules::default(), end, NOW, 1 << 16).unwrap();
        assert_eq!(values(&log), values_before, "{fault:?}: compacted after all");
    }
    let point = log.recovery_point();
    drop(log);
    for survival in [
        Survival::ProcessKilled,
        Survival::NothingUnsynced,
        Survival::Random(7),
    ] {
        let fs = fs.after_crash(survival);
        let (mut log, report) = open_at(&fs, &compacted(), point).unwrap();
        assert_eq!(
            (report.cut, values(&log)),
            (None, values_before.clone()),
            "{fault:?} {survival:?}"
        );
        assert!(!has_garbage(&fs), "{fault:?} {survival:?}: {:?}", names(&fs));
        let end: Offset = log.log_end_offset();
        log.on_high_watermark(end);
        compact_with(&mut log, &CompactionRules::default(), end, NOW, 1 << 16).unwrap();
        assert_eq!(
            values(&log),
            values_before,
            "{fault:?} {survival:?}: compacted again"
        );
    }
    true
}

#[test]
fn without_space_or_files_a_compaction_leaves_the_log_as_it_was_or_to_be_opened_again() {
    let full = |error: &CompactionError| matches!(error, CompactionError::Log(error) if error.is_no_space());
    let short = |error: &CompactionError| matches!(error, CompactionError::Log(error) if error.is_shortage());
    let came = (1..100).filter(|nth| one(Fault::NoSpaceAtWrite(*nth), full));
    assert!(came.count() > 10, "writes must have failed");
    let came = (1..100).filter(|nth| one(Fault::NoSpaceAtCreate(*nth), full));
    assert!(came.count() > 10, "creations must have failed");
    let came = (1..200).filter(|nth| one(Fault::TooManyOpen(*nth), short));
    assert!(came.count() > 40, "openings must have failed");
}

#[test]
fn a_failed_renaming_removal_or_read_leaves_the_log_as_it_was_or_to_be_opened_again() {
    let full = |error: &CompactionError| matches!(error, CompactionError::Log(error) if error.is_no_space());
    let came = (1..100).filter(|nth| one(Fault::NoSpaceAtRename(*nth), full));
    assert!(came.count() > 20, "renamings must have failed");
    let disk = |error: &CompactionError| {
        let (CompactionError::Log(error) | CompactionError::Sync(error)) = error else {
            return false;
        };
        !error.is_no_space() && !error.is_shortage()
    };
    let came = (1..100).filter(|nth| one(Fault::RenameFails(*nth), disk));
    assert!(came.count() > 20, "renamings must have failed");
    let came = (1..100).filter(|nth| one(Fault::RemoveFails(*nth), disk));
    assert!(came.count() > 5, "removals must have failed");
    let came = (1..200).filter(|nth| one(Fault::ReadFails(*nth), disk));
    assert!(came.count() > 20, "reads must have failed");
    let came = (1..200).filter(|nth| one(Fault::LookFails(*nth), disk));
    assert!(came.count() > 20, "looks at names must have failed");
}

#[test]
fn a_failed_flush_is_told_as_one_and_the_log_is_whole_when_it_is_opened() {
    let right = |error: &CompactionError| matches!(error, CompactionError::Sync(_));
    let came = (1..100).filter(|nth| one(Fault::SyncFails(*nth), right));
    assert!(came.count() > 10, "flushes must have failed");
}

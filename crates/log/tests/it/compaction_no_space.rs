//! Compactions that find no space at any write or creation, or whose flush fails at any file.
//!
//! The log is as it was, or whole when it is opened again; nothing of the attempt is left; and the error says which of the
//! two it was: with no space the compaction is tried again later, after a failed flush the directory goes offline.

use crate::compaction::{compact_with, compacted, names, pairs, put, roll};
use crate::compaction_sums::abort_some;
use crate::support::*;
use milena_log::PartitionLog;
use milena_log::compaction::{CompactionError, CompactionRules, GroupDone, OffsetMap};
use milena_log::env::{Fault, FaultyFileSystem, Survival};
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

/// How a compaction ended, and whether a swap was certain before.
fn attempt(log: &mut PartitionLog) -> (Result<(), CompactionError>, bool) {
    let (rules, end) = (CompactionRules::default(), log.log_end_offset());
    let cleanable = log.cleanable(&rules, end, NOW).unwrap().unwrap();
    let mut job = log.begin_compaction(&cleanable, &rules, end, NOW);
    let (mut map, mut pace) = (OffsetMap::new(1 << 16, 0.9), |_| true);
    let mut committing = false;
    let mut run = || {
        job.build_map(&mut map, &mut pace)?;
        loop {
            match job.clean_group(&map, &mut pace)? {
                GroupDone::Last => break,
                GroupDone::Unchanged => continue,
                GroupDone::Ready { .. } => {}
            }
            committing = true;
            job.commit()?;
            assert!(log.swap_compacted(job.id(), NOW)?);
            job.finish_swap()?;
            committing = false;
        }
        committing = true;
        job.write_mark()
    };
    let result = run();
    if result.is_err() && !committing {
        job.discard().unwrap();
    }
    log.compaction_over(job.id(), result.is_ok().then(|| job.end_offset()));
    (result, committing)
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

/// True when the fault came.
fn one(fault: Fault, right: impl Fn(&CompactionError, bool) -> bool) -> bool {
    let (fs, mut log) = filled();
    let (before, values_before) = (pairs(&log), values(&log));
    fs.inject(fault);
    let (result, committing) = attempt(&mut log);
    let Err(error) = result else { return false };
    fs.disarm();
    assert!(
        right(&error, committing),
        "{fault:?}, committing {committing}: {error:?}"
    );
    assert_eq!(
        values(&log),
        values_before,
        "{fault:?}: what readers find meanwhile"
    );
    if !committing {
        assert!(!has_garbage(&fs), "{fault:?}: {:?}", names(&fs));
        assert!(!log.is_failed() && pairs(&log).len() <= before.len());
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
fn without_space_a_compaction_leaves_the_log_as_it_was() {
    let right = |error: &CompactionError, committing: bool| match error {
        CompactionError::Log(error) => !committing && error.is_no_space(),
        // The swap may be certain or not: only opening the log tells.
        CompactionError::Sync(error) => committing && error.is_no_space(),
        _ => false,
    };
    let came = (1..100).filter(|nth| one(Fault::NoSpaceAtWrite(*nth), right));
    assert!(came.count() > 10, "writes must have failed");
    let came = (1..100).filter(|nth| one(Fault::NoSpaceAtCreate(*nth), right));
    assert!(came.count() > 10, "creations must have failed");
}

#[test]
fn a_failed_flush_is_told_as_one_and_the_log_is_whole_when_it_is_opened() {
    let right =
        |error: &CompactionError, _| matches!(error, CompactionError::Sync(error) if !error.is_no_space());
    let came = (1..100).filter(|nth| one(Fault::SyncFails(*nth), right));
    assert!(came.count() > 10, "flushes must have failed");
}

//! What ends a compaction that is under way, and what is left of it.

use crate::compaction::*;
use crate::support::*;
use bytes::BytesMut;
use milena_log::compaction::{CompactionError, CompactionRules, OffsetMap};
use milena_log::env::{FaultyFileSystem, FileSystem, OpenMode};
use milena_log::{LogConfig, PartitionLog};
use milena_types::{LeaderEpoch, Offset};

/// A compaction stopped at one of its stages.
fn stopped_at(log: &mut PartitionLog, stage: usize) -> milena_log::compaction::CompactionJob {
    let rules = CompactionRules::default();
    let stable = log.high_watermark();
    let cleanable = log.cleanable(&rules, stable, NOW).unwrap().unwrap();
    let mut job = log.begin_compaction(&cleanable, &rules, stable, NOW);
    let mut map = OffsetMap::new(1 << 20, 0.9);
    job.build_map(&mut map, &mut |_| true).unwrap();
    if stage > 0 {
        job.clean_group(&map, &mut |_| true).unwrap();
    }
    if stage > 1 {
        job.commit().unwrap();
    }
    if stage > 2 {
        log.swap_compacted(job.id(), NOW).unwrap();
    }
    job
}

fn assert_ended(job: &mut milena_log::compaction::CompactionJob, stage: usize) {
    let map = OffsetMap::new(1024, 0.9);
    // Only between the cleaning of a group and its commit is there something to commit.
    if stage == 1 {
        assert!(matches!(job.commit(), Err(CompactionError::Ended)));
    }
    assert!(matches!(
        job.clean_group(&map, &mut |_| true),
        Err(CompactionError::Ended)
    ));
    assert!(matches!(job.finish_swap(), Err(CompactionError::Ended)));
    assert!(matches!(job.write_mark(), Err(CompactionError::Ended)));
    assert!(matches!(job.discard(), Err(CompactionError::Ended)));
}

fn filled() -> (FaultyFileSystem, PartitionLog) {
    let fs = disk();
    let (mut log, _) = open(&fs, &compacted());
    for i in 0..12 {
        put(&mut log, &format!("key {}", i % 2), Some(&"x".repeat(60)));
    }
    roll(&mut log);
    put(&mut log, "last", Some("1"));
    (fs, log)
}

#[test]
fn a_cut_ends_the_compaction_at_any_stage() {
    for stage in 0..4 {
        for to in [0, 3, 12] {
            let (fs, mut log) = filled();
            let mut job = stopped_at(&mut log, stage);
            log.truncate_to(Offset(to)).unwrap();
            assert_ended(&mut job, stage);
            assert!(!log.is_compacting());
            let expected = pairs(&log);
            assert!(expected.iter().all(|(at, ..)| *at < to), "{stage} {to}");
            for i in 0..5 {
                put(&mut log, "new", Some(&format!("{i}")));
            }
            let expected = pairs(&log);
            flush(&mut log);
            remove_retired(&mut log);
            drop(log);
            let (log, report) = open(&fs, &compacted());
            assert_eq!(
                (report.cut, pairs(&log)),
                (None, expected),
                "stage {stage}, cut at {to}"
            );
            assert!(
                !names(&fs)
                    .iter()
                    .any(|name| name.contains("compaction") || name.contains("cleaned"))
            );
        }
    }
}

/// Many small segments become one; what is committed is completed first, and the cut is where it should be.
#[test]
fn a_cut_behind_segments_that_are_merged_finds_its_place() {
    for stage in 0..4 {
        let fs = disk();
        let (mut log, _) = open(&fs, &compacted());
        for i in 0..6 {
            put(&mut log, &format!("key {}", i % 2), Some("x"));
            roll(&mut log);
        }
        for i in 0..8 {
            put(&mut log, &format!("later {i}"), Some(&"x".repeat(100)));
        }
        let job = stopped_at(&mut log, stage);
        log.truncate_to(Offset(11)).unwrap();
        let left = pairs(&log);
        let merged = left.iter().filter(|(at, ..)| *at < 6).count();
        assert_eq!(merged, if stage < 2 { 6 } else { 2 }, "stage {stage}: {left:?}");
        let later: Vec<i64> = left.iter().map(|(at, ..)| *at).filter(|at| *at >= 6).collect();
        assert_eq!(later, [6, 7, 8, 9, 10], "stage {stage}");
        assert_eq!(log.log_end_offset(), Offset(11), "stage {stage}");
        drop((job, log));
        let (log, report) = open(&fs, &compacted());
        assert_eq!((report.cut, pairs(&log)), (None, left), "stage {stage}");
    }
}

#[test]
fn a_deleted_logs_compaction_touches_nothing_of_its_successor() {
    for stage in 0..4 {
        let (fs, mut log) = filled();
        let mut job = stopped_at(&mut log, stage);
        let removal = log.delete().unwrap().unwrap();
        let (mut log, _) = open(&fs, &compacted());
        assert_eq!(
            log.log_end_offset(),
            Offset(0),
            "nothing of the former life is left"
        );
        put(&mut log, "mine", Some("1"));
        let before: Vec<_> = fs.paths();
        assert_ended(&mut job, stage);
        drop(job);
        assert_eq!(fs.paths(), before, "stage {stage}");
        removal.run().unwrap();
        assert_eq!(pairs(&log).len(), 1);
        assert_eq!(
            log.cleanable(&CompactionRules::default(), Offset(1), NOW)
                .unwrap(),
            None
        );
    }
}

#[test]
fn a_clean_stop_completes_or_drops_what_is_under_way() {
    for stage in 0..4 {
        let (fs, mut log) = filled();
        let full = pairs(&log).len();
        let mut job = stopped_at(&mut log, stage);
        log.close().unwrap();
        assert_ended(&mut job, stage);
        let (log, report) = open(&fs, &compacted());
        assert_eq!(report.cut, None);
        let left = pairs(&log).len();
        // The first of several groups is compacted.
        assert!(
            if stage < 2 { left == full } else { left < full },
            "stage {stage}: {left} of {full}"
        );
        assert!(
            !names(&fs)
                .iter()
                .any(|name| name.ends_with("swap") || name.ends_with("cleaned"))
        );
    }
}

#[test]
fn readers_go_on_in_what_they_have_open() {
    let (_, mut log) = filled();
    let plan = log
        .plan_read(Offset(0), 1 << 20, Offset(13), true)
        .unwrap()
        .unwrap();
    let before = plan.run().unwrap();
    compact(&mut log).unwrap();
    remove_retired(&mut log);
    assert_eq!(plan.run().unwrap(), before);
    let after = log.read(Offset(0), 1 << 20, Offset(13), true).unwrap();
    assert!(after.records.len() < before.records.len() || after.next_offset > before.next_offset);
}

#[test]
fn retention_waits_for_a_compaction() {
    let fs = disk();
    let both = LogConfig {
        delete: true,
        retention_ms: 1,
        ..compacted()
    };
    let (mut log, _) = open(&fs, &both);
    for i in 0..12 {
        put(&mut log, &format!("key {}", i % 2), Some(&"x".repeat(60)));
    }
    roll(&mut log);
    let mut job = stopped_at(&mut log, 1);
    assert!(log.delete_old_segments(NOW, Offset(12)).unwrap().is_empty());
    job.discard().unwrap();
    log.compaction_over(job.id(), None);
    assert!(!log.delete_old_segments(NOW, Offset(12)).unwrap().is_empty());
    assert_eq!(log.log_start_offset(), Offset(12));
}

#[test]
fn damage_is_named_and_nothing_changes() {
    let (fs, mut log) = filled();
    let expected = names(&fs);
    let path = file("00000000000000000000.log");
    let mut bytes = fs.content(&path).unwrap();
    // In the value of the first record.
    bytes[100] ^= 1;
    fs.open(&path, OpenMode::Write)
        .unwrap()
        .write_all_at(&bytes, 0)
        .unwrap();
    let rules = CompactionRules::default();
    let stable = log.high_watermark();
    let cleanable = log.cleanable(&rules, stable, NOW).unwrap().unwrap();
    let mut job = log.begin_compaction(&cleanable, &rules, stable, NOW);
    let error = job
        .build_map(&mut OffsetMap::new(1 << 20, 0.9), &mut |_| true)
        .unwrap_err();
    assert!(
        matches!(&error, CompactionError::Corrupt { path: found, .. } if *found == path),
        "{error}"
    );
    job.discard().unwrap();
    log.compaction_over(job.id(), None);
    assert_eq!(names(&fs), expected);
}

#[test]
fn a_swap_that_kafka_left_unfinished_is_completed() {
    for undecided in [false, true] {
        let (fs, mut log) = filled();
        let before = pairs(&log);
        log.close().unwrap();
        drop(log);
        // Kafka's cleaner would merge all closed segments into one that holds the last two keys.
        let mut merged = BytesMut::new();
        for (offset, key) in [(10, "key 0"), (11, "key 1")] {
            let mut batch = keyed(&[(key, Some("merged"))]);
            milena_record::stamp(&mut batch, Offset(offset), LeaderEpoch(0));
            merged.extend_from_slice(&batch);
        }
        fs.overwrite(&file("00000000000000000000.log.swap"), &merged);
        if undecided {
            fs.overwrite(&file("00000000000000000000.log.cleaned"), b"");
        }
        let (log, report) = open(&fs, &compacted());
        assert_eq!(report.cut, None, "{undecided}");
        if undecided {
            assert_eq!(pairs(&log), before);
        } else {
            let found: Vec<i64> = pairs(&log).iter().map(|(at, ..)| *at).collect();
            assert_eq!(found, [10, 11, 12]);
        }
        assert!(
            !names(&fs)
                .iter()
                .any(|name| name.ends_with("swap") || name.ends_with("cleaned"))
        );
    }
}

/// Damage takes the end of a compacted log, and its leader fills it again: what comes is dirty, whatever was there before.
/// Else a tombstone could go whose value, below the old mark, is in no map.
#[test]
fn a_tail_that_a_repair_cut_is_dirty_when_it_comes_again() {
    for lost in ["a part", "a segment"] {
        let fs = disk();
        let (mut log, _) = open(&fs, &compacted());
        for i in 0..40 {
            put(&mut log, &format!("key {i}"), Some(&"x".repeat(60)));
        }
        roll(&mut log);
        put(&mut log, "last", Some("1"));
        let mark = compact(&mut log).unwrap();
        let end = log.log_end_offset();
        log.close().unwrap();
        drop(log);
        let mut logs = fs.paths();
        logs.retain(|path| path.extension().is_some_and(|e| e == "log"));
        let path = logs.swap_remove(1);
        let base: i64 = path.file_stem().unwrap().to_str().unwrap().parse().unwrap();
        if lost == "a segment" {
            fs.remove_file(&path).unwrap();
        } else {
            fs.overwrite(&path, &fs.content(&path).unwrap()[..80]);
        }
        let damaged = milena_log::OpenOptions {
            // Closed segments below it are not looked into.
            recovery_point: if lost == "a segment" {
                end
            } else {
                Offset(base + 1)
            },
            corruption: milena_log::CorruptionPolicy::Truncate,
            ..options(&fs, &compacted())
        };
        let (mut log, report) = PartitionLog::open(damaged).unwrap();
        let cut = log.log_end_offset();
        assert!(report.lost_flushed && cut < mark, "{lost}: {cut} of {mark}");
        put(&mut log, "gone", Some("1"));
        put(&mut log, "gone", None);
        while log.log_end_offset() <= mark {
            put(&mut log, "other", Some(&"x".repeat(60)));
        }
        roll(&mut log);
        let rules = CompactionRules::default();
        let cleanable = log.cleanable(&rules, log.log_end_offset(), NOW).unwrap().unwrap();
        assert!(
            cleanable.first_dirty <= cut,
            "{lost}: {cleanable:?}, cut at {cut}"
        );
    }
}

/// A follower was cut, or begins again, and gets records of which some keys come twice: the mark of its former life says
/// nothing of them.
#[test]
fn a_log_that_was_cut_below_its_mark_is_dirty() {
    dirty_after(|log| log.truncate_to(Offset(2)).unwrap());
}

#[test]
fn a_log_that_begins_again_is_dirty() {
    dirty_after(|log| log.truncate_fully_and_start_at(Offset(0)).unwrap());
}

fn dirty_after(cut: impl Fn(&mut PartitionLog)) {
    for reopened in [false, true] {
        let fs = disk();
        let (mut log, _) = open(&fs, &compacted());
        for i in 0..4 {
            put(&mut log, &format!("key {i}"), Some("1"));
        }
        roll(&mut log);
        assert_eq!(compact(&mut log), Some(Offset(4)));
        cut(&mut log);
        if reopened {
            log.close().unwrap();
            log = open_at(&fs, &compacted(), log.log_end_offset()).unwrap().0;
            log.on_high_watermark(log.log_end_offset());
        }
        for _ in 0..6 {
            put(&mut log, "key", Some("1"));
        }
        roll(&mut log);
        let rules = CompactionRules::default();
        let cleanable = log.cleanable(&rules, log.log_end_offset(), NOW).unwrap().unwrap();
        assert_eq!(cleanable.first_dirty, Offset(0), "{reopened}");
    }
}

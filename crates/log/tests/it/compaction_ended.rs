//! What ends a compaction that is under way, and what is left of it.

use crate::compaction::*;
use crate::compaction_sums::abort_some;
use crate::counting_fs::CountingFs;
use crate::support::*;
use bytes::BytesMut;
use milena_log::compaction::{CompactionError, CompactionRules, OffsetMap};
use milena_log::env::{Env, Fault, FaultyFileSystem, FileSystem, OpenMode};
use milena_log::{LogConfig, OpenOptions, PartitionLog};
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

/// Many small segments, which become one, and more behind them.
fn many_segments(with_aborts: bool) -> (FaultyFileSystem, PartitionLog) {
    let fs = disk();
    let (mut log, _) = open(&fs, &compacted());
    for i in 0..6 {
        put(&mut log, &format!("key {}", i % 2), Some("x"));
        roll(&mut log);
        if with_aborts {
            abort_some(&mut log, i);
        }
    }
    for i in 0..8 {
        put(&mut log, &format!("later {i}"), Some(&"x".repeat(100)));
    }
    flush(&mut log);
    (fs, log)
}

/// What is committed is completed first, and the cut is where it should be.
#[test]
fn a_cut_behind_segments_that_are_merged_finds_its_place() {
    for stage in 0..4 {
        let (fs, mut log) = many_segments(false);
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

fn has_manifest(fs: &FaultyFileSystem) -> bool {
    names(fs).iter().any(|name| name == "compaction-swap")
}

fn flushed_pairs(fs: &FaultyFileSystem, point: Offset) -> Vec<(i64, String, Option<String>)> {
    let (log, report) = open_at(&fs.copied(), &compacted(), point).unwrap();
    assert_eq!(report.cut, None);
    pairs(&log)
}

/// A manifest that stays behind while the log goes on names segments that were made anew since.
#[test]
fn a_cut_that_fails_leaves_no_swap_behind_in_a_log_that_goes_on() {
    type OfKind = fn(u64) -> Fault;
    let kinds: [OfKind; 3] = [Fault::TooManyOpen, Fault::NoSpaceAtCreate, Fault::NoSpaceAtWrite];
    let mut left_behind = 0;
    for (stage, kind, nth) in (2..4)
        .flat_map(|s| kinds.map(|kind| (1..12).map(move |nth| (s, kind, nth))))
        .flatten()
    {
        let (fs, mut log) = many_segments(true);
        let _job = stopped_at(&mut log, stage);
        let point = log.recovery_point();
        let completed = flushed_pairs(&fs, point);
        fs.inject(kind(nth));
        let cut = log.truncate_to(Offset(3));
        fs.disarm();
        let Err(error) = cut else { continue };
        let what = format!("stage {stage}, {:?}: {error}", kind(nth));
        assert!(error.is_shortage() || error.is_no_space(), "{what}");
        if has_manifest(&fs) {
            left_behind += 1;
            assert!(log.is_failed() && log.is_compacting(), "{what}");
            assert!(try_append(&mut log, batch(&["x"])).is_err(), "{what}");
            assert_eq!(flushed_pairs(&fs, point), completed, "{what}");
        } else if log.is_failed() {
            // The truncation itself got stuck.
            continue;
        }
        // The owner tries again after a pause.
        let failed = log.is_failed();
        log.truncate_to(Offset(3)).unwrap();
        assert!(!has_manifest(&fs) && !log.is_compacting(), "{what}");
        assert_eq!(log.is_failed(), failed, "{what}");
        if failed {
            log = open_at(&fs.copied(), &compacted(), log.recovery_point())
                .unwrap()
                .0;
            assert!(pairs(&log).is_empty(), "{what}");
            continue;
        }
        while log.log_end_offset() < Offset(8) {
            put(&mut log, "new", Some("acknowledged"));
            roll(&mut log);
        }
        flush(&mut log);
        assert_eq!(flushed_pairs(&fs, log.recovery_point()), pairs(&log), "{what}");
    }
    assert!(left_behind > 3, "{left_behind}");
}

/// Whoever cannot tell whether the manifest is on disk must keep the new files.
#[test]
fn a_commit_in_doubt_is_completed_by_a_cut_or_when_the_log_is_opened() {
    let mut in_doubt = 0;
    for (told, nth) in [false, true]
        .into_iter()
        .flat_map(|told| (1..10).map(move |nth| (told, nth)))
    {
        let (fs, mut log) = many_segments(false);
        let mut job = stopped_at(&mut log, 1);
        fs.inject(Fault::TooManyOpen(nth));
        let committed = job.commit();
        fs.disarm();
        let Err(error) = committed else { continue };
        assert!(
            matches!(&error, CompactionError::Log(error) if error.is_shortage()),
            "{error:?}"
        );
        let doubtful = has_manifest(&fs);
        assert_eq!(job.discard().is_err(), doubtful, "opening {nth}");
        if told {
            assert!(log.compaction_over(job.id(), None));
            assert_eq!(log.is_failed(), doubtful, "opening {nth}");
        }
        let merged = if doubtful { 2 } else { 6 };
        assert_eq!(
            flushed_pairs(&fs, log.recovery_point()).len(),
            merged + 8,
            "opening {nth}"
        );
        log.truncate_to(Offset(11)).unwrap();
        assert_eq!(pairs(&log).len(), merged + 5, "opening {nth}");
        assert!(!has_manifest(&fs), "opening {nth}");
        assert_eq!(
            flushed_pairs(&fs, log.recovery_point()),
            pairs(&log),
            "opening {nth}"
        );
        in_doubt += usize::from(doubtful);
    }
    assert!(in_doubt > 2, "{in_doubt}");
}

/// What the cleaner reads of a segment that its owner is cutting is not damage.
#[test]
fn a_cut_in_the_midst_of_a_read_is_no_damage() {
    for mapped in [false, true] {
        let disk = disk();
        let (mut log, _) = open(&disk, &compacted());
        // The cut takes all of this batch, and leaves its file.
        try_append(&mut log, keyed(&[("key", Some("1")), ("key", Some("2"))])).unwrap();
        roll(&mut log);
        log.close().unwrap();
        let recovery_point = log.recovery_point();
        drop(log);
        let fs = CountingFs::new(&disk);
        let counted = OpenOptions {
            env: Env::with(std::sync::Arc::new(fs.clone()), 4),
            recovery_point,
            ..options(&disk, &compacted())
        };
        let (mut log, _) = PartitionLog::open(counted).unwrap();
        let (rules, end) = (CompactionRules::default(), log.log_end_offset());
        let cleanable = log.cleanable(&rules, end, NOW).unwrap().unwrap();
        let mut job = log.begin_compaction(&cleanable, &rules, end, NOW);
        let mut map = OffsetMap::new(1 << 20, 0.9);
        if mapped {
            job.build_map(&mut map, &mut |_| true).unwrap();
        }
        fs.before_next_read(move || log.truncate_to(Offset(1)).unwrap());
        let found = match mapped {
            false => job.build_map(&mut map, &mut |_| true),
            true => job.clean_group(&map, &mut |_| true).map(|_| ()),
        };
        assert!(
            matches!(found, Err(CompactionError::Ended)),
            "map {mapped}: {found:?}"
        );
    }
}

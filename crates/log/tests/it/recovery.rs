//! Opening after an unclean stop: damage of every kind, at every place.

use crate::support::*;
use milena_log::env::{FaultyFileSystem, FileSystem, Survival};
use milena_log::{CorruptionPolicy, LogConfig, OpenError, OpenOptions, PartitionLog};
use milena_types::{LeaderEpoch, Offset, Timestamp};
use std::path::PathBuf;

/// What becomes of a file's bytes; `None` removes it.
type Damage = fn(Vec<u8>) -> Option<Vec<u8>>;

/// Thirty batches of two records in several segments, of epochs 0 to 2.
fn filled() -> (FaultyFileSystem, Vec<(i64, String)>) {
    let fs = disk();
    let (mut log, _) = open(&fs, &small());
    for i in 0..30 {
        log.append_as_leader(batch(&[&format!("a{i}"), &format!("b{i}")]), &ctx(i / 10))
            .unwrap();
    }
    flush(&mut log);
    assert!(log.segments() > 3);
    (fs, dump(&log, 1))
}

fn last_log(fs: &FaultyFileSystem) -> PathBuf {
    files(fs, ".log").pop().unwrap()
}

#[test]
fn a_torn_tail_is_cut_at_every_byte() {
    let (fs, all) = filled();
    let path = last_log(&fs);
    let whole = fs.content(&path).unwrap();
    for cut in 0..whole.len() {
        fs.overwrite(&path, &whole[..cut]);
        let (log, report) = open(&fs.after_crash(Survival::ProcessKilled), &small());
        let end = log.log_end_offset().0 as usize;
        assert_eq!(dump(&log, 1), all[..end], "cut at {cut}");
        assert_eq!(report.cut.is_some(), cut > 0 && report.cut.is_some(), "{cut}");
    }
}

#[test]
fn junk_zeros_and_flipped_bits_are_cut_off() {
    let (fs, all) = filled();
    let path = last_log(&fs);
    let whole = fs.content(&path).unwrap();
    let junk: [(&str, Vec<u8>); 4] = [
        ("zeros", vec![0; 4096]),
        ("ones", vec![0xff; 300]),
        ("half a batch", whole[..40].to_vec()),
        ("a batch with a giant length", {
            let mut b = whole.clone();
            b[8..12].copy_from_slice(&i32::MAX.to_be_bytes());
            b
        }),
    ];
    for (name, tail) in junk {
        fs.overwrite(&path, &[whole.clone(), tail].concat());
        let crashed = fs.after_crash(Survival::ProcessKilled);
        let (log, report) = open(&crashed, &small());
        assert_eq!(dump(&log, 1), all, "{name}");
        let cut = report.cut.unwrap();
        assert_eq!((cut.position, cut.doubt), (whole.len() as u64, None), "{name}");
        let (_, again) = open(&crashed, &small());
        assert_eq!(again.cut, None, "{name}: a second recovery finds nothing to do");
    }
    let size = whole.len() / (whole.len() / batch(&["a10", "b10"]).len());
    // The leader epoch (bytes 12 to 15 of a header) is outside the checksum; all else is seen.
    for at in (0..whole.len()).filter(|at| !(12..16).contains(&(at % size))) {
        let mut flipped = whole.clone();
        flipped[at] ^= 0x10;
        fs.overwrite(&path, &flipped);
        let (log, report) = open(&fs.after_crash(Survival::ProcessKilled), &small());
        let end = log.log_end_offset().0 as usize;
        let cut = report.cut.unwrap();
        assert!(end < all.len(), "flip at {at}");
        // Of the last batch it cannot be told where it was to end, or that it is one.
        let last = at / size == whole.len() / size - 1;
        let unseen = last && matches!(at % size, 8..12 | 16);
        assert!(cut.doubt.is_some() || unseen, "flip at {at}");
        assert_eq!(dump(&log, 1), all[..end]);
    }
}

#[test]
fn stale_bytes_of_a_longer_former_segment_are_cut_off() {
    let fs = disk();
    let (mut log, _) = open(&fs, &LogConfig::default());
    for i in 0..10 {
        log.append_as_leader(batch(&[&format!("old{i}")]), &ctx(1))
            .unwrap();
    }
    let old = fs.content(&last_log(&fs)).unwrap();
    log.truncate_to(Offset(3)).unwrap();
    log.append_as_leader(batch(&["new3"]), &ctx(2)).unwrap();
    let new = fs.content(&last_log(&fs)).unwrap();
    // Same sizes: the stale batches that follow have valid checksums and the right offsets, only their epoch is older.
    fs.overwrite(&last_log(&fs), &[&new[..], &old[new.len()..]].concat());
    let (log, report) = open(&fs.after_crash(Survival::ProcessKilled), &LogConfig::default());
    assert_eq!(log.log_end_offset(), Offset(4));
    let cut = report.cut.unwrap();
    assert!(cut.reason.contains("leader epoch 1 after 2"));
    assert_eq!(cut.doubt, None, "they were cut off before");
}

#[test]
fn indexes_missing_short_or_wrong_are_rebuilt() {
    let damages: [(&str, Damage); 5] = [
        ("missing", |_| None),
        ("empty", |_| Some(Vec::new())),
        ("short", |bytes| {
            Some(bytes[..bytes.len().saturating_sub(3)].to_vec())
        }),
        ("zeros", |bytes| Some(vec![0; bytes.len()])),
        ("of another log", |bytes| {
            Some(bytes.iter().map(|b| b ^ 0x11).collect())
        }),
    ];
    for extension in ["index", "timeindex"] {
        for (name, damage) in damages {
            for clean in [false, true] {
                let (fs, all) = filled();
                {
                    let (mut log, _) = open(&fs, &small());
                    log.close().unwrap();
                }
                let good: Vec<_> = files(&fs, &format!(".{extension}"))
                    .into_iter()
                    .map(|p| (p.clone(), fs.content(&p).unwrap()))
                    .collect();
                for (path, bytes) in &good {
                    match damage(bytes.clone()) {
                        Some(bad) => fs.overwrite(path, &bad),
                        None => fs.remove_file(path).unwrap(),
                    }
                }
                let (log, report) = PartitionLog::open(OpenOptions {
                    clean,
                    ..options(&fs, &small())
                })
                .unwrap();
                assert_eq!(
                    (report.cut, dump(&log, 1)),
                    (None, all),
                    "{extension} {name} {clean}"
                );
                if !clean {
                    for (path, bytes) in good {
                        assert_eq!(fs.content(&path), Some(bytes), "{name} {}", path.display());
                    }
                }
            }
        }
    }
}

#[test]
fn leader_epochs_are_rebuilt_when_their_file_is_missing_or_damaged() {
    for damage in [None, Some(&b"0\n1\n5 "[..]), Some(b"\0\0\0\0")] {
        let (fs, _) = filled();
        match damage {
            Some(bytes) => fs.overwrite(&file("leader-epoch-checkpoint"), bytes),
            None => fs.remove_file(&file("leader-epoch-checkpoint")).unwrap(),
        }
        let (mut log, report) = open_at(&fs, &small(), Offset(60)).unwrap();
        assert!(report.epochs_rebuilt);
        let expected = [
            (LeaderEpoch(0), Offset(0)),
            (LeaderEpoch(1), Offset(20)),
            (LeaderEpoch(2), Offset(40)),
        ];
        assert_eq!(log.epoch_entries(), expected);
        flush(&mut log);
        assert_eq!(
            fs.content(&file("leader-epoch-checkpoint")).unwrap(),
            b"0\n3\n0 0\n1 20\n2 40\n"
        );
    }
}

#[test]
fn epochs_ahead_of_the_log_are_forgotten() {
    let (fs, _) = filled();
    fs.overwrite(&file("leader-epoch-checkpoint"), b"0\n4\n0 0\n1 20\n2 40\n9 60\n");
    let (log, _) = open(&fs, &small());
    assert_eq!(log.last_epoch(), Some(LeaderEpoch(2)));
}

#[test]
fn damage_below_the_recovery_point_is_refused_and_nothing_is_changed() {
    let (fs, all) = filled();
    let path = last_log(&fs);
    let mut bytes = fs.content(&path).unwrap();
    bytes[16] = 9;
    fs.overwrite(&path, &bytes);
    let error = open_at(&fs, &small(), Offset(60)).unwrap_err();
    assert!(
        matches!(
            &error,
            OpenError::Corrupt {
                position: 0,
                recovery_point: Offset(60),
                ..
            }
        ),
        "{error}"
    );
    assert_eq!(fs.content(&path).unwrap(), bytes, "the evidence stays");
    let options = OpenOptions {
        recovery_point: Offset(60),
        corruption: CorruptionPolicy::Truncate,
        ..options(&fs, &small())
    };
    let (log, report) = PartitionLog::open(options).unwrap();
    assert!(report.lost_flushed);
    let end = log.log_end_offset().0 as usize;
    assert_eq!(dump(&log, 1), all[..end]);
}

#[test]
fn only_the_segments_past_the_recovery_point_are_scanned() {
    let (fs, _) = filled();
    let segments = files(&fs, ".log").len();
    let scanned = |point| open_at(&fs, &small(), Offset(point)).unwrap().1.segments_scanned;
    assert_eq!((scanned(0), scanned(60)), (segments, 1));
    let clean = OpenOptions {
        clean: true,
        ..options(&fs, &small())
    };
    assert_eq!(PartitionLog::open(clean).unwrap().1.segments_scanned, 0);
}

#[test]
fn a_missing_segment_in_the_unsynced_part_ends_the_log() {
    let (fs, all) = filled();
    let logs = files(&fs, ".log");
    fs.remove_file(&logs[2]).unwrap();
    let (log, report) = open(&fs, &small());
    let end = log.log_end_offset().0;
    assert_eq!(format!("/logs/topic-0/{end:020}.log"), logs[2].to_string_lossy());
    assert!(report.cut.unwrap().reason.contains("does not follow"));
    assert_eq!(dump(&log, 1), all[..end as usize]);
    assert_eq!(files(&fs, ".log").len(), 2);
}

#[test]
fn leftovers_of_other_operations_are_removed() {
    let (fs, all) = filled();
    for name in [
        "00000000000000000000.log.deleted",
        "leader-epoch-checkpoint.tmp",
        "00000000000000000099.index",
    ] {
        fs.overwrite(&file(name), b"x");
    }
    fs.overwrite(&file("00000000000000009999.snapshot"), b"x");
    let (log, _) = open(&fs, &small());
    assert_eq!(dump(&log, 1), all);
    let known = fs.paths();
    assert!(
        !known
            .iter()
            .any(|p| p.to_string_lossy().contains("99.") || p.to_string_lossy().ends_with("tmp")),
        "{known:?}"
    );
}

#[test]
fn a_log_start_inside_a_segment_survives() {
    let (fs, all) = filled();
    let options = OpenOptions {
        log_start_offset: Offset(13),
        ..options(&fs, &small())
    };
    let (log, _) = PartitionLog::open(options).unwrap();
    assert_eq!(log.log_start_offset(), Offset(13));
    assert_eq!(log.epoch_entries()[0], (LeaderEpoch(0), Offset(13)));
    assert_eq!(dump(&log, 1), all[12..], "from the batch that holds it");
}

#[test]
fn what_a_killed_process_left_in_the_page_cache_is_not_taken_for_flushed() {
    let fs = disk();
    let (mut log, _) = open(&fs, &small());
    append(&mut log, &["a"]);
    flush(&mut log);
    append(&mut log, &["b"]);
    drop(log);
    let killed = fs.after_crash(Survival::ProcessKilled);
    let (mut log, _) = open_at(&killed, &small(), Offset(1)).unwrap();
    assert_eq!(
        (log.log_end_offset(), log.flushed_offset()),
        (Offset(2), Offset(1))
    );
    assert!(
        log.has_dirty_data(),
        "a flush is due before anything is advertised"
    );
    flush(&mut log);
    let (log, _) = open_at(
        &killed.after_crash(Survival::NothingUnsynced),
        &small(),
        Offset(2),
    )
    .unwrap();
    assert_eq!(dump(&log, 1).len(), 2);
}

#[test]
fn a_checkpoint_of_a_former_log_of_the_same_name_is_not_trusted() {
    let fs = disk();
    let (mut log, _) = open_at(&fs, &small(), Offset(60)).unwrap();
    append(&mut log, &["a"]);
    append(&mut log, &["b"]);
    let path = last_log(&fs);
    let mut bytes = fs.content(&path).unwrap();
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    fs.overwrite(&path, &bytes);
    let (log, report) = open_at(&fs.after_crash(Survival::ProcessKilled), &small(), Offset(60)).unwrap();
    assert_eq!((dump(&log, 1).len(), report.lost_flushed), (1, false));
}

#[test]
fn the_recovery_point_waits_for_the_indexes_of_closed_segments() {
    let fs = disk();
    let (mut log, _) = open(&fs, &small());
    while log.segments() < 2 {
        flush(&mut log);
        append(&mut log, &["x"]);
    }
    let base = log.active_base_offset().unwrap();
    assert_eq!(
        (log.flushed_offset(), log.recovery_point()),
        (base, Offset(0)),
        "records are flushed, the index is not"
    );
    flush(&mut log);
    assert_eq!(log.recovery_point(), log.log_end_offset());
}

#[test]
fn an_epoch_file_that_says_nothing_of_a_log_is_built_again() {
    let fs = disk();
    let (mut log, _) = open(&fs, &small());
    append(&mut log, &["a"]);
    // The last segment has no batch that could contradict the file.
    log.roll(Timestamp(1_000_000)).unwrap();
    log.close().unwrap();
    fs.overwrite(&file("leader-epoch-checkpoint"), b"0\n0\n");
    for clean in [true, false] {
        let options = OpenOptions {
            clean,
            recovery_point: Offset(1),
            ..options(&fs.copied(), &small())
        };
        let (log, report) = PartitionLog::open(options).unwrap();
        assert!(report.epochs_rebuilt, "{clean}");
        assert_eq!(log.epoch_entries(), [(LeaderEpoch(0), Offset(0))], "{clean}");
    }
}

//! Damage that no scan looks for: below the recovery point, in closed segments. It is found before it is served.

use crate::support::*;
use milena_log::env::{FaultyFileSystem, FileSystem, Survival};
use milena_log::{CorruptionPolicy, OpenError, OpenOptions, PartitionLog, ReadError};
use milena_types::Offset;
use std::path::PathBuf;

/// Thirty batches of two records in several segments, flushed.
fn filled() -> (FaultyFileSystem, Vec<(i64, String)>, Vec<PathBuf>) {
    let fs = disk();
    let (mut log, _) = open(&fs, &small());
    for i in 0..30 {
        append(&mut log, &[&format!("a{i}"), &format!("b{i}")]);
    }
    log.close().unwrap();
    let logs = fs
        .paths()
        .into_iter()
        .filter(|p| p.extension().is_some_and(|e| e == "log"));
    let logs: Vec<PathBuf> = logs.collect();
    assert!(logs.len() > 4);
    (fs.clone(), dump(&log, 1), logs)
}

fn open_clean(fs: &FaultyFileSystem, corruption: CorruptionPolicy) -> Result<PartitionLog, OpenError> {
    let options = OpenOptions {
        clean: true,
        recovery_point: Offset(60),
        corruption,
        ..options(fs, &small())
    };
    PartitionLog::open(options).map(|(log, _)| log)
}

fn base_of(path: &std::path::Path) -> i64 {
    path.file_stem().unwrap().to_str().unwrap().parse().unwrap()
}

/// Reads all there is, up to the first damage; checks what was read. Gives where the damage is said to be.
fn read_all(log: &PartitionLog, all: &[(i64, String)], step: usize, what: &str) -> Option<Offset> {
    let mut at = log.log_start_offset();
    while at < log.log_end_offset() {
        match log.read(at, step, log.log_end_offset(), true) {
            Ok(read) => {
                assert!(read.next_offset > at, "{what}: no progress at {at}");
                let mut expected = at.0;
                for batch in milena_record::batches(&read.records) {
                    let bytes = bytes::Bytes::copy_from_slice(batch.unwrap().1);
                    for record in milena_record::records(&bytes, 1 << 20).unwrap() {
                        let value = String::from_utf8_lossy(&record.value.unwrap()).into_owned();
                        assert_eq!((record.offset.0, value), all[expected as usize], "{what}");
                        expected += 1;
                    }
                }
                assert_eq!(read.next_offset.0, expected, "{what}: a hole");
                at = read.next_offset;
            }
            Err(ReadError::Corrupt { offset, .. }) => return Some(offset),
            Err(other) => panic!("{what}: {other}"),
        }
    }
    None
}

#[test]
fn every_flipped_bit_of_a_closed_segment_is_found_by_the_read_that_meets_it() {
    let (fs, all, logs) = filled();
    let path = &logs[2];
    let whole = fs.content(path).unwrap();
    let (base, next) = (base_of(path), base_of(&logs[3]));
    for bit in 0..whole.len() * 8 {
        let mut bytes = whole.clone();
        bytes[bit / 8] ^= 1 << (bit % 8);
        let fs = fs.after_crash(Survival::ProcessKilled);
        fs.overwrite(path, &bytes);
        let mut log = open_clean(&fs, CorruptionPolicy::Refuse).unwrap();
        let what = format!("bit {bit}");
        let step = [1, 250, 100_000][bit % 3];
        let found = read_all(&log, &all, step, &what).unwrap_or_else(|| panic!("{what} was not found"));
        assert!(
            (base..next).contains(&found.0),
            "{what}: at {found}, segment {base}..{next}"
        );
        // The repair: everything from there on goes, and what is left is good.
        log.truncate_to(found).unwrap();
        assert!(log.log_end_offset() <= found);
        assert_eq!(
            dump(&log, 1),
            all[..log.log_end_offset().0 as usize],
            "{what}, after the repair"
        );
    }
}

#[test]
fn a_closed_segment_that_was_cut_short_is_no_hole() {
    let (fs, all, logs) = filled();
    let path = &logs[2];
    let whole = fs.content(path).unwrap();
    for cut in 0..whole.len() {
        fs.overwrite(path, &whole[..cut]);
        let log = open_clean(&fs, CorruptionPolicy::Refuse).unwrap();
        let found = read_all(&log, &all, 1, &format!("cut at {cut}"));
        assert!(found.is_some(), "cut at {cut} was not found");
    }
}

#[test]
fn a_closed_segment_that_is_missing_is_refused_and_the_repair_ends_the_log_before_it() {
    // Before the first segment, a deletion that a power cut came into may have left indexes.
    for at in 1..3 {
        let (fs, all, logs) = filled();
        fs.remove_file(&logs[at]).unwrap();
        let before = fs.paths();
        for clean in [true, false] {
            let options = OpenOptions {
                clean,
                recovery_point: Offset(60),
                ..options(&fs, &small())
            };
            let error = PartitionLog::open(options).unwrap_err();
            let base = Offset(base_of(&logs[at]));
            assert!(
                matches!(&error, OpenError::Corrupt { offset, .. } if *offset == base),
                "{error}"
            );
            assert!(error.to_string().contains("the segment is missing"), "{error}");
        }
        assert_eq!(fs.paths(), before, "the evidence stays");
        let mut log = open_clean(&fs, CorruptionPolicy::Truncate).unwrap();
        assert_eq!(log.log_end_offset(), Offset(base_of(&logs[at])));
        assert_eq!(dump(&log, 1), all[..base_of(&logs[at]) as usize]);
        append(&mut log, &["refilled"]);
        flush(&mut log);
        let (log, report) = open(&fs, &small());
        assert_eq!(
            (log.log_end_offset().0, report.cut),
            (base_of(&logs[at]) + 1, None)
        );
    }
}

#[test]
fn a_segment_that_is_gone_with_its_indexes_is_found_by_the_read_that_meets_the_gap() {
    let (fs, all, logs) = filled();
    for extension in ["log", "index", "timeindex"] {
        fs.remove_file(&logs[2].with_extension(extension)).unwrap();
    }
    let log = open_clean(&fs, CorruptionPolicy::Refuse).unwrap();
    assert_eq!(read_all(&log, &all, 1, "gap"), Some(Offset(base_of(&logs[2]))));
}

#[test]
fn a_log_that_ends_below_its_recovery_point_is_refused() {
    let (fs, all, logs) = filled();
    let last = logs.last().unwrap();
    for extension in ["log", "index", "timeindex"] {
        fs.remove_file(&last.with_extension(extension)).unwrap();
    }
    for clean in [true, false] {
        let options = || OpenOptions {
            clean,
            recovery_point: Offset(60),
            ..options(&fs, &small())
        };
        let error = PartitionLog::open(options()).unwrap_err();
        assert!(matches!(error, OpenError::Corrupt { .. }), "{error}");
    }
    let log = open_clean(&fs, CorruptionPolicy::Truncate).unwrap();
    assert_eq!(dump(&log, 1), all[..base_of(last) as usize]);
}

#[test]
fn a_log_of_which_only_traces_are_left_is_refused_and_an_empty_directory_is_not() {
    let (fs, _, _) = filled();
    for path in fs.paths() {
        let keep = path.ends_with("partition.metadata");
        if !keep {
            fs.remove_file(&path).unwrap();
        }
    }
    let error = open_clean(&fs, CorruptionPolicy::Refuse).unwrap_err();
    assert!(matches!(error, OpenError::Corrupt { .. }), "{error}");
    fs.remove_file(&file("partition.metadata")).unwrap();
    let log = open_clean(&fs, CorruptionPolicy::Refuse).unwrap();
    assert_eq!(
        log.log_end_offset(),
        Offset(0),
        "as a new log's first step leaves it"
    );
}

#[test]
fn an_index_that_points_elsewhere_is_not_believed() {
    let (fs, all, logs) = filled();
    let path = logs[2].with_extension("index");
    let whole = fs.content(&path).unwrap();
    assert!(whole.len() >= 16, "two entries");
    for byte in 0..8 {
        let mut bytes = whole.clone();
        bytes[byte] ^= 1;
        fs.overwrite(&path, &bytes);
        let log = open_clean(&fs, CorruptionPolicy::Refuse).unwrap();
        for step in [1, 250, 100_000] {
            assert_eq!(read_all(&log, &all, step, &format!("index byte {byte}")), None);
        }
    }
}

/// A log that was cut, went on and was stopped cleanly may keep the floor of the cut: its checkpoint is younger.
#[test]
fn a_clean_log_that_lost_its_tail_is_damaged_whatever_its_floor() {
    let (fs, all, logs) = filled();
    let floor = logs[0].with_file_name("recovery-floor");
    fs.overwrite(&floor, b"4\n");
    let log = open_clean(&fs, CorruptionPolicy::Refuse).unwrap();
    assert_eq!(read_all(&log, &all, 100_000, "with a floor"), None);
    fs.overwrite(logs.last().unwrap(), b"");
    assert!(matches!(
        open_clean(&fs, CorruptionPolicy::Refuse),
        Err(OpenError::Corrupt { .. })
    ));
    let repaired = open_clean(&fs, CorruptionPolicy::Truncate).unwrap();
    assert_eq!(repaired.log_end_offset().0, base_of(logs.last().unwrap()));
}

/// Word of the last shutdown vouches for files: a directory without any is no new log.
#[test]
fn a_log_that_is_known_to_have_files_is_refused_without_them() {
    for (empty, clean) in [(true, true), (true, false), (false, true), (false, false)] {
        let (fs, ..) = filled();
        for path in fs.paths().iter().filter(|path| path.starts_with(DIR)) {
            fs.remove_file(path).unwrap();
        }
        if !empty {
            fs.remove_dir_all(std::path::Path::new(DIR)).unwrap();
        }
        let open = |has_files, corruption| {
            PartitionLog::open(OpenOptions {
                clean,
                has_files,
                recovery_point: Offset(60),
                corruption,
                ..options(&fs, &small())
            })
        };
        let known = open(true, CorruptionPolicy::Refuse);
        assert!(matches!(known, Err(OpenError::Corrupt { .. })), "empty: {empty}");
        for (has_files, corruption) in [
            (false, CorruptionPolicy::Refuse),
            (true, CorruptionPolicy::Truncate),
        ] {
            let (log, _) = open(has_files, corruption).unwrap();
            assert_eq!(log.log_end_offset(), Offset(0), "empty: {empty}");
        }
    }
}

/// The log start is known, and no deletion moved it: what was before the first segment that is there is gone.
#[test]
fn a_log_that_lost_its_first_segments_is_refused_and_begins_anew() {
    for clean in [true, false] {
        let (fs, all, logs) = filled();
        for path in &logs[..2] {
            for kind in ["log", "index", "timeindex"] {
                fs.remove_file(&path.with_extension(kind)).unwrap();
            }
        }
        let start = base_of(&logs[2]);
        let open = |log_start, corruption| {
            PartitionLog::open(OpenOptions {
                clean,
                has_files: true,
                log_start_offset: Offset(log_start),
                recovery_point: Offset(60),
                corruption,
                ..options(&fs, &small())
            })
        };
        let refused = open(start - 1, CorruptionPolicy::Refuse);
        assert!(matches!(refused, Err(OpenError::Corrupt { offset, .. }) if offset == Offset(start - 1)));
        // Their deletion may be what moved the log start.
        let (log, _) = open(start, CorruptionPolicy::Refuse).unwrap();
        assert_eq!(read_all(&log, &all, 1000, "after a deletion"), None);
        drop(log);
        let (log, report) = open(0, CorruptionPolicy::Truncate).unwrap();
        assert!(report.lost_flushed);
        assert_eq!(
            (log.log_start_offset(), log.log_end_offset()),
            (Offset(0), Offset(0))
        );
        let left = fs
            .paths()
            .into_iter()
            .filter(|path| path.extension().is_some_and(|e| e == "log"));
        assert_eq!(left.count(), 0);
    }
}

/// The files that say more are on disk before the one that says where the log begins.
#[test]
fn a_log_start_above_all_that_is_known_takes_no_record() {
    for (clean, corruption) in [
        (true, CorruptionPolicy::Refuse),
        (false, CorruptionPolicy::Refuse),
        (false, CorruptionPolicy::RefuseDoubtful),
    ] {
        let (fs, all, _) = filled();
        let end = Offset(60);
        let open = |log_start, recovery_point, high_watermark| {
            PartitionLog::open(OpenOptions {
                clean,
                log_start_offset: Offset(log_start),
                recovery_point: Offset(recovery_point),
                high_watermark: Offset(high_watermark),
                corruption,
                ..options(&fs, &small())
            })
        };
        let (log, _) = open(90, 60, 60).unwrap();
        assert_eq!((log.log_start_offset(), log.log_end_offset()), (Offset(0), end));
        assert_eq!(read_all(&log, &all, 1000, "a wrong log start"), None);
        drop(log);
        if !clean {
            // Nor does it hide that something is missing.
            let refused = open(90, 0, 61);
            assert_eq!(
                matches!(refused, Err(OpenError::Doubtful { .. })),
                corruption == CorruptionPolicy::RefuseDoubtful,
                "{refused:?}"
            );
            drop(refused);
        }
        // Records up to it were deleted, and a power cut has taken the last of them.
        let (log, _) = open(90, if clean { 60 } else { 0 }, 90).unwrap();
        assert_eq!(
            (log.log_start_offset(), log.log_end_offset()),
            (Offset(90), Offset(90))
        );
    }
}

/// A batch whose header is damaged may claim any offset: the cut ends before it all the same.
#[test]
fn a_cut_at_damage_does_not_keep_the_damaged_batch() {
    for (at, claimed) in [(0, -5), (3, -20), (3, 1), (5, 100)] {
        let (fs, all, logs) = filled();
        let (path, base) = (&logs[2], base_of(&logs[2]));
        let mut bytes = fs.content(path).unwrap();
        let mut positions = vec![0];
        for batch in milena_record::batches(&bytes) {
            positions.push(positions.last().unwrap() + batch.unwrap().1.len());
        }
        let at = at.min(positions.len() - 2);
        let (damaged, offset) = (positions[at], base + 2 * at as i64);
        bytes[damaged..damaged + 8].copy_from_slice(&(offset + claimed).to_be_bytes());
        fs.overwrite(path, &bytes);
        let mut log = open_clean(&fs, CorruptionPolicy::Refuse).unwrap();
        let found = read_all(&log, &all, 1000, "before the cut").unwrap();
        assert!(found <= Offset(offset), "{found} {offset}");
        log.truncate_to(found).unwrap();
        assert!(log.log_end_offset() <= Offset(offset));
        assert_eq!(fs.content(path).unwrap_or_default().len(), {
            let kept = (log.log_end_offset().0 - base).max(0) as usize / 2;
            positions[kept]
        });
        assert_eq!(read_all(&log, &all, 1000, "after the cut"), None);
    }
}

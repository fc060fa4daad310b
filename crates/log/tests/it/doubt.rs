//! A tail that may be more than a write that was never completed: refused where another replica may have it whole.

use crate::support::*;
use milena_log::env::{FaultyFileSystem, FileSystem, Survival};
use milena_log::{CorruptionPolicy, LogConfig, OpenError, OpenOptions, OpenReport, PartitionLog};
use milena_record::{BatchBuilder, HEADER_BYTES, stamp};
use milena_types::{LeaderEpoch, Offset, Timestamp};
use std::path::PathBuf;

/// Batches of one size in several segments, nothing of them below a recovery point.
fn filled(config: &LogConfig) -> FaultyFileSystem {
    let fs = disk();
    let (mut log, _) = open(&fs, config);
    for i in 10..40 {
        append(&mut log, &[&format!("a{i}"), &format!("b{i}")]);
    }
    fs
}

fn open_as(
    fs: &FaultyFileSystem,
    corruption: CorruptionPolicy,
    high_watermark: i64,
) -> Result<(PartitionLog, OpenReport), OpenError> {
    PartitionLog::open(OpenOptions {
        corruption,
        high_watermark: Offset(high_watermark),
        ..options(fs, &small())
    })
}

fn disk_content(fs: &FaultyFileSystem) -> Vec<(PathBuf, Option<Vec<u8>>)> {
    let paths = fs.paths().into_iter();
    paths.map(|path| (path.clone(), fs.content(&path))).collect()
}

/// It is refused and left alone; opened without other replicas in mind, it ends before the damage, and is in no doubt any more.
fn assert_in_doubt(fs: &FaultyFileSystem, end: Offset, context: &str) {
    let before = disk_content(fs);
    match open_as(fs, CorruptionPolicy::RefuseDoubtful, 0) {
        Err(OpenError::Doubtful { offset, .. }) => assert_eq!(offset, end, "{context}"),
        other => panic!("{context}: {other:?}"),
    }
    assert_eq!(disk_content(fs), before, "{context}: something was changed");
    let (log, report) = open_as(fs, CorruptionPolicy::Refuse, 0).unwrap();
    assert_eq!(log.log_end_offset(), end, "{context}");
    assert!(report.cut.unwrap().doubt.is_some(), "{context}");
    drop(log);
    let again = open_as(fs, CorruptionPolicy::RefuseDoubtful, 0);
    assert!(again.is_ok(), "{context}: {again:?}");
}

#[test]
fn what_a_killed_process_leaves_of_a_batch_is_in_no_doubt() {
    let fs = filled(&small());
    let path = files(&fs, ".log").pop().unwrap();
    let whole = fs.content(&path).unwrap();
    for left in 0..whole.len() {
        let torn = fs.copied();
        torn.overwrite(&path, &whole[..left]);
        let opened = open_as(&torn, CorruptionPolicy::RefuseDoubtful, 0);
        assert!(opened.is_ok(), "{left} bytes: {opened:?}");
    }
}

#[test]
fn damage_anywhere_past_the_recovery_point_is_in_doubt() {
    let fs = filled(&small());
    let paths = files(&fs, ".log");
    let size = batch(&["a10", "b10"]).len();
    let last = paths.len() - 1;
    let mut offset = 0;
    for (number, path) in paths.iter().enumerate() {
        let whole = fs.content(path).unwrap();
        let batches = whole.len() / size;
        for at in 0..whole.len() {
            // Of the last batch of all it cannot be told where it was to end, nor of which leader epoch it was.
            let last_of_all = number == last && at / size == batches - 1;
            if last_of_all && matches!(at % size, 8..17) {
                continue;
            }
            let flipped = fs.copied();
            let mut bytes = whole.clone();
            bytes[at] ^= 0x10;
            flipped.overwrite(path, &bytes);
            let end = Offset(offset + 2 * (at / size) as i64);
            let context = format!("{} {at}", path.display());
            // The leader epoch is outside the checksum. What it was the batches around it say; before the first one is none.
            let in_epoch = matches!(at % size, 12..16);
            let is_first = number == 0 && at < size;
            if !in_epoch || is_first {
                let behind = if in_epoch { Offset(2) } else { end };
                assert_in_doubt(&flipped, behind, &context);
                continue;
            }
            match open_as(&flipped, CorruptionPolicy::RefuseDoubtful, 0) {
                Err(OpenError::Doubtful { offset, .. }) => assert_eq!(offset, end, "{context}"),
                other => panic!("{context}: {other:?}"),
            }
            let (_, report) = open_as(&flipped, CorruptionPolicy::Refuse, 0).unwrap();
            assert_eq!((report.cut, report.epochs_mended), (None, 1), "{context}");
            assert_eq!(flipped.content(path).unwrap(), whole, "{context}");
        }
        offset += 2 * batches as i64;
    }
    assert!(last > 2);
}

/// Where several bytes of a batch are wrong, its leader epoch may be one of them: an older one makes it no leftover.
#[test]
fn what_ends_a_log_is_not_stale_where_nothing_was_truncated() {
    let fs = filled(&small());
    let path = files(&fs, ".log").pop().unwrap();
    let mut bytes = fs.content(&path).unwrap();
    let (size, base) = (batch(&["a10", "b10"]).len(), path.file_stem().unwrap());
    let last = bytes.len() - size;
    bytes[last + 12..last + 16].copy_from_slice(&(-1_i32).to_be_bytes());
    *bytes.last_mut().unwrap() ^= 0x10;
    fs.overwrite(&path, &bytes);
    let base: i64 = base.to_str().unwrap().parse().unwrap();
    let end = Offset(base + 2 * (last / size) as i64);
    assert_in_doubt(&fs, end, "the last batch");
}

#[test]
fn a_segment_that_ends_too_early_is_in_doubt() {
    let fs = filled(&small());
    let paths = files(&fs, ".log");
    let size = batch(&["a10", "b10"]).len();
    let whole = fs.content(&paths[1]).unwrap();
    let first = fs.content(&paths[0]).unwrap().len() / size;
    for cut in [whole.len() - 1, whole.len() - size, 0] {
        let short = fs.copied();
        short.overwrite(&paths[1], &whole[..cut]);
        assert_in_doubt(&short, Offset(2 * (first + cut / size) as i64), &format!("{cut}"));
    }
}

/// Whatever is in the later ones: they were begun after it was complete.
#[test]
fn damage_with_segments_behind_it_is_in_doubt() {
    let fs = filled(&small());
    let paths = files(&fs, ".log");
    let mut first = fs.content(&paths[0]).unwrap();
    // A length that goes far beyond.
    first[8] ^= 0x10;
    fs.overwrite(&paths[0], &first[..HEADER_BYTES]);
    for path in &paths[1..] {
        fs.overwrite(path, &[0; 100]);
    }
    assert_in_doubt(&fs, Offset(0), "zeros behind");
}

#[test]
fn certain_damage_is_no_doubt() {
    let fs = filled(&small());
    let paths = files(&fs, ".log");
    let mut first = fs.content(&paths[0]).unwrap();
    // In the last batch below the recovery point, which is looked at closely.
    first[batch(&["a10", "b10"]).len() + HEADER_BYTES] ^= 1;
    fs.overwrite(&paths[0], &first);
    let newest = paths.last().unwrap();
    fs.overwrite(&newest.with_extension("index"), &[0; 8]);
    fs.remove_file(newest).unwrap();
    let refused = PartitionLog::open(OpenOptions {
        corruption: CorruptionPolicy::RefuseDoubtful,
        recovery_point: Offset(4),
        ..options(&fs, &small())
    });
    assert!(matches!(refused, Err(OpenError::Corrupt { .. })), "{refused:?}");
}

#[test]
fn an_end_below_the_high_watermark_is_in_doubt() {
    let fs = filled(&small());
    assert!(open_as(&fs.copied(), CorruptionPolicy::RefuseDoubtful, 60).is_ok());
    let path = files(&fs, ".log").pop().unwrap();
    let whole = fs.content(&path).unwrap();
    let size = batch(&["a10", "b10"]).len();
    fs.overwrite(&path, &whole[..whole.len() - size]);
    assert!(open_as(&fs.copied(), CorruptionPolicy::RefuseDoubtful, 58).is_ok());
    let refused = open_as(&fs, CorruptionPolicy::RefuseDoubtful, 59);
    assert!(
        matches!(
            refused,
            Err(OpenError::Doubtful {
                offset: Offset(58),
                ..
            })
        ),
        "{refused:?}"
    );
    assert!(open_as(&fs, CorruptionPolicy::Refuse, 59).is_ok());
}

#[test]
fn files_that_are_gone_are_in_doubt() {
    let all = filled(&small());
    let doubtful = |fs: &FaultyFileSystem, high_watermark| {
        let refused = open_as(fs, CorruptionPolicy::RefuseDoubtful, high_watermark);
        assert!(matches!(refused, Err(OpenError::Doubtful { .. })), "{refused:?}");
        assert!(open_as(fs, CorruptionPolicy::Refuse, high_watermark).is_ok());
    };
    let fs = all.copied();
    // The index of an active segment is not there after a kill, but may be after its flush.
    let newest = files(&fs, ".log").pop().unwrap();
    fs.overwrite(&newest.with_extension("index"), &[0; 8]);
    fs.remove_file(&newest).unwrap();
    doubtful(&fs, 0);
    let fs = all.copied();
    for path in fs.paths().iter().filter(|path| path.starts_with(DIR)) {
        fs.remove_file(path).unwrap();
    }
    assert!(open_as(&fs.copied(), CorruptionPolicy::RefuseDoubtful, 0).is_ok());
    doubtful(&fs, 60);
    doubtful(&disk(), 60);
}

/// A deletion would have given it another name first, and its indexes too.
#[test]
fn a_first_segment_that_is_gone_is_missed() {
    let fs = filled(&small());
    fs.remove_file(&files(&fs, ".log")[0]).unwrap();
    let open_at = |corruption, recovery_point| {
        PartitionLog::open(OpenOptions {
            corruption,
            recovery_point: Offset(recovery_point),
            ..options(&fs.copied(), &small())
        })
    };
    for corruption in [CorruptionPolicy::RefuseDoubtful, CorruptionPolicy::Refuse] {
        let refused = open_at(corruption, 60);
        assert!(
            matches!(
                refused,
                Err(OpenError::Corrupt {
                    offset: Offset(0),
                    ..
                })
            ),
            "{corruption:?}: {refused:?}"
        );
    }
    let refused = open_at(CorruptionPolicy::RefuseDoubtful, 0);
    assert!(
        matches!(
            refused,
            Err(OpenError::Doubtful {
                offset: Offset(0),
                ..
            })
        ),
        "{refused:?}"
    );
}

/// What was deleted up to the high watermark need not be there.
#[test]
fn an_end_below_the_log_start_is_in_no_doubt() {
    let fs = filled(&small());
    let path = files(&fs, ".log").pop().unwrap();
    let whole = fs.content(&path).unwrap();
    let size = batch(&["a10", "b10"]).len();
    fs.overwrite(&path, &whole[..whole.len() - size]);
    let opened = PartitionLog::open(OpenOptions {
        corruption: CorruptionPolicy::RefuseDoubtful,
        log_start_offset: Offset(60),
        high_watermark: Offset(60),
        ..options(&fs, &small())
    });
    assert!(opened.is_ok(), "{opened:?}");
}

/// A record may hold a whole batch, or the heads of many: where that makes a doubt, reading it has a bound.
#[test]
fn batches_inside_a_record_that_was_not_completed() {
    for (heads, inner_offset, doubtful) in [(false, 1_000, true), (false, 0, false), (true, 1_000, true)] {
        let fs = disk();
        let (mut log, _) = open(&fs, &LogConfig::default());
        append(&mut log, &["before"]);
        let mut inner = BatchBuilder::single(Offset(0), &[0; 100]);
        stamp(&mut inner, Offset(inner_offset), LeaderEpoch(0));
        let value = if heads {
            inner[..HEADER_BYTES].repeat(10_000)
        } else {
            inner.to_vec()
        };
        let mut outer = BatchBuilder::plain(Offset(0));
        outer.append(Timestamp(0), None, Some(&value), &[]);
        outer.append(Timestamp(0), None, Some(b"not written"), &[]);
        log.append_as_leader(outer.build(), &ctx(0)).unwrap();
        drop(log);
        let path = files(&fs, ".log").pop().unwrap();
        let whole = fs.content(&path).unwrap();
        fs.overwrite(&path, &whole[..whole.len() - 5]);
        let opened = open_as(
            &fs.after_crash(Survival::ProcessKilled),
            CorruptionPolicy::RefuseDoubtful,
            0,
        );
        assert_eq!(opened.is_err(), doubtful, "{heads} {inner_offset}");
    }
}

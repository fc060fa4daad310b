//! Leader epochs that no leader can have had: no checksum covers them, and the controller's newest says so.

use crate::support::{batch, ctx, disk, dump, files, options};
use milena_log::env::{FaultyFileSystem, FileSystem, Survival};
use milena_log::{CorruptionPolicy, LogConfig, OpenError, OpenOptions, OpenReport, PartitionLog};
use milena_types::{LeaderEpoch, Offset};
use std::path::PathBuf;

const NEWEST: LeaderEpoch = LeaderEpoch(9);
/// Epochs of the batches, one record each.
const EPOCHS: [i32; 6] = [3, 3, 3, 7, 7, 7];
const AT_EPOCH: usize = 12;
const EPOCH_FILE: &str = "leader-epoch-checkpoint";

fn reopen(
    fs: &FaultyFileSystem,
    recovery_point: i64,
    corruption: CorruptionPolicy,
    clean: bool,
) -> Result<(PartitionLog, OpenReport), OpenError> {
    PartitionLog::open(OpenOptions {
        recovery_point: Offset(recovery_point),
        corruption,
        clean,
        leader_epoch: NEWEST,
        ..options(fs, &LogConfig::default())
    })
}

fn append_all(log: &mut PartitionLog) {
    for (at, epoch) in EPOCHS.iter().enumerate() {
        log.append_as_leader(batch(&[&format!("v{at}")]), &ctx(*epoch))
            .unwrap();
    }
}

/// A flushed log, and how long its batches are.
fn filled() -> (FaultyFileSystem, usize) {
    let fs = disk();
    let (mut log, _) = reopen(&fs, 0, CorruptionPolicy::Refuse, false).unwrap();
    append_all(&mut log);
    log.close().unwrap();
    let size = fs.content(&last_log(&fs)).unwrap().len() / EPOCHS.len();
    (fs, size)
}

/// The same log in segments of two batches.
fn in_segments(batch_size: usize) -> FaultyFileSystem {
    let fs = disk();
    let config = LogConfig {
        segment_bytes: 2 * batch_size as u64,
        ..LogConfig::default()
    };
    let (mut log, _) = PartitionLog::open(options(&fs, &config)).unwrap();
    append_all(&mut log);
    log.close().unwrap();
    fs
}

fn last_log(fs: &FaultyFileSystem) -> PathBuf {
    files(fs, ".log").pop().unwrap()
}

fn put_epoch(fs: &FaultyFileSystem, at: usize, epoch: i32) {
    let mut bytes = fs.content(&last_log(fs)).unwrap();
    bytes[at..at + 4].copy_from_slice(&epoch.to_be_bytes());
    fs.overwrite(&last_log(fs), &bytes);
}

fn assert_as_written(log: &PartitionLog) {
    let values: Vec<_> = dump(log, 1).into_iter().map(|(_, value)| value).collect();
    assert_eq!(values, ["v0", "v1", "v2", "v3", "v4", "v5"]);
    let epochs = [(LeaderEpoch(3), Offset(0)), (LeaderEpoch(7), Offset(3))];
    assert_eq!(log.epoch_entries(), epochs);
}

#[test]
fn a_log_that_is_alone_puts_it_right() {
    for (batch, epoch) in EPOCHS.iter().enumerate() {
        for bit in [4, 17, 30, 31] {
            for (recovery_point, clean) in [(0, false), (4, false), (6, false), (6, true)] {
                let (fs, size) = filled();
                let whole = fs.content(&last_log(&fs)).unwrap();
                put_epoch(&fs, batch * size + AT_EPOCH, epoch ^ (1 << bit));
                let open = |fs: &_| reopen(fs, recovery_point, CorruptionPolicy::Refuse, clean).unwrap();
                let (log, report) = open(&fs);
                assert_as_written(&log);
                assert_eq!((report.cut, report.epochs_mended), (None, 1));
                drop(log);
                let fs = fs.after_crash(Survival::NothingUnsynced);
                assert_eq!(fs.content(&last_log(&fs)).unwrap(), whole);
                let (log, report) = open(&fs);
                assert_as_written(&log);
                assert_eq!(report.epochs_mended, 0);
            }
        }
    }
}

#[test]
fn a_log_with_peers_is_refused_and_one_that_is_refilled_ends_there() {
    for batch in 0..EPOCHS.len() {
        let (fs, size) = filled();
        put_epoch(&fs, batch * size + AT_EPOCH, i32::MAX);
        let damaged = fs.content(&last_log(&fs)).unwrap();
        let refused = reopen(&fs, 0, CorruptionPolicy::RefuseDoubtful, false).unwrap_err();
        assert!(matches!(refused, OpenError::Doubtful { offset, .. } if offset == Offset(batch as i64)));
        let refused = reopen(&fs, 6, CorruptionPolicy::RefuseDoubtful, false).unwrap_err();
        assert!(matches!(refused, OpenError::Corrupt { .. }), "{refused}");
        assert_eq!(fs.content(&last_log(&fs)).unwrap(), damaged);
        let (log, report) = reopen(&fs, 0, CorruptionPolicy::Truncate, false).unwrap();
        assert_eq!(report.cut.unwrap().offset, Offset(batch as i64));
        assert_eq!(dump(&log, 1).len(), batch);
        assert!(log.last_epoch() <= Some(LeaderEpoch(7)));
    }
}

/// Epochs that were given out, but neither to the batch before nor to the batch behind.
#[test]
fn a_batch_between_two_of_another_epoch_is_put_right() {
    let (_, size) = filled();
    // The first one has the epoch file before it.
    // And the fifth has one before it that begins an epoch.
    for (batch, epochs) in [(0, [-1, 0, 5]), (1, [-1, 2, 9]), (4, [3, 8, 9])] {
        for epoch in epochs {
            for (recovery_point, clean, segments) in [
                (0, false, false),
                (4, false, false),
                (6, false, false),
                (0, false, true),
            ] {
                let fs = if segments { in_segments(size) } else { filled().0 };
                let path = files(&fs, ".log").remove(if segments { batch / 2 } else { 0 });
                let at = if segments { batch % 2 } else { batch } * size + AT_EPOCH;
                let whole = fs.content(&path).unwrap();
                let mut bytes = whole.clone();
                bytes[at..at + 4].copy_from_slice(&i32::to_be_bytes(epoch));
                fs.overwrite(&path, &bytes);
                let open = |corruption| reopen(&fs, recovery_point, corruption, clean);
                let refused = open(CorruptionPolicy::RefuseDoubtful).unwrap_err();
                let offset = match &refused {
                    OpenError::Doubtful { offset, .. } | OpenError::Corrupt { offset, .. } => *offset,
                    other => panic!("{other}"),
                };
                assert_eq!(offset, Offset(batch as i64), "{refused}");
                assert_eq!(fs.content(&path).unwrap(), bytes);
                let (log, report) = open(CorruptionPolicy::Refuse).unwrap();
                assert_as_written(&log);
                assert_eq!((report.cut, report.epochs_mended), (None, 1));
                drop(log);
                let after = fs.after_crash(Survival::NothingUnsynced);
                assert_eq!(after.content(&path).unwrap(), whole);
            }
        }
    }
}

/// An epoch begins, or there is nothing to compare with.
#[test]
fn an_epoch_that_only_one_neighbour_contradicts_is_taken() {
    for (batch, epoch) in [(2, 5), (3, 5), (5, 9)] {
        let (fs, size) = filled();
        put_epoch(&fs, batch * size + AT_EPOCH, epoch);
        let written = fs.content(&last_log(&fs));
        let (log, report) = reopen(&fs, 0, CorruptionPolicy::RefuseDoubtful, false).unwrap();
        assert_eq!((log.log_end_offset(), report.epochs_mended), (Offset(6), 0));
        assert_eq!(fs.content(&last_log(&fs)), written);
    }
    // A truncation left word of itself: what has an older epoch is what it took.
    let (fs, size) = filled();
    let dir = last_log(&fs).parent().unwrap().to_owned();
    put_epoch(&fs, size + AT_EPOCH, 4);
    fs.overwrite(&dir.join("recovery-floor"), b"0\n");
    let (log, report) = reopen(&fs, 0, CorruptionPolicy::Refuse, false).unwrap();
    assert_eq!((log.log_end_offset(), report.epochs_mended), (Offset(2), 0));
}

#[test]
fn what_nothing_else_says_is_not_made_up() {
    // No batch before it, and no epoch file.
    let (fs, _) = filled();
    let dir = last_log(&fs).parent().unwrap().to_owned();
    fs.remove_file(&dir.join(EPOCH_FILE)).unwrap();
    put_epoch(&fs, AT_EPOCH, 10);
    let (log, report) = reopen(&fs, 0, CorruptionPolicy::Refuse, false).unwrap();
    assert_eq!(log.log_end_offset(), Offset(0));
    let cut = report.cut.unwrap();
    let doubt = cut.doubt.unwrap();
    assert_eq!(doubt, "batch at offset 0 has leader epoch 10, the newest is 9");

    // More of the batch is damaged, below the recovery point.
    let (fs, size) = filled();
    put_epoch(&fs, 4 * size + AT_EPOCH, 10);
    let mut bytes = fs.content(&last_log(&fs)).unwrap();
    bytes[5 * size - 1] ^= 1;
    fs.overwrite(&last_log(&fs), &bytes);
    let refused = reopen(&fs, 6, CorruptionPolicy::Refuse, false).unwrap_err();
    assert!(
        matches!(
            refused,
            OpenError::Corrupt {
                offset: Offset(4),
                ..
            }
        ),
        "{refused}"
    );
}

#[test]
fn an_epoch_file_with_one_is_built_again_without_it() {
    let (fs, size) = filled();
    let dir = last_log(&fs).parent().unwrap().to_owned();
    fs.overwrite(&dir.join(EPOCH_FILE), b"0\n2\n3 0\n77 3\n");
    let (log, report) = reopen(&fs, 6, CorruptionPolicy::Refuse, true).unwrap();
    assert!(report.epochs_rebuilt);
    assert_as_written(&log);
    drop(log);

    // After a clean shutdown with nothing in the last segment no batch is looked at.
    let fs = in_segments(size);
    fs.overwrite(&dir.join("00000000000000000006.log"), b"");
    fs.overwrite(&dir.join(EPOCH_FILE), b"0\n2\n3 0\n77 3\n");
    let (log, report) = reopen(&fs, 6, CorruptionPolicy::Refuse, true).unwrap();
    assert_eq!((report.segments_scanned, report.epochs_rebuilt), (0, true));
    assert_as_written(&log);
    drop(log);

    // Where no batch that recovery looks at contradicts the file.
    let fs = in_segments(size);
    let write = |text: &[u8]| fs.overwrite(&dir.join(EPOCH_FILE), text);
    write(b"0\n2\n3 0\n77 3\n");
    let (log, report) = reopen(&fs, 4, CorruptionPolicy::RefuseDoubtful, false).unwrap();
    assert!(report.epochs_rebuilt);
    assert_as_written(&log);
    drop(log);

    // The same in a batch that is not looked at when the log is opened: reading it says so.
    write(b"0\n2\n3 0\n77 3\n");
    let first = files(&fs, ".log").remove(0);
    let mut bytes = fs.content(&first).unwrap();
    bytes[size + AT_EPOCH..][..4].copy_from_slice(&77_i32.to_be_bytes());
    fs.overwrite(&first, &bytes);
    let (log, report) = reopen(&fs, 6, CorruptionPolicy::RefuseDoubtful, true).unwrap();
    assert!(report.epochs_rebuilt);
    assert_eq!(log.last_epoch(), Some(LeaderEpoch(7)));
    assert!(log.read(Offset(1), 1 << 20, Offset(6), true).is_err());
    assert!(log.read(Offset(4), 1 << 20, Offset(6), true).is_ok());
}

/// The metadata was put back to an older state, or the log came from elsewhere: no flipped bit makes two such batches in a row. A
/// leader with a lower epoch than the log's would harm it.
#[test]
fn a_log_that_knows_more_than_the_controller_is_refused_and_left_as_it_is() {
    let (_, size) = filled();
    for fs in [filled().0, in_segments(size)] {
        let contents = || -> Vec<_> { files(&fs, "").iter().map(|path| fs.content(path)).collect() };
        let before = contents();
        for newest in [0, 2, 3, 6] {
            for (recovery_point, clean) in [(0, false), (3, false), (6, false), (6, true)] {
                for corruption in [CorruptionPolicy::RefuseDoubtful, CorruptionPolicy::Refuse] {
                    let error = PartitionLog::open(OpenOptions {
                        recovery_point: Offset(recovery_point),
                        corruption,
                        clean,
                        leader_epoch: LeaderEpoch(newest),
                        ..options(&fs, &LogConfig::default())
                    })
                    .unwrap_err();
                    assert!(matches!(error, OpenError::Corrupt { .. }), "{error}");
                    assert!(
                        error.to_string().contains("the metadata is older than the log"),
                        "{error}"
                    );
                }
            }
        }
        assert_eq!(contents(), before);
    }
}

#[test]
fn word_of_a_log_that_knows_more_than_the_controller_is_not_gone_by() {
    let (fs, _) = filled();
    let (log, _) = reopen(&fs, 6, CorruptionPolicy::Refuse, true).unwrap();
    let idle = log.idle_log().unwrap();
    let known_at = |newest| {
        let options = OpenOptions {
            clean: true,
            leader_epoch: LeaderEpoch(newest),
            ..options(&fs, &LogConfig::default())
        };
        PartitionLog::resume_clean(&options, idle.clone()).is_some()
    };
    assert!(known_at(7));
    assert!(!known_at(6));
}

//! Every kind of file of a log, damaged in every way: each byte flipped, cut at each length, zeros to the end, missing,
//! exchanged with another segment's.
//!
//! Whatever can be built again gives the same answers as before. Damage to records is met by whoever reads them, or refuses
//! the log, and never gives other records at an offset.

use crate::observed::{Observed, observe, times};
use crate::support::*;
use milena_log::checkpoint::parse_epochs;
use milena_log::env::{FaultyFileSystem, FileSystem};
use milena_log::{
    AppendContext, AppendOrigin, CorruptionPolicy, LogConfig, OpenError, OpenOptions, OpenReport,
    PartitionLog,
};
use milena_record::BatchBuilder;
use milena_record::control::ControlRecord;
use milena_types::{Offset, ProducerEpoch, ProducerId, Timestamp};
use std::ops::Range;
use std::path::Path;

const TIMES: Range<i64> = 990..1300;

fn config() -> LogConfig {
    LogConfig {
        segment_bytes: 900,
        index_interval_bytes: 120,
        ..LogConfig::default()
    }
}

/// Segments with records of three epochs, timestamps that go up and down, two producers, committed, aborted and open
/// transactions; cleanly closed.
fn written() -> (FaultyFileSystem, Observed) {
    let fs = disk();
    let (mut log, _) = open(&fs, &config());
    for i in 0..24_i64 {
        let mut plain = BatchBuilder::plain(Offset(0));
        for record in 0..2 {
            let timestamp = Timestamp(1000 + i * 10 - (i % 3) * 14 + record);
            plain.append(
                timestamp,
                Some(b"k"),
                Some(format!("value {i}.{record}").as_bytes()),
                &[],
            );
        }
        let epoch = i as i32 / 8;
        log.append_as_leader(plain.build(), &ctx(epoch)).unwrap();
        let (id, sequence) = (1 + i % 2, (i / 2) as i32);
        log.append_as_leader(produced(id, 0, sequence, 1, true), &ctx(epoch))
            .unwrap();
        if i % 4 == 1 && i < 23 {
            let kind = if i % 8 == 1 {
                ControlRecord::Abort
            } else {
                ControlRecord::Commit
            };
            for id in [1, 2] {
                let producer = (ProducerId(id), ProducerEpoch(0));
                let marker = kind.batch(Offset(0), Timestamp(1000 + i * 10), producer, epoch);
                let origin = AppendOrigin::Coordinator {
                    marker_epoch_must_grow: false,
                };
                log.append_as_leader(marker, &AppendContext { origin, ..ctx(epoch) })
                    .unwrap();
            }
        }
    }
    log.on_high_watermark(log.log_end_offset());
    let whole = observe(&log, TIMES).unwrap();
    assert!(log.segments() > 4);
    log.close().unwrap();
    (fs, whole)
}

/// Every damaged content of a file; `None` is a missing file.
fn damages(content: &[u8], others: &[Vec<u8>], flips: &[u8]) -> Vec<(String, Option<Vec<u8>>)> {
    let mut all: Vec<(String, Option<Vec<u8>>)> = vec![("missing".to_owned(), None)];
    for at in 0..content.len() {
        for flip in flips {
            let mut bad = content.to_vec();
            bad[at] ^= flip;
            all.push((format!("byte {at} ^ {flip:#x}"), Some(bad)));
        }
        all.push((format!("cut at {at}"), Some(content[..at].to_vec())));
        let mut zeros = content.to_vec();
        zeros[at..].fill(0);
        all.push((format!("zeros from {at}"), Some(zeros)));
    }
    for more in [1, 8, 34, 100] {
        all.push((
            format!("{more} zeros behind"),
            Some([content, &vec![0; more]].concat()),
        ));
    }
    all.push(("junk behind".to_owned(), Some([content, &[0x5a; 61]].concat())));
    all.push((
        "garbage".to_owned(),
        Some((0..content.len()).map(|i| (i * 37 % 251) as u8).collect()),
    ));
    all.extend(
        others
            .iter()
            .map(|other| ("exchanged".to_owned(), Some(other.clone()))),
    );
    all.retain(|(_, bad)| bad.as_deref() != Some(content));
    all
}

/// Opens a damaged copy of the disk.
fn open_damaged(
    fs: &FaultyFileSystem,
    path: &Path,
    bad: Option<&[u8]>,
    clean: bool,
    recovery_point: i64,
    corruption: CorruptionPolicy,
) -> Result<(PartitionLog, OpenReport), OpenError> {
    let disk = fs.copied();
    match bad {
        Some(bytes) => disk.overwrite(path, bytes),
        None => disk.remove_file(path).unwrap(),
    }
    let options = OpenOptions {
        clean,
        recovery_point: Offset(recovery_point),
        corruption,
        ..options(&disk, &config())
    };
    PartitionLog::open(options)
}

/// Every way to start: after a clean stop, and after a crash with everything, half or nothing known to be flushed.
fn starts(end: i64) -> [(bool, i64); 4] {
    [(true, end), (false, end), (false, end / 2), (false, 0)]
}

fn every_damage_is_repaired(kind: &str, flips: &[u8]) {
    let (fs, whole) = written();
    let paths = files(&fs, kind);
    assert!(!paths.is_empty());
    let contents: Vec<Vec<u8>> = paths.iter().map(|path| fs.content(path).unwrap()).collect();
    for (path, content) in paths.iter().zip(&contents) {
        for (i, (name, bad)) in damages(content, &contents, flips).into_iter().enumerate() {
            // Each in one way to start, and those that come in dozens take turns.
            let all = starts(whole.end);
            let turns = if i % 8 == 0 {
                &all[..]
            } else {
                &all[i / 2 % 2..=i / 2 % 2]
            };
            for (clean, point) in turns.iter().copied() {
                let what = || format!("{} {name}, clean {clean}, recovery point {point}", path.display());
                let opened = open_damaged(&fs, path, bad.as_deref(), clean, point, CorruptionPolicy::Refuse);
                let (mut log, report) = opened.unwrap_or_else(|e| panic!("{}: {e}", what()));
                assert_eq!(report.cut, None, "{}", what());
                log.on_high_watermark(log.log_end_offset());
                if i % 3 == 0 {
                    // Before a reader finds out what is wrong.
                    let found = times(&log, TIMES).unwrap_or_else(|e| panic!("{}: {e}", what()));
                    assert!(found == whole.times, "{}: times", what());
                }
                let found = observe(&log, TIMES).unwrap_or_else(|e| panic!("{}: {e}", what()));
                assert!(found == whole, "{}: {}", what(), difference(&found, &whole));
            }
        }
    }
}

fn difference(found: &Observed, whole: &Observed) -> String {
    let mut all = String::new();
    for (name, same) in [
        ("reads", found.reads == whole.reads),
        ("ranges", found.ranges == whole.ranges),
        ("times", found.times == whole.times),
        ("latest", found.latest == whole.latest),
        ("aborted", found.aborted == whole.aborted),
        ("epochs", found.epochs == whole.epochs),
        ("producers", found.producers == whole.producers),
        ("ends", (found.start, found.end) == (whole.start, whole.end)),
    ] {
        if !same {
            all += name;
            all += " ";
        }
    }
    all
}

#[test]
fn offset_indexes_are_repaired() {
    every_damage_is_repaired(".index", &[1, 0x84]);
}

#[test]
fn time_indexes_are_repaired() {
    every_damage_is_repaired(".timeindex", &[1, 0x88]);
}

#[test]
fn transaction_indexes_are_repaired() {
    every_damage_is_repaired(".txnindex", &[0x81]);
}

#[test]
fn sums_of_transaction_indexes_are_repaired() {
    every_damage_is_repaired("txn-index-checkpoint", &[1, 6]);
}

#[test]
fn producer_snapshots_are_repaired() {
    every_damage_is_repaired(".snapshot", &[0x41]);
}

/// Damage that leaves a well-formed file behind, in order and in agreement with the last batch, is believed, as in Kafka:
/// the file says when epochs began that have no record.
#[test]
fn epoch_files_are_repaired_or_in_order() {
    let (fs, whole) = written();
    let path = file("leader-epoch-checkpoint");
    let content = fs.content(&path).unwrap();
    let (mut rebuilt, mut believed) = (0, 0);
    for (name, bad) in damages(&content, &[], &[1, 4, 0x10]) {
        for (clean, point) in starts(whole.end) {
            let opened = open_damaged(&fs, &path, bad.as_deref(), clean, point, CorruptionPolicy::Refuse);
            let (log, report) = opened.unwrap_or_else(|e| panic!("{name}: {e}"));
            let found = log.epoch_entries();
            rebuilt += i32::from(report.epochs_rebuilt);
            if found != whole.epochs {
                let well_formed = bad.as_deref().map(parse_epochs).and_then(Result::ok);
                assert!(
                    well_formed.is_some() && !report.epochs_rebuilt,
                    "{name} {clean} {point}: {found:?}"
                );
                assert!(
                    point > 0,
                    "{name}: everything was scanned, and {found:?} contradicts it"
                );
                assert_eq!(found.last().map(|(epoch, _)| epoch.0), Some(2), "{name}");
                believed += 1;
            }
        }
    }
    assert!(rebuilt > 300 && believed < rebuilt / 10, "{rebuilt} {believed}");
}

/// The batches that a damaged log gives are the written ones, or do not have their checksum, or their reader hears of it.
fn gives_no_other_records(log: &PartitionLog, whole: &Observed, what: &str) -> usize {
    let mut errors = 0;
    for from in log.log_start_offset().0..log.log_end_offset().0 {
        let Ok(read) = log.read(Offset(from), 1, log.log_end_offset(), true) else {
            errors += 1;
            continue;
        };
        let (expected, _) = &whole.reads[usize::try_from(from).unwrap()];
        let batch = &read.records[..];
        // The leader epoch (bytes 12 to 15) has no checksum.
        let same =
            batch.len() == expected.len() && batch[..12] == expected[..12] && batch[16..] == expected[16..];
        assert!(same, "{what}: another batch at offset {from}");
        assert!(
            read.next_offset.0 > from,
            "{what}: a reader at {from} does not get on"
        );
    }
    errors
}

#[test]
fn records_are_never_exchanged_or_lost_quietly() {
    let (fs, whole) = written();
    let paths = files(&fs, ".log");
    let contents: Vec<Vec<u8>> = paths.iter().map(|path| fs.content(path).unwrap()).collect();
    let (mut refused, mut cut, mut met) = (0, 0, 0);
    for (n, path) in paths.iter().enumerate().filter(|(n, _)| n % 3 != 1) {
        let is_last = n + 1 == paths.len();
        for (name, bad) in damages(&contents[n], &contents, &[0x11]) {
            for (clean, point) in starts(whole.end) {
                let what = format!("{} {name}, clean {clean}, recovery point {point}", path.display());
                match open_damaged(&fs, path, bad.as_deref(), clean, point, CorruptionPolicy::Refuse) {
                    Err(OpenError::Corrupt { .. }) => {
                        // The epoch file says that there was a first segment.
                        let is_missed = n == 0 && bad.is_none();
                        assert!(point > 0 || is_missed, "{what}: nothing was flushed");
                        refused += 1;
                    }
                    Err(e) => panic!("{what}: {e}"),
                    Ok((log, report)) => {
                        let end = log.log_end_offset().0;
                        assert!(end >= point && end <= whole.end, "{what}: {end}, {report:?}");
                        cut += usize::from(report.cut.is_some());
                        met += gives_no_other_records(&log, &whole, &what);
                        if is_last && clean {
                            assert_eq!(end, whole.end, "{what}");
                        }
                    }
                }
            }
            // A follower takes the damaged log and says what it lost.
            let opened = open_damaged(
                &fs,
                path,
                bad.as_deref(),
                false,
                whole.end,
                CorruptionPolicy::Truncate,
            );
            let (log, report) = opened.unwrap_or_else(|e| panic!("{name}: {e}"));
            assert_eq!(report.lost_flushed, log.log_end_offset().0 < whole.end, "{name}");
            gives_no_other_records(&log, &whole, &name);
        }
    }
    assert!(refused > 100 && cut > 100 && met > 100, "{refused} {cut} {met}");
}

#[test]
fn a_directory_that_lost_all_its_segments_is_refused() {
    let (fs, whole) = written();
    for kind in [".log", ".index", ".timeindex"] {
        files(&fs, kind)
            .iter()
            .for_each(|path| fs.remove_file(path).unwrap());
    }
    for clean in [true, false] {
        let open = |corruption| {
            PartitionLog::open(OpenOptions {
                clean,
                recovery_point: Offset(whole.end),
                corruption,
                ..options(&fs.copied(), &config())
            })
        };
        assert!(
            matches!(open(CorruptionPolicy::Refuse), Err(OpenError::Corrupt { .. })),
            "clean {clean}"
        );
        let (log, report) = open(CorruptionPolicy::Truncate).unwrap();
        assert_eq!((log.log_end_offset(), report.lost_flushed), (Offset(0), true));
    }
}

/// A recovery floor that does not say a number lets nothing be trusted.
#[test]
fn a_damaged_floor_holds_everything_back() {
    let (fs, whole) = written();
    let path = files(&fs, ".log").pop().unwrap();
    let mut bytes = fs.content(&path).unwrap();
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    fs.overwrite(&path, &bytes);
    for (floor, is_cut) in [(&b"junk"[..], true), (b"", true), (b"9999\n", false)] {
        let disk = fs.copied();
        disk.overwrite(&file("recovery-floor"), floor);
        let opened = open_at(&disk, &config(), Offset(whole.end));
        let cut = opened.is_ok_and(|(_, report)| report.cut.is_some());
        assert_eq!(cut, is_cut, "{floor:?}");
    }
}

//! Damage that only shows together with something else: holes of compaction, a leader that has the records, no sums.

use crate::support::*;
use crate::transactions::marker;
use milena_log::env::{Fault, FaultyFileSystem, FileSystem, Survival};
use milena_log::{
    AppendContext, AppendError, AppendOrigin, CorruptionPolicy, LogConfig, OpenError, OpenOptions,
    PartitionLog,
};
use milena_record::control::ControlRecord;
use milena_record::{crc32c, stamp};
use milena_types::{LeaderEpoch, Offset, Timestamp};

fn log_file(fs: &FaultyFileSystem) -> std::path::PathBuf {
    let is_log = |path: &std::path::PathBuf| path.extension().is_some_and(|e| e == "log");
    fs.paths().into_iter().rfind(is_log).unwrap()
}

/// A follower's log with holes: batches of two records at 0, 10, 20 …, flushed.
fn holed(batches: i64) -> (FaultyFileSystem, usize) {
    let fs = disk();
    let (mut log, _) = open(&fs, &LogConfig::default());
    let mut size = 0;
    for i in 0..batches {
        let mut bytes = batch(&["a", "b"]);
        stamp(&mut bytes, Offset(10 * i), LeaderEpoch(0));
        size = bytes.len();
        let from = log.log_end_offset();
        log.append_as_follower_from(from, bytes.freeze(), LeaderEpoch(0), Timestamp(0))
            .unwrap();
    }
    flush(&mut log);
    (fs, size)
}

/// With holes an offset may jump; the batch that jumped too far is found out by the next one, and is what is refused.
#[test]
fn a_wrong_base_offset_in_a_log_with_holes_does_not_pass_for_its_end() {
    for (batch, trusted) in [(2_usize, 32), (3, 32), (3, 60)] {
        let (fs, size) = holed(7);
        let path = log_file(&fs);
        let mut bytes = fs.content(&path).unwrap();
        bytes[batch * size + 5] ^= 1;
        fs.overwrite(&path, &bytes);
        let at = |corruption| {
            PartitionLog::open(OpenOptions {
                recovery_point: Offset(trusted),
                corruption,
                ..options(&fs.copied(), &LogConfig::default())
            })
        };
        let refused = at(CorruptionPolicy::Refuse);
        assert!(
            matches!(refused, Err(OpenError::Corrupt { .. })),
            "{batch} {trusted}"
        );
        let (log, report) = at(CorruptionPolicy::Truncate).unwrap();
        assert_eq!(
            (log.log_end_offset().0, report.lost_flushed),
            (10 * (batch as i64 - 1) + 2, true),
            "{batch} {trusted}"
        );
    }
}

/// An offset that no index could name is damage, with holes or without.
#[test]
fn an_offset_out_of_the_range_of_its_segment_is_cut() {
    let (fs, size) = holed(4);
    let path = log_file(&fs);
    let mut bytes = fs.content(&path).unwrap();
    bytes[3 * size + 2] ^= 1;
    fs.overwrite(&path, &bytes);
    let (log, report) = open(&fs, &LogConfig::default());
    assert_eq!(log.log_end_offset(), Offset(22));
    assert!(report.cut.unwrap().reason.contains("out of the segment's range"));
}

/// Whatever follows the last batch, it is no reason to doubt that one.
#[test]
fn a_torn_tail_of_a_log_with_holes_costs_no_whole_batch() {
    let (fs, size) = holed(4);
    let path = log_file(&fs);
    let whole = fs.content(&path).unwrap();
    let mut stale = whole[2 * size..3 * size].to_vec();
    stale[12..16].copy_from_slice(&(-1_i32).to_be_bytes());
    for junk in [&whole[..30], &whole[..size - 1], &[0; 100], &stale] {
        fs.overwrite(&path, &[&whole[..], junk].concat());
        for trusted in [0, 31, 32] {
            let (log, report) = open_at(&fs.copied(), &LogConfig::default(), Offset(trusted)).unwrap();
            assert_eq!(
                log.log_end_offset(),
                Offset(32),
                "{} bytes, {trusted}",
                junk.len()
            );
            assert_eq!(report.cut.unwrap().bytes, junk.len() as u64);
        }
    }
}

#[test]
fn a_log_that_was_cut_below_its_recovery_point_opens_again_before_the_next_checkpoint() {
    let fs = disk();
    let (mut log, _) = open(&fs, &LogConfig::default());
    for _ in 0..6 {
        append(&mut log, &["a", "b"]);
    }
    flush(&mut log);
    let path = log_file(&fs);
    let bytes = fs.content(&path).unwrap();
    fs.overwrite(&path, &bytes[..bytes.len() / 2]);
    let at = |corruption| {
        PartitionLog::open(OpenOptions {
            recovery_point: Offset(12),
            corruption,
            ..options(&fs, &LogConfig::default())
        })
    };
    assert!(matches!(
        at(CorruptionPolicy::Refuse),
        Err(OpenError::Corrupt { .. })
    ));
    let (log, report) = at(CorruptionPolicy::Truncate).unwrap();
    assert_eq!((log.log_end_offset(), report.lost_flushed), (Offset(6), true));
    let (log, report) = at(CorruptionPolicy::Refuse).unwrap();
    assert_eq!((log.log_end_offset(), report.lost_flushed), (Offset(6), false));
}

/// Three aborted transactions in the first segment, and more segments.
fn with_aborts() -> (FaultyFileSystem, std::path::PathBuf) {
    let fs = disk();
    let (mut log, _) = open(&fs, &small());
    for i in 0..3 {
        try_append(&mut log, produced(1, 0, i, 1, true)).unwrap();
        marker(&mut log, ControlRecord::Abort, 1, 0, 0, false).unwrap();
    }
    while log.segments() < 3 {
        append(&mut log, &["a", "b", "c"]);
    }
    log.close().unwrap();
    (fs, file("00000000000000000000.txnindex"))
}

fn firsts(log: &PartitionLog) -> Result<Vec<i64>, String> {
    let found = log.aborted_transactions(Offset(0), Offset(6));
    found
        .map(|found| found.iter().map(|txn| txn.first_offset.0).collect())
        .map_err(|e| e.to_string())
}

/// Kafka writes no sums: then order and ranges are what is looked at.
#[test]
fn without_sums_a_transaction_index_out_of_order_is_rebuilt() {
    for damage in [0, 1, 2] {
        let (fs, path) = with_aborts();
        fs.remove_file(&file("txn-index-checkpoint")).unwrap();
        let mut bytes = fs.content(&path).unwrap();
        match damage {
            0 => bytes[18] ^= 1,
            1 => bytes.truncate(50),
            _ => bytes.copy_within(34..68, 0),
        }
        fs.overwrite(&path, &bytes);
        let clean = OpenOptions {
            clean: true,
            ..options(&fs, &small())
        };
        let (log, report) = PartitionLog::open(clean).unwrap();
        assert_eq!(
            (report.txn_indexes_rebuilt, firsts(&log)),
            (1, Ok(vec![0, 2, 4])),
            "{damage}"
        );
    }
}

#[test]
fn a_transaction_index_that_changes_beneath_a_log_is_not_believed() {
    let (fs, path) = with_aborts();
    let clean = OpenOptions {
        clean: true,
        ..options(&fs, &small())
    };
    let (log, _) = PartitionLog::open(clean).unwrap();
    assert_eq!(firsts(&log), Ok(vec![0, 2, 4]));
    let good = fs.content(&path).unwrap();
    let mut bad = good.clone();
    bad[17] ^= 1;
    for bad in [&bad[..], &good[..34], &[]] {
        fs.overwrite(&path, bad);
        assert!(firsts(&log).is_err(), "{} bytes", bad.len());
    }
}

/// One read of many batches: all of those before a batch that is out of its place, and then an error.
#[test]
fn a_read_ends_before_a_batch_that_is_out_of_its_place() {
    let fs = disk();
    let (mut log, _) = open(&fs, &LogConfig::default());
    let size = append(&mut log, &["a", "b"]).bytes.len();
    for _ in 0..4 {
        append(&mut log, &["a", "b"]);
    }
    log.close().unwrap();
    let path = log_file(&fs);
    let whole = fs.content(&path).unwrap();
    for (at, flip) in [(3 * size + 7, 2), (3 * size + 3, 1), (3 * size + 16, 1)] {
        let mut bytes = whole.clone();
        bytes[at] ^= flip;
        fs.overwrite(&path, &bytes);
        let clean = OpenOptions {
            clean: true,
            ..options(&fs, &LogConfig::default())
        };
        // The end is found by the index and what follows it: there is no index here, so that the damage is met at once.
        let recovered = PartitionLog::open(clean).unwrap().0;
        assert_eq!(recovered.log_end_offset(), Offset(6), "{at}");
        fs.overwrite(&path, &whole);
        let (log, _) = open(&fs, &LogConfig::default());
        fs.overwrite(&path, &bytes);
        let read = |from| log.read(Offset(from), 1 << 20, Offset(10), true);
        let first = read(0).unwrap();
        assert_eq!(
            (first.records.len(), first.next_offset),
            (3 * size, Offset(6)),
            "{at}"
        );
        assert!(read(6).is_err(), "{at}");
        fs.overwrite(&path, &whole);
    }
}

/// The batch before the damage is damaged too, in what only its checksum says.
#[test]
fn after_certain_damage_everything_is_checked() {
    let fs = disk();
    let (mut log, _) = open(&fs, &LogConfig::default());
    let size = append(&mut log, &["a", "b"]).bytes.len();
    for _ in 0..4 {
        append(&mut log, &["a", "b"]);
    }
    flush(&mut log);
    let path = log_file(&fs);
    let mut bytes = fs.content(&path).unwrap();
    bytes[3 * size - 1] ^= 1;
    bytes[3 * size + 16] ^= 1;
    fs.overwrite(&path, &bytes);
    for corruption in [CorruptionPolicy::Truncate, CorruptionPolicy::Refuse] {
        let (log, _) = PartitionLog::open(OpenOptions {
            recovery_point: Offset(10),
            corruption,
            ..options(&fs, &LogConfig::default())
        })
        .unwrap();
        assert_eq!(log.log_end_offset(), Offset(4));
    }
}

/// Recovery leaves the right index behind, before anybody reads.
#[test]
fn a_wrong_entry_of_a_scanned_index_is_written_again() {
    let fs = disk();
    let (mut log, _) = open(
        &fs,
        &LogConfig {
            segment_bytes: 4000,
            ..small()
        },
    );
    for _ in 0..60 {
        append(&mut log, &["a", "b"]);
    }
    log.close().unwrap();
    for name in ["00000000000000000000.index", "00000000000000000000.timeindex"] {
        let good = fs.content(&file(name)).unwrap();
        let mut bad = good.clone();
        bad[if name.ends_with("timeindex") { 11 } else { 15 }] ^= 1;
        fs.overwrite(&file(name), &bad);
        open(&fs, &small());
        assert!(fs.content(&file(name)) == Some(good), "{name}");
    }
}

/// Bytes behind an index must not shift the entries that are appended, nor a wrong last entry stay before them.
#[test]
fn a_damaged_index_is_not_gone_on_with() {
    let written = |damage: &dyn Fn(&mut Vec<u8>)| {
        let fs = disk();
        let config = LogConfig {
            segment_bytes: 20_000,
            ..small()
        };
        let (mut log, _) = open(&fs, &config);
        (0..30).for_each(|_| drop(append(&mut log, &["a", "b"])));
        log.close().unwrap();
        let names = ["00000000000000000000.index", "00000000000000000000.timeindex"].map(file);
        for name in &names {
            let mut bytes = fs.content(name).unwrap();
            damage(&mut bytes);
            fs.overwrite(name, &bytes);
        }
        let clean = OpenOptions {
            clean: true,
            ..options(&fs, &config)
        };
        let (mut log, _) = PartitionLog::open(clean).unwrap();
        (0..30).for_each(|i| drop(try_append(&mut log, batch_at(2000 + i, &["a", "b"])).unwrap()));
        log.close().unwrap();
        names.map(|name| fs.content(&name))
    };
    let good = written(&|_| ());
    assert!(written(&|bytes| bytes.extend([0xff; 3])) == good);
    assert!(written(&|bytes| bytes.extend([0xff; 8])) == good);
    let last_offset = |bytes: &mut Vec<u8>| {
        let at = bytes.len() - 5;
        bytes[at] += 1;
    };
    assert!(written(&last_offset) == good, "the offset of the last entry");
}

#[test]
fn a_log_whose_torn_append_could_not_be_undone_takes_no_more() {
    let fs = disk();
    let (mut log, _) = open(&fs, &LogConfig::default());
    append(&mut log, &["a"]);
    fs.inject(Fault::NoSpaceAtWrite(1));
    fs.inject(Fault::SyncFails(1));
    let Err(AppendError::Log(error)) = try_append(&mut log, batch(&["torn"])) else {
        panic!("it was appended");
    };
    assert!(log.is_failed());
    assert!(!error.is_no_space(), "what failed for good is the flush: {error}");
    assert!(
        try_append(&mut log, batch(&["b"])).is_err(),
        "it would lie behind the torn one"
    );
    let (mut log, _) = open(&fs.copied(), &LogConfig::default());
    append(&mut log, &["b"]);
    assert_eq!(dump(&log, 1).len(), 2);
}

/// Of a coordinator's batches the records are not walked: the header must be right by itself.
#[test]
fn a_coordinators_batch_that_miscounts_its_records_is_refused() {
    let fs = disk();
    let (mut log, _) = open(&fs, &LogConfig::default());
    let context = AppendContext {
        origin: AppendOrigin::Coordinator {
            marker_epoch_must_grow: false,
        },
        ..ctx(0)
    };
    for (at, count) in [(57, 3_u8), (23, 2)] {
        let mut bytes = batch(&["a", "b"]);
        bytes[at + 3] = count;
        let crc = crc32c(&bytes[21..]).to_be_bytes();
        bytes[17..21].copy_from_slice(&crc);
        assert!(log.append_as_leader(bytes, &context).is_err(), "byte {at}");
    }
    log.append_as_leader(batch(&["a", "b"]), &context).unwrap();
}

/// Recovery does not look at the end of a closed segment below the recovery point, so no torn bytes may come back there.
#[test]
fn a_torn_append_at_the_end_of_a_closed_segment_does_not_come_back() {
    for seed in 0..60 {
        let fs = disk();
        let (mut log, _) = open(&fs, &small());
        append(&mut log, &["a", "b"]);
        flush(&mut log);
        let size = log.size_bytes();
        fs.inject(Fault::NoSpaceAtWrite(1));
        assert!(try_append(&mut log, batch(&["torn"; 10])).is_err());
        append(&mut log, &["a long value, so that another segment begins"; 9]);
        assert_eq!(log.segments(), 2);
        let crashed = fs.after_crash(Survival::Random(seed));
        open_at(&crashed, &small(), Offset(2)).unwrap();
        let first = crashed.content(&file("00000000000000000000.log")).unwrap();
        assert_eq!(first.len() as u64, size, "seed {seed}");
    }
}

/// A second truncation, before a checkpoint was written: what the first floor held back is not trusted again.
#[test]
fn a_second_truncation_trusts_no_more_than_the_first() {
    for budget in 1..160 {
        let fs = disk();
        let (mut log, _) = open(&fs, &LogConfig::default());
        (0..6).for_each(|_| drop(append(&mut log, &["a", "b"])));
        flush(&mut log);
        log.on_recovery_point_saved(Offset(12));
        log.truncate_to(Offset(8)).unwrap();
        (0..3).for_each(|_| drop(log.append_as_leader(batch(&["c", "d"]), &ctx(1)).unwrap()));
        drop(log);
        let killed = fs.copied();
        let (mut log, _) = open_at(&killed, &LogConfig::default(), Offset(12)).unwrap();
        killed.die_after(budget);
        let _ = log.truncate_to(Offset(12));
        drop(log);
        for survival in [Survival::NothingUnsynced, Survival::Random(budget)] {
            let opened = open_at(&killed.after_crash(survival), &LogConfig::default(), Offset(12));
            let (log, _) = opened.unwrap_or_else(|e| panic!("{budget} {survival:?}: {e}"));
            assert!(log.log_end_offset() >= Offset(8), "{budget} {survival:?}");
            let whole = [
                "a", "b", "a", "b", "a", "b", "a", "b", "c", "d", "c", "d", "c", "d",
            ];
            let found: Vec<String> = dump(&log, 1).into_iter().map(|(_, value)| value).collect();
            assert!(
                whole.starts_with(&found.iter().map(String::as_str).collect::<Vec<_>>()),
                "{budget} {survival:?}: {found:?}"
            );
        }
    }
}

/// A log in one segment whose records have the timestamps 1000, 1001 …, closed; and the name of one of its indexes.
fn indexed(kind: &str) -> (FaultyFileSystem, LogConfig, std::path::PathBuf) {
    let fs = disk();
    let config = LogConfig {
        segment_bytes: 20_000,
        ..small()
    };
    let (mut log, _) = open(&fs, &config);
    (0..60).for_each(|i| drop(try_append(&mut log, batch_at(1000 + 2 * i, &["a", "b"])).unwrap()));
    log.close().unwrap();
    (fs, config, file(&format!("00000000000000000000.{kind}")))
}

fn number(bytes: &[u8], at: usize) -> i64 {
    i64::from(u32::from_be_bytes(bytes[at..at + 4].try_into().unwrap()))
}

/// The first offset index entry that a search uses is compared with its batch.
#[test]
fn a_search_by_time_does_not_begin_behind_the_log_start() {
    let (fs, config, path) = indexed("index");
    let mut bytes = fs.content(&path).unwrap();
    let start = number(&bytes, 40) - 3;
    bytes[40..44].copy_from_slice(&(start as u32).to_be_bytes());
    fs.overwrite(&path, &bytes);
    let clean = OpenOptions {
        clean: true,
        log_start_offset: Offset(start),
        ..options(&fs, &config)
    };
    let (log, _) = PartitionLog::open(clean).unwrap();
    let found = log.offset_for_timestamp(Timestamp(0), Offset(120)).unwrap();
    assert_eq!(found.map(|found| found.offset), Some(Offset(start)));
}

/// An entry that claims too much, up to the next one: the batch that it names has another timestamp.
#[test]
fn a_time_entry_that_claims_too_much_is_not_believed() {
    let (fs, config, path) = indexed("timeindex");
    let mut bytes = fs.content(&path).unwrap();
    let (own, next) = (number(&bytes, 44), number(&bytes, 56));
    bytes[44..48].copy_from_slice(&(next as u32).to_be_bytes());
    fs.overwrite(&path, &bytes);
    let clean = OpenOptions {
        clean: true,
        ..options(&fs, &config)
    };
    let (log, _) = PartitionLog::open(clean).unwrap();
    let timestamp = Timestamp(1000 + own + 1);
    let found = log.offset_for_timestamp(timestamp, Offset(120)).unwrap();
    assert_eq!(found.map(|found| found.offset), Some(Offset(own + 1)));
}

/// A log of two closed segments with some batches between the entries of their indexes, and the first one's offset index.
fn sparsely_indexed() -> (FaultyFileSystem, LogConfig, std::path::PathBuf) {
    let fs = disk();
    let config = LogConfig {
        segment_bytes: 3_000,
        index_interval_bytes: 400,
        ..small()
    };
    let (mut log, _) = open(&fs, &config);
    (0..100).for_each(|_| drop(append(&mut log, &["a", "b"])));
    assert!(log.segments() > 2);
    log.close().unwrap();
    (fs, config, file("00000000000000000000.index"))
}

fn put(bytes: &mut [u8], at: usize, number: i64) {
    bytes[at..at + 4].copy_from_slice(&u32::try_from(number).unwrap().to_be_bytes());
}

/// The index says that a batch begins where a later one does: what lies between would be left out of a read.
#[test]
fn a_read_does_not_begin_behind_its_batch() {
    let (fs, config, path) = sparsely_indexed();
    let mut bytes = fs.content(&path).unwrap();
    let (delta, position, next) = (number(&bytes, 8), number(&bytes, 12), number(&bytes, 20));
    let size = (next - position) / ((number(&bytes, 16) - delta) / 2);
    assert!(position + 2 * size < next, "the entries stay in order");
    put(&mut bytes, 12, position + 2 * size);
    fs.overwrite(&path, &bytes);
    let clean = OpenOptions {
        clean: true,
        ..options(&fs, &config)
    };
    let (log, _) = PartitionLog::open(clean).unwrap();
    let read = log
        .read(Offset(delta + 1), 1 << 20, log.log_end_offset(), true)
        .unwrap();
    let (first, _) = milena_record::batches(&read.records).next().unwrap().unwrap();
    assert_eq!(first.base_offset, Offset(delta + 1));
}

/// An offset index that is out of order, or whose last entry names another batch, is written anew when its segment is used,
/// whatever is read of it.
#[test]
fn an_offset_index_that_is_wrong_is_written_again() {
    let swapped = |bytes: &mut Vec<u8>| (8..16).for_each(|at| bytes.swap(at, at + 8));
    let another = |bytes: &mut Vec<u8>| {
        let last = bytes.len() - 8;
        let delta = number(bytes, last);
        put(bytes, last, delta + 1);
    };
    for damage in [&swapped as &dyn Fn(&mut Vec<u8>), &another] {
        let (fs, config, path) = sparsely_indexed();
        let good = fs.content(&path).unwrap();
        assert!(good.len() >= 32);
        let mut bad = good.clone();
        damage(&mut bad);
        fs.overwrite(&path, &bad);
        let clean = OpenOptions {
            clean: true,
            ..options(&fs, &config)
        };
        let (log, _) = PartitionLog::open(clean).unwrap();
        log.read(Offset(0), 100, log.log_end_offset(), true).unwrap();
        assert_eq!(fs.content(&path), Some(good));
    }
}

#[test]
fn a_snapshot_is_of_the_records_below_it() {
    let fs = disk();
    let (mut log, _) = open(&fs, &LogConfig::default());
    (0..5).for_each(|i| drop(try_append(&mut log, produced(1, 0, 2 * i, 2, false)).unwrap()));
    let state = log.active_producers();
    assert!(state.clone().lies_below(Offset(10)).is_ok());
    for offset in [0, 5, 9] {
        assert!(state.clone().lies_below(Offset(offset)).is_err(), "{offset}");
    }
}

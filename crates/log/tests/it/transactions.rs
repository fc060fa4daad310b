//! Open and aborted transactions.

use crate::support::*;
use milena_log::env::{Fault, FileSystem};
use milena_log::{AppendContext, AppendError, AppendOrigin, LogConfig, PartitionLog};
use milena_record::control::ControlRecord;
use milena_types::{ErrorCode, LeaderEpoch, Offset, ProducerEpoch, ProducerId, Timestamp};

pub(crate) fn marker(
    log: &mut PartitionLog,
    kind: ControlRecord,
    id: i64,
    epoch: i16,
    coordinator: i32,
    tv2: bool,
) -> Result<Offset, AppendError> {
    let batch = kind.batch(
        Offset(0),
        Timestamp(2000),
        (ProducerId(id), ProducerEpoch(epoch)),
        coordinator,
    );
    let origin = AppendOrigin::Coordinator {
        marker_epoch_must_grow: tv2,
    };
    let ctx = AppendContext {
        epoch: LeaderEpoch(0),
        now: Timestamp(2000),
        origin,
    };
    log.append_as_leader(batch, &ctx)
        .map(|appended| appended.range.from)
}

fn send(log: &mut PartitionLog, id: i64, sequence: i32) -> i64 {
    try_append(log, produced(id, 0, sequence, 1, true))
        .unwrap()
        .range
        .from
        .0
}

#[test]
fn the_last_stable_offset_waits_for_markers_and_for_the_high_watermark() {
    let fs = disk();
    let (mut log, _) = open(&fs, &LogConfig::default());
    append(&mut log, &["x"]);
    assert_eq!(log.first_unstable_offset(), None);
    assert_eq!(send(&mut log, 1, 0), 1);
    assert_eq!(send(&mut log, 2, 0), 2);
    assert_eq!(log.first_unstable_offset(), Some(Offset(1)));
    assert_eq!(
        marker(&mut log, ControlRecord::Commit, 1, 0, 0, false).unwrap(),
        Offset(3)
    );
    log.on_high_watermark(Offset(3));
    assert_eq!(
        log.first_unstable_offset(),
        Some(Offset(1)),
        "the marker is not replicated yet"
    );
    log.on_high_watermark(Offset(4));
    assert_eq!(log.first_unstable_offset(), Some(Offset(2)));
    marker(&mut log, ControlRecord::Abort, 2, 0, 0, false).unwrap();
    log.on_high_watermark(Offset(5));
    assert_eq!(log.first_unstable_offset(), None);
}

fn aborted(log: &PartitionLog, from: i64, upper: i64) -> Vec<(i64, i64)> {
    let found = log.aborted_transactions(Offset(from), Offset(upper)).unwrap();
    found
        .iter()
        .map(|a| (a.producer_id.0, a.first_offset.0))
        .collect()
}

#[test]
fn aborted_transactions_are_listed_for_the_ranges_they_touch_and_survive_restarts() {
    for clean in [true, false] {
        let fs = disk();
        let (mut log, _) = open(&fs, &small());
        for round in 0..10 {
            assert_eq!(send(&mut log, 1, round * 2), i64::from(round) * 6);
            send(&mut log, 1, round * 2 + 1);
            send(&mut log, 2, round);
            append(&mut log, &["plain"]);
            let kind = if round % 2 == 0 {
                ControlRecord::Abort
            } else {
                ControlRecord::Commit
            };
            marker(&mut log, kind, 1, 0, 0, false).unwrap();
            marker(&mut log, ControlRecord::Commit, 2, 0, 0, false).unwrap();
        }
        let check = |log: &PartitionLog| {
            assert_eq!(aborted(log, 0, 60), [(1, 0), (1, 12), (1, 24), (1, 36), (1, 48)]);
            assert_eq!(aborted(log, 0, 1), [(1, 0)]);
            assert_eq!(aborted(log, 4, 12), [(1, 0)], "the marker lies in the range");
            assert_eq!(aborted(log, 5, 12), []);
            assert_eq!(aborted(log, 13, 60), [(1, 12), (1, 24), (1, 36), (1, 48)]);
        };
        check(&log);
        if clean {
            log.close().unwrap();
        }
        drop(log);
        let (mut log, _) = PartitionLog::open(milena_log::OpenOptions {
            clean,
            ..options(&fs, &small())
        })
        .unwrap();
        check(&log);
        log.on_high_watermark(Offset(28));
        log.truncate_to(Offset(28)).unwrap();
        assert_eq!(aborted(&log, 0, 60), [(1, 0), (1, 12)]);
        assert_eq!(
            log.first_unstable_offset(),
            Some(Offset(24)),
            "the cut marker leaves its transaction open"
        );
    }
}

#[test]
fn markers_obey_epochs() {
    let fs = disk();
    let (mut log, _) = open(&fs, &LogConfig::default());
    try_append(&mut log, produced(1, 5, 0, 1, true)).unwrap();
    let code = |result: Result<Offset, AppendError>| result.map_or_else(|e| e.code(), |_| ErrorCode::None);
    assert_eq!(
        code(marker(&mut log, ControlRecord::Commit, 1, 4, 7, false)),
        ErrorCode::InvalidProducerEpoch
    );
    assert_eq!(
        code(marker(&mut log, ControlRecord::Commit, 1, 5, 7, true)),
        ErrorCode::InvalidProducerEpoch,
        "TV2 bumps"
    );
    assert_eq!(
        code(marker(&mut log, ControlRecord::Commit, 1, 6, 7, true)),
        ErrorCode::None
    );
    assert_eq!(
        code(marker(&mut log, ControlRecord::Commit, 1, 6, 7, true)),
        ErrorCode::None,
        "a retry is harmless"
    );
    assert_eq!(
        code(marker(&mut log, ControlRecord::Commit, 1, 6, 6, false)),
        ErrorCode::TransactionCoordinatorFenced
    );
    assert_eq!(
        code(try_append(&mut log, produced(1, 5, 1, 1, true)).map(|a| a.range.from)),
        ErrorCode::InvalidProducerEpoch
    );
}

#[test]
fn a_record_outside_the_open_transaction_is_refused() {
    let fs = disk();
    let (mut log, _) = open(&fs, &LogConfig::default());
    send(&mut log, 1, 0);
    let error = try_append(&mut log, produced(1, 0, 1, 1, false)).unwrap_err();
    assert_eq!(error.code(), ErrorCode::InvalidTxnState);
}

#[test]
fn an_open_transaction_survives_in_the_snapshot() {
    let fs = disk();
    let (mut log, _) = open(&fs, &small());
    append(&mut log, &["x"]);
    send(&mut log, 1, 0);
    log.close().unwrap();
    let (log, report) = PartitionLog::open(milena_log::OpenOptions {
        clean: true,
        ..options(&fs, &small())
    })
    .unwrap();
    assert_eq!(
        (log.first_unstable_offset(), report.producers_replayed_from),
        (Some(Offset(1)), None)
    );
}

/// The recovery point may be ahead of an abort whose entry is lost. What a start finds out is on disk before anybody relies
/// on it: the next segment may begin behind it, and then no recovery looks there.
#[test]
fn an_index_that_a_recovery_writes_is_durable() {
    let fs = disk();
    let (mut log, _) = open(&fs, &LogConfig::default());
    try_append(&mut log, produced(1, 0, 0, 1, true)).unwrap();
    marker(&mut log, ControlRecord::Abort, 1, 0, 1, false).unwrap();
    flush(&mut log);
    drop(log);
    let name = file("00000000000000000000.txnindex");
    let entry = fs.content(&name).unwrap();
    fs.remove_file(&name).unwrap();
    let (log, _) = open_at(&fs, &LogConfig::default(), Offset(2)).unwrap();
    assert_eq!(aborted(&log, 0, 2), [(1, 0)]);
    let lost = fs.after_crash(milena_log::env::Survival::NothingUnsynced);
    assert_eq!(lost.content(&name), Some(entry));
}

/// A snapshot lies where its segment begins, and the log may start behind it.
#[test]
fn a_marker_below_the_log_start_ends_its_transaction_after_a_truncation_too() {
    let fs = disk();
    let (mut log, _) = open(&fs, &small());
    try_append(&mut log, produced(1, 0, 0, 1, true)).unwrap();
    log.roll(Timestamp(1_000_000)).unwrap();
    marker(&mut log, ControlRecord::Commit, 1, 0, 0, false).unwrap();
    append(&mut log, &["a"]);
    append(&mut log, &["b"]);
    log.on_high_watermark(Offset(3));
    log.set_log_start_offset(Offset(2));
    log.truncate_to(Offset(3)).unwrap();
    assert_eq!(
        (log.log_end_offset(), log.first_unstable_offset()),
        (Offset(3), None)
    );
}

/// The marker's own append makes a snapshot due, and its entry finds no place in the index: a recovery that began at that
/// snapshot would not look at the marker again.
#[test]
fn an_abort_that_is_in_no_index_stays_ahead_of_the_snapshots() {
    const SNAPSHOT_INTERVAL: u64 = 64 << 20;
    let faults = [1, 2].map(|nth| [Fault::TooManyOpen(nth), Fault::NoSpaceAtCreate(nth)]);
    let mut waited = 0;
    for fault in faults.into_iter().flatten() {
        let fs = disk();
        let (mut log, _) = open(&fs, &LogConfig::default());
        try_append(&mut log, produced(1, 0, 0, 1, true)).unwrap();
        let large = "x".repeat(1_000_000);
        while log.size_bytes() + 1_001_000 < SNAPSHOT_INTERVAL {
            append(&mut log, &[&large]);
        }
        let rest = usize::try_from(SNAPSHOT_INTERVAL - log.size_bytes() - 300).unwrap();
        append(&mut log, &["x".repeat(rest).as_str()]);
        while log.size_bytes() + 70 < SNAPSHOT_INTERVAL {
            append(&mut log, &["y"]);
        }
        assert!(files(&fs, ".snapshot").is_empty(), "too early");
        fs.inject(fault);
        marker(&mut log, ControlRecord::Abort, 1, 0, 1, false).unwrap();
        fs.disarm();
        waited += usize::from(files(&fs, ".txnindex").is_empty());
        assert!(log.size_bytes() >= SNAPSHOT_INTERVAL, "too late");
        flush(&mut log);
        let end = log.log_end_offset();
        assert_eq!(log.recovery_point(), end);
        assert_eq!(aborted(&log, 0, end.0), [(1, 0)], "{fault:?}");
        let (again, _) = open_at(&fs.copied(), &LogConfig::default(), end).unwrap();
        assert_eq!(aborted(&again, 0, end.0), [(1, 0)], "{fault:?}: after a crash");
    }
    assert!(waited > 0, "no fault has met the index");
}

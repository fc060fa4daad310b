//! A disk that is full: an append happens or does not, and goes on when there is space again.

use crate::support::*;
use crate::transactions::marker;
use milena_log::env::{Fault, FaultyFileSystem, Survival};
use milena_log::{AppendError, LogConfig, PartitionLog};
use milena_record::control::ControlRecord;
use milena_types::{Offset, ProducerId};

const STEPS: i32 = 40;

/// One append of a life with transactions that are aborted, plain records and many rolls.
fn step(log: &mut PartitionLog, number: i32) -> Result<(), AppendError> {
    match number % 4 {
        0 => try_append(log, produced(1, 0, number / 4, 1, true)).map(drop),
        1 => try_append(log, batch(&["plain"])).map(drop),
        2 => marker(log, ControlRecord::Abort, 1, 0, 0, false).map(drop),
        _ => try_append(log, batch(&["more", "of it"])).map(drop),
    }
}

fn aborted(log: &PartitionLog) -> Vec<(ProducerId, Offset)> {
    let found = log.aborted_transactions(Offset(0), log.log_end_offset()).unwrap();
    found
        .iter()
        .map(|txn| (txn.producer_id, txn.first_offset))
        .collect()
}

/// Lives with one fault; gives true when it came.
fn life(fault: Fault, expected: &[(i64, String)], aborts: &[(ProducerId, Offset)]) -> bool {
    let fs = disk();
    let (mut log, _) = open(&fs, &small());
    fs.inject(fault);
    let mut came = false;
    for number in 0..STEPS {
        let (end, known) = (log.log_end_offset(), aborted(&log));
        if let Err(error) = step(&mut log, number) {
            let AppendError::Log(cause) = &error else {
                panic!("{fault:?}, step {number}: {error}");
            };
            assert!(cause.is_no_space(), "{fault:?}, step {number}: {error}");
            came = true;
            assert_eq!(
                log.log_end_offset(),
                end,
                "{fault:?}, step {number}: nothing was appended"
            );
            assert_eq!(aborted(&log), known);
            assert!(!log.is_failed());
            if number % 8 < 4 {
                // A crash right now leaves what was there before.
                check_crash(
                    &fs,
                    end,
                    &expected[..end.0 as usize],
                    &format!("{fault:?}, step {number}"),
                );
            }
            if number % 3 == 0 {
                // It goes on in the old segment after all: nothing of the attempt may be in the way later.
                log.set_config(std::sync::Arc::new(LogConfig::default()));
                step(&mut log, number).unwrap();
                let end = log.log_end_offset();
                check_crash(
                    &fs,
                    end,
                    &expected[..end.0 as usize],
                    &format!("{fault:?}, after step {number}"),
                );
                log.set_config(std::sync::Arc::new(small()));
                continue;
            }
            step(&mut log, number).unwrap();
        }
    }
    assert_eq!(dump(&log, 1), expected, "{fault:?}");
    assert_eq!(aborted(&log), aborts, "{fault:?}");
    check_crash(
        &fs,
        log.log_end_offset(),
        expected,
        &format!("{fault:?}, at the end"),
    );
    // Whatever of it has not come comes no more.
    fs.disarm();
    flush(&mut log);
    log.close().unwrap();
    let (log, _) = PartitionLog::open(milena_log::OpenOptions {
        clean: true,
        ..options(&fs, &small())
    })
    .unwrap();
    assert_eq!(
        (dump(&log, 1), aborted(&log)),
        (expected.to_vec(), aborts.to_vec())
    );
    came
}

fn check_crash(fs: &FaultyFileSystem, end: Offset, expected: &[(i64, String)], what: &str) {
    let (log, _) = open(&fs.after_crash(Survival::ProcessKilled), &small());
    assert_eq!(log.log_end_offset(), end, "{what}");
    assert_eq!(dump(&log, 1), expected, "{what}");
}

#[test]
fn no_space_at_any_write_or_creation_leaves_the_log_as_it_was() {
    let fs = disk();
    let (mut log, _) = open(&fs, &small());
    (0..STEPS).for_each(|number| step(&mut log, number).unwrap());
    let (expected, aborts) = (dump(&log, 1), aborted(&log));
    assert_eq!(aborts.len(), 10);
    assert!(log.segments() > 5);
    let came = (1..200).filter(|nth| life(Fault::NoSpaceAtWrite(*nth), &expected, &aborts));
    assert!(came.count() > 40, "writes must have failed");
    let came = (1..60).filter(|nth| life(Fault::NoSpaceAtCreate(*nth), &expected, &aborts));
    assert!(came.count() > 20, "creations must have failed");
}

#[test]
fn a_flush_that_finds_no_space_for_its_epoch_file_is_asked_for_again() {
    let fs = disk();
    let (mut log, _) = open(&fs, &small());
    append(&mut log, &["a"]);
    let ticket = log.take_flush().unwrap().unwrap();
    fs.inject(Fault::NoSpaceAtWrite(1));
    let error = ticket.sync().unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::StorageFull);
    log.on_flush_postponed();
    assert_eq!(log.flushed_offset(), Offset(0));
    assert!(log.has_dirty_data());
    flush(&mut log);
    assert_eq!(log.flushed_offset(), Offset(1));
    let (log, _) = open_at(&fs.after_crash(Survival::NothingUnsynced), &small(), Offset(1)).unwrap();
    assert_eq!((dump(&log, 1).len(), log.epoch_entries().len()), (1, 1));
}

#[test]
fn a_truncation_that_could_not_be_finished_closes_the_log() {
    for (to, nth) in (5..50).flat_map(|to| (1..5).map(move |nth| (to, nth))) {
        let fs = disk();
        let (mut log, _) = open(&fs, &small());
        (0..STEPS).for_each(|number| step(&mut log, number).unwrap());
        let all = dump(&log, 1);
        flush(&mut log);
        fs.inject(Fault::NoSpaceAtWrite(nth));
        match log.truncate_to(Offset(to)) {
            Ok(()) => assert!(!log.is_failed()),
            Err(error) => {
                assert!(error.is_no_space(), "{error}");
                if !log.is_failed() {
                    assert_eq!(dump(&log, 1), all, "to {to}, write {nth}: nothing was cut");
                    append(&mut log, &["x"]);
                    let (again, _) = open(&fs.after_crash(Survival::ProcessKilled), &small());
                    assert_eq!(dump(&again, 1), dump(&log, 1), "to {to}, write {nth}");
                    continue;
                }
                assert!(try_append(&mut log, batch(&["x"])).is_err());
            }
        }
        let (log, _) = open(&fs.after_crash(Survival::ProcessKilled), &small());
        let end = log.log_end_offset().0 as usize;
        assert!(end <= all.len());
        assert_eq!(dump(&log, 1), all[..end], "to {to}, write {nth}");
    }
}

//! A process that has too many files open: appends and flushes happen or do not, and go on when there are some to be had.

use crate::support::*;
use crate::transactions::marker;
use milena_log::env::{Fault, Survival};
use milena_log::{AppendError, PartitionLog};
use milena_record::control::ControlRecord;

fn step(log: &mut PartitionLog, number: i32) -> Result<(), AppendError> {
    match number % 4 {
        0 => try_append(log, produced(1, 0, number / 4, 1, true)).map(drop),
        1 => try_append(log, batch(&["plain"])).map(drop),
        2 => marker(log, ControlRecord::Abort, 1, 0, 0, false).map(drop),
        _ => try_append(log, batch(&["more", "of it"])).map(drop),
    }
}

#[test]
fn an_append_that_cannot_open_a_file_leaves_the_log_as_it_was() {
    let mut came = 0;
    for nth in 1..8 {
        let fs = disk();
        let (mut log, _) = open(&fs, &small());
        for number in 0..40 {
            if number % 3 == 0 {
                flush(&mut log);
                assert!(log.release_idle().unwrap());
            }
            let end = log.log_end_offset();
            fs.inject(Fault::TooManyOpen(nth));
            let stepped = step(&mut log, number);
            fs.disarm();
            if let Err(error) = stepped {
                let AppendError::Log(cause) = &error else {
                    panic!("opening {nth}, step {number}: {error}");
                };
                assert!(cause.is_shortage(), "opening {nth}, step {number}: {error}");
                assert!(!log.is_failed());
                assert_eq!(log.log_end_offset(), end, "opening {nth}, step {number}");
                came += 1;
                step(&mut log, number).unwrap();
            }
        }
        let all = dump(&log, 1);
        flush(&mut log);
        let end = log.log_end_offset();
        let (again, _) = open_at(&fs.after_crash(Survival::NothingUnsynced), &small(), end).unwrap();
        assert_eq!(dump(&again, 1), all, "opening {nth}");
    }
    assert!(came > 20, "{came} appends have met it");
}

#[test]
fn a_flush_that_cannot_open_a_file_is_asked_for_again() {
    let (mut came, mut postponed) = (0, 0);
    for nth in 1..60 {
        let fs = disk();
        let (mut log, _) = open(&fs, &small());
        (0..4).for_each(|number| step(&mut log, number).unwrap());
        flush(&mut log);
        // Only records and names: no small file is to be written.
        (0..16).for_each(|_| drop(append(&mut log, &["plain"])));
        let flushed = log.flushed_offset();
        fs.inject(Fault::TooManyOpen(nth));
        match log.take_flush() {
            Err(error) => {
                assert!(error.is_shortage(), "{error}");
                came += 1;
            }
            Ok(ticket) => {
                let ticket = ticket.unwrap();
                if let Err(error) = ticket.sync() {
                    assert!(milena_log::is_shortage(&error), "{error}");
                    log.on_flush_postponed();
                    postponed += 1;
                } else {
                    log.on_flushed(&ticket);
                }
            }
        }
        fs.disarm();
        let end = log.log_end_offset();
        if log.flushed_offset() < end {
            assert_eq!(log.flushed_offset(), flushed);
            assert!(
                log.has_dirty_data(),
                "opening {nth}: the flush is still to be made"
            );
            let ticket = log.take_flush().unwrap().unwrap();
            ticket.sync().unwrap();
            assert_eq!(log.on_flushed(&ticket), end);
        }
        let (again, _) = open_at(&fs.after_crash(Survival::NothingUnsynced), &small(), end).unwrap();
        assert_eq!(dump(&again, 1), dump(&log, 1), "opening {nth}");
    }
    assert!(
        came > 0 && postponed > 0 && came + postponed > 4,
        "{came} and {postponed} flushes have met it"
    );
}

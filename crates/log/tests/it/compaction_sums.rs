//! The sums of the transaction indexes and compaction, which replaces these indexes: no crash between makes a good one look
//! damaged, nor a damaged one good. The same for logs that are had back from a word of them.

use crate::compaction::{compact_with, compacted, marker, of_producer, roll};
use crate::support::*;
use milena_log::compaction::CompactionRules;
use milena_log::env::{FaultyFileSystem, FileSystem, Survival};
use milena_log::{OpenReport, PartitionLog};
use milena_record::control::ControlRecord;
use milena_types::{Offset, Timestamp};
use std::path::PathBuf;

/// Aborted transactions of this many producers, each in a segment of its own.
pub(crate) fn abort_some(log: &mut PartitionLog, sequence: i32) {
    for id in 1..=3 {
        try_append(log, of_producer(id, sequence, "a", true)).unwrap();
        try_append(log, of_producer(9, 3 * sequence + id as i32, "b", false)).unwrap();
        marker(log, id, ControlRecord::Abort);
        roll(log);
    }
}

fn compact(log: &mut PartitionLog) -> bool {
    let (rules, end) = (CompactionRules::default(), log.log_end_offset());
    compact_with(log, &rules, end, Timestamp(1_000_000), 1 << 20).is_ok()
}

/// A log that was compacted once, and has more to compact.
fn prepared() -> (FaultyFileSystem, PartitionLog) {
    let fs = disk();
    let (mut log, _) = open(&fs, &compacted());
    abort_some(&mut log, 0);
    assert!(compact(&mut log));
    abort_some(&mut log, 1);
    (fs, log)
}

fn reopen(fs: &FaultyFileSystem, point: Offset) -> (PartitionLog, OpenReport) {
    open_at(fs, &compacted(), point).unwrap()
}

/// Every batch with records that is still there is told of as aborted.
fn assert_hidden(log: &PartitionLog, what: &dyn std::fmt::Debug) {
    let end = log.log_end_offset();
    let aborted = log.aborted_transactions(Offset(0), end).unwrap();
    each_batch(log, 300, |header, _| {
        let open = header.is_transactional() && !header.is_control() && header.records_count > 0;
        let hidden = aborted.iter().any(|txn| {
            Some(txn.producer_id) == header.producer_id
                && (txn.first_offset..txn.last_offset).contains(&header.base_offset)
        });
        assert!(hidden || !open, "{header:?} of {aborted:?}, {what:?}");
    });
}

fn indexes(fs: &FaultyFileSystem) -> Vec<PathBuf> {
    files(fs, ".txnindex")
}

#[test]
fn a_compaction_that_dies_anywhere_leaves_the_sums_of_the_indexes_that_are_there() {
    let (fs, mut log) = prepared();
    let before = fs.spent();
    assert!(compact(&mut log));
    let spent = fs.spent() - before;
    assert!(spent > 500, "{spent}");
    let mut damaged = 0;
    for budget in 1..=spent {
        let (fs, mut log) = prepared();
        let point = log.recovery_point();
        fs.die_after(budget);
        let done = compact(&mut log);
        let survival = match budget % 4 {
            0 => Survival::ProcessKilled,
            1 => Survival::NothingUnsynced,
            _ => Survival::Random(budget),
        };
        let fs = fs.after_crash(survival);
        let what = (budget, survival, done);
        let (log, report) = reopen(&fs.copied(), point);
        assert_eq!(
            (report.txn_indexes_rebuilt, report.cut),
            (0, None),
            "a good index looked damaged: {what:?}"
        );
        assert_hidden(&log, &what);
        if budget % 16 != 0 {
            continue;
        }
        // Once the swap is complete on disk, damage of any index is known for what it is.
        let (mut log, _) = reopen(&fs, point);
        log.flush().unwrap();
        for index in indexes(&fs) {
            let fs = fs.copied();
            fs.remove_file(&index).unwrap();
            let (log, report) = reopen(&fs, point);
            assert_eq!(report.txn_indexes_rebuilt, 1, "{index:?}: {what:?}");
            assert_hidden(&log, &what);
            damaged += 1;
        }
    }
    assert!(damaged > 50, "{damaged}");
}

#[test]
fn a_cleaner_takes_no_aborted_record_for_a_committed_one() {
    let (fs, mut log) = prepared();
    let index = indexes(&fs).pop().unwrap();
    let mut bytes = fs.content(&index).unwrap();
    bytes[17] ^= 1;
    fs.overwrite(&index, &bytes);
    assert!(!compact(&mut log), "the index is not what was written");
}

#[test]
fn a_log_with_a_damaged_transaction_index_is_not_had_back_but_opened() {
    let (fs, mut log) = prepared();
    assert!(compact(&mut log));
    remove_retired(&mut log);
    log.flush().unwrap();
    assert!(log.release_idle().unwrap());
    let idle = log.idle_log().unwrap();
    let mut bytes = Vec::new();
    idle.encode_into(&mut bytes);
    let idle = milena_log::IdleLog::decode(&mut &bytes[..]).unwrap();
    let of = |fs: &FaultyFileSystem| options(fs, &compacted());
    let whole = fs.copied();
    let resumed = PartitionLog::resume_unchanged(&of(&whole), idle.clone()).unwrap();
    assert_hidden(&resumed, &"resumed");
    for index in indexes(&fs) {
        let good = fs.content(&index).unwrap();
        for bad in [
            None,
            Some(good[..good.len() - 1].to_vec()),
            Some(vec![0; good.len()]),
        ] {
            let fs = fs.copied();
            match bad {
                Some(bytes) => fs.overwrite(&index, &bytes),
                None => fs.remove_file(&index).unwrap(),
            }
            assert!(PartitionLog::resume_unchanged(&of(&fs), idle.clone()).is_none());
            let clean = PartitionLog::resume_clean(&of(&fs), idle.clone()).unwrap();
            assert!(clean.read(Offset(0), 100, clean.log_end_offset(), true).is_err());
        }
    }
}

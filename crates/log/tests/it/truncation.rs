//! Cutting the end off, durably.

use crate::support::*;
use milena_log::env::{FaultyFileSystem, FileSystem as _, Survival};
use milena_log::{CorruptionPolicy, LogConfig, OpenError, OpenOptions, PartitionLog};
use milena_types::{LeaderEpoch, Offset};

fn filled() -> (milena_log::env::FaultyFileSystem, milena_log::PartitionLog) {
    let fs = disk();
    let (mut log, _) = open(&fs, &small());
    for i in 0..30 {
        log.append_as_leader(batch(&[&format!("a{i}"), &format!("b{i}")]), &ctx(i / 10))
            .unwrap();
    }
    flush(&mut log);
    (fs, log)
}

#[test]
fn truncation_keeps_exactly_what_lies_below() {
    for to in (0..=60).rev() {
        let (fs, mut log) = filled();
        let all = dump(&log, 1);
        let end = to / 2 * 2;
        assert_eq!(log.cut_offset(Offset(to)).unwrap(), Offset(end));
        log.truncate_to(Offset(to)).unwrap();
        assert_eq!(log.log_end_offset(), Offset(end), "a batch goes as a whole: {to}");
        assert_eq!(dump(&log, 1), all[..end as usize]);
        assert_eq!(log.flushed_offset(), Offset(end));
        let epochs = log.epoch_entries().to_vec();
        assert!(
            epochs.iter().all(|(_, start)| *start < Offset(end)),
            "{to}: {epochs:?}"
        );
        // It is durable at once, and stays cut after the loss of everything unsynced.
        let (after, report) =
            open_at(&fs.after_crash(Survival::NothingUnsynced), &small(), Offset(60)).unwrap();
        assert_eq!(
            (after.log_end_offset(), report.cut, report.lost_flushed),
            (Offset(end), None, false),
            "{to}"
        );
        assert_eq!(
            after.epoch_entries(),
            epochs,
            "{to} {:?}",
            fs.after_crash(Survival::NothingUnsynced).paths()
        );
        log.append_as_leader(batch(&["new"]), &ctx(7)).unwrap();
        assert_eq!(dump(&log, 1).last(), Some(&(end, "new".to_owned())));
        assert_eq!(log.last_epoch(), Some(LeaderEpoch(7)));
    }
}

/// What lies before the log start is gone already, in the same batch or not.
#[test]
fn no_cut_begins_below_the_log_start() {
    for (start, to, cut) in [
        (23, 10, 23),
        (23, 23, 23),
        (23, 24, 24),
        (22, 23, 22),
        (20, 25, 24),
    ] {
        let (_, mut log) = filled();
        log.on_high_watermark(Offset(60));
        log.set_log_start_offset(Offset(start));
        assert_eq!(log.cut_offset(Offset(to)).unwrap(), Offset(cut), "{start} {to}");
    }
    let (_, mut log) = filled();
    assert_eq!(log.cut_offset(Offset(90)).unwrap(), Offset(60), "no record goes");
    append(&mut log, &["a", "b", "c", "d"]);
    log.on_high_watermark(Offset(64));
    log.set_log_start_offset(Offset(61));
    assert_eq!(log.cut_offset(Offset(63)).unwrap(), Offset(61), "in one batch");
}

#[test]
fn what_is_written_after_a_truncation_is_not_trusted_because_of_an_old_checkpoint() {
    let (fs, mut log) = filled();
    log.truncate_to(Offset(20)).unwrap();
    for _ in 0..10 {
        log.append_as_leader(batch(&["new", "new"]), &ctx(5)).unwrap();
    }
    // The checkpoint still says 60; the new records are not on disk, and one of them is damaged.
    let crashed = fs.after_crash(Survival::ProcessKilled);
    let path = crashed
        .paths()
        .into_iter()
        .rfind(|p| p.extension().is_some_and(|e| e == "log"))
        .unwrap();
    let mut bytes = crashed.content(&path).unwrap();
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    crashed.overwrite(&path, &bytes);
    let (log, report) = open_at(&crashed, &small(), Offset(60)).unwrap();
    assert_eq!(
        log.log_end_offset(),
        Offset(38),
        "cut, not refused: nothing flushed was lost"
    );
    assert!(report.cut.is_some() && !report.lost_flushed);
}

#[test]
fn tickets_from_before_a_truncation_say_nothing() {
    let fs = disk();
    let (mut log, _) = open(&fs, &small());
    for _ in 0..10 {
        append(&mut log, &["a", "b"]);
    }
    let ticket = log.take_flush().unwrap().unwrap();
    assert_eq!(ticket.upto, Offset(20));
    log.truncate_to(Offset(10)).unwrap();
    for _ in 0..10 {
        append(&mut log, &["c", "d"]);
    }
    ticket.sync().unwrap();
    assert_eq!(log.on_flushed(&ticket), Offset(10));
    let ticket = log.take_flush().unwrap().unwrap();
    ticket.sync().unwrap();
    assert_eq!(log.on_flushed(&ticket), Offset(30));
    assert!(log.take_flush().unwrap().is_none());
}

#[test]
fn beginning_again_elsewhere_survives_a_restart() {
    let (fs, mut log) = filled();
    log.truncate_fully_and_start_at(Offset(500)).unwrap();
    assert_eq!(
        (log.log_start_offset(), log.log_end_offset(), log.size_bytes()),
        (Offset(500), Offset(500), 0)
    );
    let (mut log, _) = open_at(&fs.after_crash(Survival::NothingUnsynced), &small(), Offset(60)).unwrap();
    assert_eq!(
        (log.log_start_offset(), log.log_end_offset()),
        (Offset(500), Offset(500))
    );
    assert_eq!(append(&mut log, &["x"]).range.from, Offset(500));
    assert_eq!(log.last_epoch(), Some(LeaderEpoch(0)));
}

#[test]
fn epochs_without_records_answer_like_kafkas() {
    let (_, mut log) = filled();
    log.assign_epoch_at_become_leader(LeaderEpoch(5));
    assert_eq!(
        log.end_offset_for_epoch(LeaderEpoch(2)),
        Some((LeaderEpoch(2), Offset(60)))
    );
    assert_eq!(
        log.end_offset_for_epoch(LeaderEpoch(1)),
        Some((LeaderEpoch(1), Offset(40)))
    );
    assert_eq!(
        log.end_offset_for_epoch(LeaderEpoch(5)),
        Some((LeaderEpoch(5), Offset(60)))
    );
    assert_eq!(log.end_offset_for_epoch(LeaderEpoch(6)), None);
    log.assign_epoch_at_become_leader(LeaderEpoch(6));
    assert_eq!(
        log.end_offset_for_epoch(LeaderEpoch(5)),
        Some((LeaderEpoch(2), Offset(60))),
        "5 wrote nothing"
    );
}

#[test]
fn tickets_may_complete_in_any_order() {
    let fs = disk();
    let (mut log, _) = open(&fs, &small());
    append(&mut log, &["a"]);
    let first = log.take_flush().unwrap().unwrap();
    append(&mut log, &["b"]);
    let second = log.take_flush().unwrap().unwrap();
    second.sync().unwrap();
    assert_eq!(log.on_flushed(&second), Offset(2));
    // The first ticket never ran: names, epochs and records are durable all the same.
    let (after, report) = open_at(&fs.after_crash(Survival::NothingUnsynced), &small(), Offset(2)).unwrap();
    assert_eq!((dump(&after, 1).len(), report.epochs_rebuilt), (2, false));
    drop(first);
}

#[test]
fn an_older_ticket_does_not_bring_an_older_epoch_file_back() {
    let fs = disk();
    let (mut log, _) = open(&fs, &small());
    append(&mut log, &["a"]);
    let older = log.take_flush().unwrap().unwrap();
    log.append_as_leader(batch(&["b"]), &ctx(3)).unwrap();
    let newer = log.take_flush().unwrap().unwrap();
    newer.sync().unwrap();
    older.sync().unwrap();
    log.on_flushed(&newer);
    log.on_flushed(&older);
    let text = fs.content(&file("leader-epoch-checkpoint")).unwrap();
    assert_eq!(text, b"0\n2\n0 0\n3 1\n");
}

#[test]
fn a_checkpoint_from_before_a_truncation_does_not_release_its_floor() {
    let fs = disk();
    let (mut log, _) = open(&fs, &milena_log::LogConfig::default());
    (0..6).for_each(|_| drop(append(&mut log, &["a", "b"])));
    flush(&mut log);
    log.truncate_to(Offset(8)).unwrap();
    log.on_recovery_point_saved(Offset(12));
    assert_eq!(fs.content(&file("recovery-floor")).as_deref(), Some(&b"8\n"[..]));
    log.on_recovery_point_saved(Offset(8));
    assert_eq!(fs.content(&file("recovery-floor")), None);
}

/// The checkpoint of a clean shutdown is younger than any floor, and so it is at the crash after the next start: what is lost below it
/// is missed.
#[test]
fn a_floor_does_not_outlive_a_clean_shutdown() {
    let config = LogConfig {
        segment_bytes: 200,
        ..LogConfig::default()
    };
    let at = |fs: &FaultyFileSystem, clean| OpenOptions {
        clean,
        recovery_point: Offset(12),
        ..options(fs, &config)
    };
    for resumed in [true, false] {
        let fs = disk();
        let (mut log, _) = open(&fs, &config);
        (0..6).for_each(|_| drop(append(&mut log, &["a", "b"])));
        flush(&mut log);
        log.truncate_to(Offset(4)).unwrap();
        (0..4).for_each(|_| drop(append(&mut log, &["a", "b"])));
        log.close().unwrap();
        assert!(log.has_recovery_floor());
        let word = log.idle_log().unwrap();
        let log = if resumed {
            PartitionLog::resume_clean(&at(&fs, true), word).unwrap()
        } else {
            PartitionLog::open(at(&fs, true)).unwrap().0
        };
        assert!(!log.has_recovery_floor());
        assert_eq!(log.log_end_offset(), Offset(12));
        // Also when the power fails at once.
        drop(log);
        let fs = fs.after_crash(Survival::NothingUnsynced);
        assert_eq!(fs.content(&file("recovery-floor")), None);
        let last = files(&fs, ".log").pop().unwrap();
        fs.remove_file(&last).unwrap();
        let lost = PartitionLog::open(OpenOptions {
            corruption: CorruptionPolicy::Refuse,
            ..at(&fs, false)
        });
        assert!(matches!(lost, Err(OpenError::Corrupt { .. })), "{lost:?}");
    }
}

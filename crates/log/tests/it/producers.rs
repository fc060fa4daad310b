//! Idempotent producers: duplicates, sequences, epochs, expiry, snapshots.

use crate::support::*;
use bytes::BytesMut;
use milena_log::env::FileSystem;
use milena_log::producer::{decode_snapshot, encode_snapshot};
use milena_log::{LogConfig, PartitionLog};
use milena_types::{ErrorCode, Offset, OffsetRange, ProducerEpoch, ProducerId, Timestamp};
use std::path::PathBuf;

fn code(log: &mut PartitionLog, batch: BytesMut) -> ErrorCode {
    try_append(log, batch).map_or_else(|e| e.code(), |_| ErrorCode::None)
}

#[test]
fn the_last_five_batches_are_recognised_with_their_offsets() {
    let fs = disk();
    let (mut log, _) = open(&fs, &LogConfig::default());
    for i in 0..7 {
        assert!(
            !try_append(&mut log, produced(1, 0, 3 * i, 3, false))
                .unwrap()
                .duplicate
        );
    }
    for i in 2..7 {
        let again = try_append(&mut log, produced(1, 0, 3 * i, 3, false)).unwrap();
        let from = Offset(i64::from(3 * i));
        assert!(again.duplicate && again.bytes.is_empty());
        assert_eq!(
            again.range,
            OffsetRange {
                from,
                to: from.plus(3)
            }
        );
    }
    assert_eq!(
        code(&mut log, produced(1, 0, 3, 3, false)),
        ErrorCode::OutOfOrderSequenceNumber,
        "the sixth is forgotten"
    );
    assert_eq!(
        code(&mut log, produced(1, 0, 18, 2, false)),
        ErrorCode::OutOfOrderSequenceNumber,
        "another length"
    );
    assert_eq!(log.log_end_offset(), Offset(21));
}

#[test]
fn sequences_and_epochs_follow_kafkas_rules() {
    let fs = disk();
    let (mut log, _) = open(&fs, &LogConfig::default());
    let cases = [
        (
            "unknown producers may begin anywhere",
            produced(1, 0, 17, 1, false),
            ErrorCode::None,
        ),
        (
            "a gap",
            produced(1, 0, 19, 1, false),
            ErrorCode::OutOfOrderSequenceNumber,
        ),
        ("the next one", produced(1, 0, 18, 1, false), ErrorCode::None),
        (
            "a new epoch begins at 0",
            produced(1, 2, 1, 1, false),
            ErrorCode::OutOfOrderSequenceNumber,
        ),
        ("and does", produced(1, 2, 0, 1, false), ErrorCode::None),
        (
            "the old epoch is fenced",
            produced(1, 1, 19, 1, false),
            ErrorCode::InvalidProducerEpoch,
        ),
        (
            "even with sequences that the new epoch has used",
            produced(1, 1, 0, 1, false),
            ErrorCode::InvalidProducerEpoch,
        ),
        (
            "other producers do not matter",
            produced(2, 0, 0, 1, false),
            ErrorCode::None,
        ),
        (
            "up to the end",
            produced(3, 0, i32::MAX - 1, 2, false),
            ErrorCode::None,
        ),
        (
            "sequences wrap to 0",
            produced(3, 0, 0, 1, false),
            ErrorCode::None,
        ),
        (
            "a batch across the wrap",
            produced(4, 0, i32::MAX - 1, 4, false),
            ErrorCode::None,
        ),
        ("goes on behind it", produced(4, 0, 2, 1, false), ErrorCode::None),
    ];
    for (name, batch, expected) in cases {
        assert_eq!(code(&mut log, batch), expected, "{name}");
    }
    let across = try_append(&mut log, produced(4, 0, i32::MAX - 1, 4, false)).unwrap();
    assert!(across.duplicate, "a batch across the wrap is recognised");
}

#[test]
fn silent_producers_are_forgotten_and_busy_ones_are_not() {
    let fs = disk();
    let (mut log, _) = open(
        &fs,
        &LogConfig {
            producer_expiration_ms: 1000,
            ..LogConfig::default()
        },
    );
    try_append(&mut log, produced(1, 0, 0, 1, false)).unwrap();
    try_append(&mut log, produced(2, 0, 0, 1, true)).unwrap();
    assert_eq!(log.expire_producers(Timestamp(1999)), 0);
    assert_eq!(log.expire_producers(Timestamp(2000)), 1);
    assert!(
        log.active_producers().entry(ProducerId(2)).is_some(),
        "its transaction is open"
    );
    assert_eq!(code(&mut log, produced(1, 0, 99, 1, false)), ErrorCode::None);
}

#[test]
fn state_survives_clean_and_unclean_restarts() {
    for clean in [true, false] {
        let fs = disk();
        let (mut log, _) = open(&fs, &small());
        for i in 0..40 {
            try_append(&mut log, produced(i % 3, 5, (i / 3) as i32 * 2, 2, false)).unwrap();
        }
        assert!(log.segments() > 2);
        if clean {
            log.close().unwrap();
        }
        let before = log.active_producers().clone();
        drop(log);
        let options = milena_log::OpenOptions {
            clean,
            ..options(&fs, &small())
        };
        let (mut log, report) = PartitionLog::open(options).unwrap();
        assert_eq!(report.producers_replayed_from.is_none(), clean);
        for (id, entry) in before.entries() {
            let found = log.active_producers().entry(id).unwrap();
            assert_eq!(
                (found.epoch, found.last_sequence()),
                (Some(ProducerEpoch(5)), entry.last_sequence())
            );
        }
        let last = try_append(&mut log, produced(0, 5, 26, 2, false)).unwrap();
        assert!(last.duplicate, "clean {clean}");
        assert_eq!(code(&mut log, produced(0, 5, 28, 2, false)), ErrorCode::None);
    }
}

/// Nobody vouches for what was written past the recovery point. What a recovery finds out it writes where the appends had.
#[test]
fn a_recovery_leaves_the_snapshots_that_the_appends_left() {
    let fs = disk();
    let (mut log, _) = open(&fs, &small());
    for i in 0..40 {
        try_append(&mut log, produced(i % 3, 5, (i / 3) as i32 * 2, 2, false)).unwrap();
    }
    let snapshots = |fs: &milena_log::env::FaultyFileSystem| {
        let mut found = fs.paths();
        found.retain(|path| path.extension().is_some_and(|e| e == "snapshot"));
        let content = |path: PathBuf| {
            (
                path.clone(),
                decode_snapshot(&fs.content(&path).unwrap()).unwrap(),
            )
        };
        found.into_iter().map(content).collect::<Vec<_>>()
    };
    let (before, segments) = (snapshots(&fs), log.segments());
    assert_eq!(before.len() + 1, segments);
    let killed = fs.after_crash(milena_log::env::Survival::ProcessKilled);
    let (mut log, report) = open(&killed, &small());
    assert_eq!(report.producers_replayed_from, Some(Offset(0)));
    assert_eq!(snapshots(&killed), before);
    flush(&mut log);
    let recovery_point = log.recovery_point();
    // And knows them: they go with what they tell of.
    let cut = killed.copied();
    open(&cut, &small()).0.truncate_to(Offset(1)).unwrap();
    assert_eq!(snapshots(&cut), []);
    drop(log);
    let (_, report) = milena_log::PartitionLog::open(milena_log::OpenOptions {
        recovery_point,
        ..options(&killed, &small())
    })
    .unwrap();
    assert!(report.producers_replayed_from > Some(Offset(0)), "{report:?}");
}

#[test]
fn damaged_snapshots_are_replaced_by_a_replay() {
    let fs = disk();
    let (mut log, _) = open(&fs, &small());
    for i in 0..30 {
        try_append(&mut log, produced(1, 0, i, 1, false)).unwrap();
    }
    log.close().unwrap();
    let snapshots: Vec<_> = fs
        .paths()
        .into_iter()
        .filter(|p| p.extension().is_some_and(|e| e == "snapshot"))
        .collect();
    assert!(snapshots.len() > 1);
    for path in snapshots {
        let mut bytes = fs.content(&path).unwrap();
        let last = bytes.len() - 1;
        bytes[last] ^= 1;
        fs.overwrite(&path, &bytes);
    }
    let (mut log, report) = PartitionLog::open(milena_log::OpenOptions {
        clean: true,
        ..options(&fs, &small())
    })
    .unwrap();
    assert!(report.snapshots_discarded > 1 && report.producers_replayed_from == Some(Offset(0)));
    assert!(
        try_append(&mut log, produced(1, 0, 29, 1, false))
            .unwrap()
            .duplicate
    );
}

#[test]
fn snapshots_have_kafkas_bytes() {
    let fs = disk();
    let (mut log, _) = open(&fs, &LogConfig::default());
    try_append(&mut log, produced(258, 3, 10, 4, true)).unwrap();
    let bytes = encode_snapshot(log.active_producers());
    let expected: Vec<u8> = [
        &1i16.to_be_bytes()[..],
        &bytes[2..6],
        &1i32.to_be_bytes(),
        &258i64.to_be_bytes(),
        &3i16.to_be_bytes(),
        &13i32.to_be_bytes(),
        &3i64.to_be_bytes(),
        &3i32.to_be_bytes(),
        &1003i64.to_be_bytes(),
        &(-1i32).to_be_bytes(),
        &0i64.to_be_bytes(),
    ]
    .concat();
    assert_eq!(bytes, expected);
    let state = decode_snapshot(&bytes).unwrap();
    assert_eq!(encode_snapshot(&state), bytes);
    assert_eq!(state.first_unstable_offset(), Some(Offset(0)));
    for at in 0..bytes.len() {
        let mut flipped = bytes.clone();
        flipped[at] ^= 1;
        assert!(decode_snapshot(&flipped).is_err(), "flip at {at}");
        assert!(decode_snapshot(&bytes[..at]).is_err(), "cut at {at}");
    }
    assert!(fs.read_dir(std::path::Path::new(DIR)).is_ok());
}

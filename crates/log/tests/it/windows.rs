//! A producer's last five batches are known after every kind of restart, though a snapshot holds only the newest.

use crate::support::*;
use crate::transactions::marker;
use milena_log::env::FaultyFileSystem;
use milena_log::producer::ProducerState;
use milena_log::{LogConfig, OpenOptions, PartitionLog};
use milena_record::BatchHeader;
use milena_record::control::ControlRecord;
use milena_types::{ErrorCode, Offset, OffsetRange, ProducerId, Timestamp};
use proptest::prelude::*;

fn reopen(mut log: PartitionLog, fs: &FaultyFileSystem, config: &LogConfig, clean: bool) -> PartitionLog {
    if clean {
        log.close().unwrap();
    } else {
        flush(&mut log);
    }
    drop(log);
    let options = OpenOptions {
        clean,
        ..options(fs, config)
    };
    let (log, report) = PartitionLog::open(options).unwrap();
    assert!(
        !clean || report.producers_replayed_from.is_none(),
        "nothing is replayed after a clean stop"
    );
    log
}

/// Five batches of producer 1, each followed by one of producer 2, behind one batch of producer 1 that is too old to be
/// remembered; with the offsets of producer 1.
fn two_producers(log: &mut PartitionLog) -> Vec<OffsetRange> {
    let mut ranges = Vec::new();
    for i in 0..6 {
        let range = try_append(log, produced(1, 0, 3 * i, 3, false)).unwrap().range;
        ranges.push(range);
        try_append(log, produced(2, 4, 7 + 2 * i, 2, false)).unwrap();
    }
    ranges.split_off(1)
}

fn retries_are_known(log: &mut PartitionLog, ranges: &[OffsetRange], name: &str) {
    let end = log.log_end_offset();
    for (i, range) in (1..).zip(ranges) {
        let again = try_append(log, produced(1, 0, 3 * i, 3, false)).unwrap();
        assert!(again.duplicate, "{name}: batch {i} of producer 1");
        assert_eq!(again.range, *range, "{name}: batch {i} of producer 1");
        let other = try_append(log, produced(2, 4, 7 + 2 * i, 2, false)).unwrap();
        assert!(
            other.duplicate && other.range.from == range.to,
            "{name}: batch {i} of producer 2"
        );
    }
    let sixth = try_append(log, produced(1, 0, 0, 3, false)).map(|a| a.duplicate);
    assert_eq!(
        sixth.map_err(|e| e.code()),
        Err(ErrorCode::OutOfOrderSequenceNumber),
        "{name}: the sixth is forgotten"
    );
    assert_eq!(log.log_end_offset(), end, "{name}: nothing was appended");
}

/// The last sequences of the batches that are known of producer 1.
fn remembered_sequences(log: &PartitionLog) -> Vec<i32> {
    let entry = log.active_producers().entry(ProducerId(1)).unwrap();
    entry.batches().iter().map(|batch| batch.last_sequence).collect()
}

#[test]
fn five_batches_in_flight_are_known_after_every_restart() {
    let rolling = LogConfig {
        // One or two batches in a segment.
        segment_bytes: 260,
        index_interval_bytes: 100,
        ..LogConfig::default()
    };
    for (name, config) in [
        ("one segment", LogConfig::default()),
        ("rolls", small()),
        ("many rolls", rolling),
    ] {
        for stops in [
            &[true][..],
            &[true, true],
            &[false],
            &[false, true],
            &[true, false, true],
        ] {
            let fs = disk();
            let (mut log, _) = open(&fs, &config);
            let ranges = two_producers(&mut log);
            let name = format!("{name}, clean stops {stops:?}");
            for clean in stops {
                log = reopen(log, &fs, &config, *clean);
            }
            retries_are_known(&mut log, &ranges, &name);
            let next = try_append(&mut log, produced(1, 0, 18, 3, false)).unwrap();
            assert!(!next.duplicate, "{name}: the next one is new");
            let again = try_append(&mut log, produced(1, 0, 15, 3, false)).unwrap();
            assert!(again.duplicate, "{name}");
            let forgotten = try_append(&mut log, produced(1, 0, 3, 3, false));
            assert!(forgotten.is_err(), "{name}: the window has moved");
        }
    }
}

#[test]
fn retries_are_known_after_a_truncation() {
    for config in [LogConfig::default(), small()] {
        let fs = disk();
        let (mut log, _) = open(&fs, &config);
        let ranges = two_producers(&mut log);
        let mut log = reopen(log, &fs, &config, true);
        let end = log.log_end_offset();
        for _ in 0..3 {
            append(&mut log, &["gone", "soon"]);
        }
        log.truncate_to(end).unwrap();
        retries_are_known(&mut log, &ranges, "truncated");
    }
}

#[test]
fn a_snapshot_between_the_batches_of_a_window_is_completed() {
    for config in [LogConfig::default(), small()] {
        let fs = disk();
        let (mut log, _) = open(&fs, &config);
        for i in 0..6 {
            try_append(&mut log, produced(1, 0, i, 1, false)).unwrap();
        }
        let mut log = reopen(log, &fs, &config, true);
        for i in 6..14 {
            try_append(&mut log, produced(1, 0, i, 1, false)).unwrap();
        }
        log.truncate_to(Offset(9)).unwrap();
        assert_eq!(remembered_sequences(&log), [4, 5, 6, 7, 8]);
    }
}

#[test]
fn another_epoch_and_a_gap_end_the_search() {
    // What producer 1 wrote (epoch and sequences), what it wrote after it had been forgotten, and what is known at the end.
    type Written = (i16, std::ops::Range<i32>);
    let cases: [(&str, Written, Written, &[i32]); 4] = [
        ("an epoch begins at 0", (0, 0..4), (1, 0..2), &[0, 1]),
        (
            "one that was forgotten begins anywhere",
            (0, 0..3),
            (0, 50..52),
            &[50, 51],
        ),
        ("even in another epoch", (0, 0..3), (1, 3..5), &[3, 4]),
        ("and where it was", (0, 0..3), (0, 3..4), &[0, 1, 2, 3]),
    ];
    for (name, before, after, known) in cases {
        let fs = disk();
        let config = LogConfig::default();
        let (mut log, _) = open(&fs, &config);
        for (epoch, sequences) in [before, after] {
            log.expire_producers(Timestamp(1 << 40));
            for sequence in sequences {
                try_append(&mut log, produced(1, epoch, sequence, 1, false)).unwrap();
            }
        }
        let log = reopen(log, &fs, &config, true);
        assert_eq!(remembered_sequences(&log), known, "{name}");
    }
}

#[test]
fn what_lies_far_below_is_not_searched() {
    let fs = disk();
    let config = LogConfig::default();
    let (mut log, _) = open(&fs, &config);
    try_append(&mut log, produced(1, 0, 5, 1, false)).unwrap();
    try_append(&mut log, produced(1, 0, 6, 1, false)).unwrap();
    let filler = "x".repeat(1_000_000);
    for _ in 0..20 {
        append(&mut log, &[&filler]);
    }
    try_append(&mut log, produced(1, 0, 7, 1, false)).unwrap();
    try_append(&mut log, produced(1, 0, 8, 1, false)).unwrap();
    let mut log = reopen(log, &fs, &config, true);
    assert!(
        try_append(&mut log, produced(1, 0, 7, 1, false))
            .unwrap()
            .duplicate
    );
    let late = try_append(&mut log, produced(1, 0, 6, 1, false));
    assert_eq!(
        late.map(|a| a.duplicate).map_err(|e| e.code()),
        Err(ErrorCode::OutOfOrderSequenceNumber)
    );
}

/// What a test run does to a log.
#[derive(Clone, Debug)]
enum Op {
    Produce { id: i64, count: usize, new_epoch: bool },
    Marker { id: i64, abort: bool },
    Plain,
    Restart { clean: bool },
    Truncate { back: i64 },
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        8 => (1i64..5, 1usize..4, prop::bool::weighted(0.1))
            .prop_map(|(id, count, new_epoch)| Op::Produce { id, count, new_epoch }),
        2 => (3i64..5, any::<bool>()).prop_map(|(id, abort)| Op::Marker { id, abort }),
        1 => Just(Op::Plain),
        2 => any::<bool>().prop_map(|clean| Op::Restart { clean }),
        1 => (1i64..8).prop_map(|back| Op::Truncate { back }),
    ]
}

/// What is remembered of a producer. A snapshot does not tell the timestamp of a batch from that of a marker.
type Remembered = (ProducerId, Option<i16>, Option<Offset>, Vec<(i32, Offset, i32)>);

fn remembered(state: &ProducerState) -> Vec<Remembered> {
    let mut all: Vec<Remembered> = state
        .entries()
        .map(|(id, entry)| {
            let batches = entry.batches().iter();
            let batches = batches.map(|b| (b.last_sequence, b.last_offset, b.offset_delta));
            let epoch = entry.epoch.map(|epoch| epoch.0);
            (id, epoch, entry.txn_first_offset(), batches.collect())
        })
        .collect();
    all.sort();
    all
}

/// Every batch that was appended, with what it says when it is a marker.
type History = Vec<(BatchHeader, Option<bool>)>;

fn full_replay(history: &History) -> ProducerState {
    let mut state = ProducerState::default();
    for (header, marker) in history {
        match marker {
            Some(commit) => drop(state.apply_marker(header, *commit, 0)),
            None => state.apply_data(header),
        }
    }
    state
}

fn produce(log: &mut PartitionLog, id: i64, count: usize, new_epoch: bool) -> BatchHeader {
    let entry = log.active_producers().entry(ProducerId(id));
    let epoch = entry.and_then(|entry| entry.epoch).map_or(0, |epoch| epoch.0);
    let next = entry
        .and_then(|entry| entry.last_sequence())
        .map_or(0, |last| last + 1);
    let (epoch, sequence) = if new_epoch { (epoch + 1, 0) } else { (epoch, next) };
    let appended = try_append(log, produced(id, epoch, sequence, count, id > 2)).unwrap();
    BatchHeader::parse(&appended.bytes).unwrap()
}

fn apply(
    log: PartitionLog,
    op: &Op,
    fs: &FaultyFileSystem,
    config: &LogConfig,
    history: &mut History,
) -> PartitionLog {
    let mut log = log;
    match op {
        Op::Produce { id, count, new_epoch } => {
            // A new epoch inside a transaction is the coordinator's business.
            let open = log
                .active_producers()
                .entry(ProducerId(*id))
                .is_some_and(|entry| entry.txn_first_offset().is_some());
            history.push((produce(&mut log, *id, *count, *new_epoch && !open), None));
        }
        Op::Marker { id, abort } => {
            let kind = if *abort {
                ControlRecord::Abort
            } else {
                ControlRecord::Commit
            };
            let entry = log.active_producers().entry(ProducerId(*id));
            let epoch = entry.and_then(|entry| entry.epoch).map_or(0, |epoch| epoch.0);
            let offset = marker(&mut log, kind, *id, epoch, 0, false).unwrap();
            let read = log.read(offset, 1, log.log_end_offset(), true).unwrap();
            history.push((BatchHeader::parse(&read.records).unwrap(), Some(!*abort)));
        }
        Op::Plain => {
            let appended = append(&mut log, &["plain", "records"]);
            history.push((BatchHeader::parse(&appended.bytes).unwrap(), None));
        }
        Op::Restart { clean } => log = reopen(log, fs, config, *clean),
        Op::Truncate { back } => {
            log.truncate_to(Offset((log.log_end_offset().0 - back).max(0)))
                .unwrap();
            let end = log.log_end_offset();
            history.retain(|(header, _)| header.next_offset() <= end);
        }
    }
    log
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn a_snapshot_and_the_log_give_what_a_full_replay_gives(
        ops in prop::collection::vec(op(), 1..50), segment_bytes in 1_500u64..4_000,
    ) {
        let config = LogConfig { segment_bytes, index_interval_bytes: 200, ..LogConfig::default() };
        let fs = disk();
        let (mut log, _) = open(&fs, &config);
        let mut history = History::new();
        for op in &ops {
            log = apply(log, op, &fs, &config, &mut history);
            let expected = remembered(&full_replay(&history));
            prop_assert_eq!(remembered(log.active_producers()), expected, "after {:?}", op);
        }
    }
}

//! Reading by offset and by timestamp.

use crate::support::*;
use milena_log::{LogConfig, PartitionLog, ReadError};
use milena_record::BatchBuilder;
use milena_types::{LeaderEpoch, Offset, Timestamp};

#[test]
fn reads_give_whole_batches_within_bounds() {
    let fs = disk();
    let (mut log, _) = open(&fs, &small());
    let size = append(&mut log, &["a", "b"]).bytes.len();
    for _ in 0..30 {
        append(&mut log, &["a", "b"]);
    }
    let read = |from, max, upper, min_one| {
        let r = log.read(Offset(from), max, Offset(upper), min_one).unwrap();
        (r.records.len() / size, r.records.len() % size, r.next_offset.0)
    };
    assert_eq!(read(0, 3 * size, 62, false), (3, 0, 6));
    assert_eq!(read(0, 3 * size - 1, 62, false), (2, 0, 4), "no partial batch");
    assert_eq!(
        read(1, 1, 62, true),
        (1, 0, 2),
        "the batch that holds the offset, whatever its size"
    );
    assert_eq!(read(1, 1, 62, false), (0, 0, 1));
    assert_eq!(
        read(0, 10_000, 5, true),
        (2, 0, 4),
        "nothing at or past the upper bound"
    );
    assert_eq!(
        read(4, 10_000, 5, true),
        (0, 0, 4),
        "a batch across the upper bound stays out"
    );
    assert_eq!(read(62, 10_000, 62, true), (0, 0, 62), "at the end");
    assert_eq!(read(8, 10_000, 4, true), (0, 0, 8), "behind the upper bound");
    for bad in [-1, 63] {
        assert!(
            matches!(
                log.read(Offset(bad), 1, Offset(62), true),
                Err(ReadError::OutOfRange { .. })
            ),
            "{bad}"
        );
    }
}

#[test]
fn every_offset_is_found_whether_the_index_is_in_memory_or_mapped() {
    let fs = disk();
    let (mut log, _) = open(
        &fs,
        &LogConfig {
            segment_bytes: 5000,
            index_interval_bytes: 100,
            ..LogConfig::default()
        },
    );
    for i in 0..150 {
        append(&mut log, &[&"x".repeat(i % 40), "y", "z"]);
    }
    let check = |log: &milena_log::PartitionLog| {
        for offset in 0..450 {
            let read = log.read(Offset(offset), 1, Offset(450), true).unwrap();
            assert_eq!(read.next_offset.0, offset / 3 * 3 + 3, "{offset}");
        }
    };
    check(&log);
    flush(&mut log);
    log.release_idle().unwrap();
    check(&log);
}

#[test]
fn every_bound_is_kept_with_every_index_density() {
    for interval in [1, 100, 10_000] {
        let fs = disk();
        let (mut log, _) = open(
            &fs,
            &LogConfig {
                index_interval_bytes: interval,
                ..LogConfig::default()
            },
        );
        for _ in 0..12 {
            append(&mut log, &["a", "b", "c"]);
        }
        for from in 0..=36 {
            for upper in 0..=36 {
                let read = log.read(Offset(from), 1 << 20, Offset(upper), true).unwrap();
                let (first, end) = (from / 3 * 3, upper / 3 * 3);
                let expected = if from < upper && first < end { end } else { from };
                assert_eq!(
                    read.next_offset,
                    Offset(expected),
                    "[{from}, {upper}) every {interval}"
                );
                assert_eq!(read.records.is_empty(), expected == from);
            }
        }
    }
}

#[test]
fn timestamps_find_the_first_record_that_is_late_enough() {
    let fs = disk();
    let (mut log, _) = open(&fs, &small());
    // Offsets 0..: 1000 1001 | 1010 1011 | 1020 1021 ...
    for i in 0..40 {
        log.append_as_leader(batch_at(1000 + 10 * i, &["a", "b"]), &ctx(i as i32 / 10))
            .unwrap();
    }
    let end = log.log_end_offset();
    let find = |log: &milena_log::PartitionLog, timestamp| {
        log.offset_for_timestamp(Timestamp(timestamp), end)
            .unwrap()
            .map(|f| (f.offset.0, f.timestamp.0))
    };
    for (timestamp, expected) in [
        (0, Some((0, 1000))),
        (1000, Some((0, 1000))),
        (1001, Some((1, 1001))),
        (1002, Some((2, 1010))),
        (1195, Some((40, 1200))),
        (1391, Some((79, 1391))),
        (1392, None),
    ] {
        assert_eq!(find(&log, timestamp), expected, "{timestamp}");
    }
    let max = log.offset_of_max_timestamp(end).unwrap().unwrap();
    assert_eq!(
        (max.offset, max.timestamp, max.leader_epoch),
        (Offset(79), Timestamp(1391), LeaderEpoch(3))
    );
    assert_eq!(
        log.offset_for_timestamp(Timestamp(1195), Offset(40)).unwrap(),
        None,
        "not below the upper bound"
    );
    log.set_log_start_offset(Offset(41));
    assert_eq!(find(&log, 0), Some((41, 1201)));
    flush(&mut log);
    log.release_idle().unwrap();
    assert_eq!(find(&log, 1391), Some((79, 1391)), "from the files");
}

#[test]
fn timestamps_out_of_order_are_found_as_kafka_finds_them() {
    let fs = disk();
    let (mut log, _) = open(
        &fs,
        &LogConfig {
            index_interval_bytes: 1,
            ..LogConfig::default()
        },
    );
    for timestamp in [100, 500, 200, 300, 600, 50] {
        log.append_as_leader(batch_at(timestamp, &["v"]), &ctx(0))
            .unwrap();
    }
    let find = |timestamp| {
        log.offset_for_timestamp(Timestamp(timestamp), Offset(6))
            .unwrap()
            .map(|f| f.offset.0)
    };
    assert_eq!(
        (find(0), find(150), find(500), find(501), find(601)),
        (Some(0), Some(1), Some(1), Some(4), None)
    );
    let max = log.offset_of_max_timestamp(Offset(6)).unwrap().unwrap();
    assert_eq!(max.offset, Offset(4));
}

#[test]
fn records_without_timestamps_are_not_found() {
    let fs = disk();
    let (mut log, _) = open(&fs, &LogConfig::default());
    assert_eq!(log.offset_of_max_timestamp(Offset(0)).unwrap(), None);
    log.append_as_leader(batch_at(-1, &["v"]), &ctx(0)).unwrap();
    assert_eq!(log.offset_for_timestamp(Timestamp(0), Offset(1)).unwrap(), None);
    assert_eq!(log.offset_of_max_timestamp(Offset(1)).unwrap(), None);
}

#[test]
fn the_largest_timestamp_is_that_of_a_record_that_is_still_there() {
    let (mut log, _) = open(&disk(), &LogConfig::default());
    for timestamp in [1000, 9000, 3000, 5000, 4000] {
        log.append_as_leader(batch_at(timestamp, &["a", "b"]), &ctx(0))
            .unwrap();
    }
    let end = log.log_end_offset();
    let max = |log: &PartitionLog| {
        let found = log.offset_of_max_timestamp(end).unwrap();
        found.map(|found| (found.offset.0, found.timestamp.0))
    };
    assert_eq!(max(&log), Some((3, 9001)));
    log.set_log_start_offset(Offset(4));
    assert_eq!(
        max(&log),
        Some((7, 5001)),
        "Kafka goes on to name the deleted record"
    );
    log.set_log_start_offset(end);
    assert_eq!(max(&log), None);
}

/// The record with the batch's largest timestamp is deleted, others of it are not.
#[test]
fn of_the_batch_that_the_log_start_parts_only_what_is_left_counts() {
    let (mut log, _) = open(&disk(), &LogConfig::default());
    let mut parted = BatchBuilder::plain(Offset(0));
    for timestamp in [9000, 100, 300] {
        parted.append(Timestamp(timestamp), None, Some(b"v"), &[]);
    }
    log.append_as_leader(parted.build(), &ctx(0)).unwrap();
    log.append_as_leader(batch_at(50, &["a"]), &ctx(0)).unwrap();
    let end = log.log_end_offset();
    for (start, expected) in [(0, Some(0)), (1, Some(2)), (2, Some(2)), (3, Some(3)), (4, None)] {
        log.set_log_start_offset(Offset(start));
        let found = log.offset_of_max_timestamp(end).unwrap();
        assert_eq!(found.map(|found| found.offset.0), expected, "from {start}");
    }
}

//! When a segment ends and the next one begins.

use crate::support::*;
use bytes::{Bytes, BytesMut};
use milena_log::{AppendContext, LogConfig, PartitionLog};
use milena_record::BatchBuilder;
use milena_types::{LeaderEpoch, Offset, Timestamp};

fn at(now: i64) -> AppendContext {
    AppendContext {
        now: Timestamp(now),
        ..ctx(0)
    }
}

fn append_at(log: &mut PartitionLog, timestamp: i64, now: i64) -> usize {
    log.append_as_leader(batch_at(timestamp, &["v"]), &at(now))
        .unwrap();
    log.segments()
}

/// The base offsets of the log files.
fn bases(fs: &milena_log::env::FaultyFileSystem) -> Vec<i64> {
    let name = |path: &std::path::PathBuf| path.file_name().unwrap().to_str().unwrap().to_owned();
    let mut bases: Vec<i64> = fs
        .paths()
        .iter()
        .map(name)
        .filter_map(|name| name.strip_suffix(".log").map(|base| base.parse().unwrap()))
        .collect();
    bases.sort();
    bases
}

#[test]
fn by_age_of_the_first_record_up_to_the_newest_one() {
    let config = LogConfig {
        segment_ms: 100,
        ..LogConfig::default()
    };
    let (mut log, _) = open(&disk(), &config);
    // The clock has no say, or what is copied from an old log would get a segment for each batch.
    for (timestamp, segments) in [(1000, 1), (1100, 1), (1101, 2), (1050, 2), (1202, 3)] {
        assert_eq!(append_at(&mut log, timestamp, 5_000_000), segments, "{timestamp}");
    }
}

#[test]
fn by_the_clock_without_timestamps_also_after_a_restart() {
    let fs = disk();
    let config = LogConfig {
        segment_ms: 100,
        ..LogConfig::default()
    };
    let (mut log, _) = open(&fs, &config);
    for (now, segments) in [(1000, 1), (1100, 1), (1101, 2), (1201, 2)] {
        assert_eq!(append_at(&mut log, -1, now), segments, "{now}");
    }
    log.close().unwrap();
    let (mut log, _) = open(&fs, &config);
    // The age counts from the first append after the start.
    for (now, segments) in [(9000, 2), (9100, 2), (9101, 3)] {
        assert_eq!(append_at(&mut log, -1, now), segments, "{now}");
    }
}

#[test]
fn earlier_by_a_jitter_that_never_exceeds_the_age() {
    let rolled_at = |jitter: i64| {
        let config = LogConfig {
            segment_ms: 1000,
            segment_jitter_ms: jitter,
            ..LogConfig::default()
        };
        let (mut log, _) = open(&disk(), &config);
        append_at(&mut log, 0, 0);
        (1..2000).find(|at| append_at(&mut log, *at, 0) == 2).unwrap()
    };
    assert_eq!(rolled_at(0), 1001);
    for jitter in [10, 500, 999] {
        let at = rolled_at(jitter);
        assert!((1001 - jitter..=1001).contains(&at), "{jitter}: {at}");
    }
    // More jitter than age: as much as age, not a roll at every append.
    assert_eq!(rolled_at(1_000_000), rolled_at(1000));
}

#[test]
fn when_an_index_is_full_with_a_place_kept_for_the_last_time() {
    let fs = disk();
    let config = LogConfig {
        // Five entries of the time index; an entry for every second batch.
        segment_index_bytes: 60,
        index_interval_bytes: batch(&["v"]).len() as u32,
        ..LogConfig::default()
    };
    let (mut log, _) = open(&fs, &config);
    for i in 0..40 {
        append_at(&mut log, 1000 + i, 0);
    }
    let all = bases(&fs);
    assert!(all.len() > 2, "{all:?}");
    for base in &all[..all.len() - 1] {
        let bytes = fs.content(&file(&format!("{base:020}.timeindex"))).unwrap().len();
        assert_eq!(bytes, 48, "{base}");
    }
}

#[test]
fn by_size_before_the_batch_that_would_exceed_it() {
    let size = batch(&["v"]).len() as u64;
    let config = LogConfig {
        segment_bytes: 3 * size,
        ..LogConfig::default()
    };
    let (mut log, _) = open(&disk(), &config);
    for segments in [1, 1, 1, 2, 2, 2, 3] {
        assert_eq!(append_at(&mut log, 1000, 0), segments);
    }
}

/// One record at `offset`, as a leader would send it.
fn replicated(offset: i64) -> BytesMut {
    let mut builder = BatchBuilder::plain(Offset(offset));
    builder.append(Timestamp(1000), Some(b"k"), Some(b"v"), &[]);
    let mut bytes = builder.build();
    milena_record::stamp(&mut bytes, Offset(offset), LeaderEpoch(0));
    bytes
}

#[test]
fn before_offsets_lie_too_far_apart_for_an_index() {
    const FAR: i64 = i32::MAX as i64;
    let fs = disk();
    let config = LogConfig {
        compact: true,
        index_interval_bytes: 1,
        ..LogConfig::default()
    };
    let (mut log, _) = open(&fs, &config);
    let follow = |log: &mut PartitionLog, offsets: &[i64]| {
        let bytes: Vec<u8> = offsets.iter().flat_map(|offset| replicated(*offset)).collect();
        let from = log.log_end_offset();
        log.append_as_follower_from(from, Bytes::from(bytes), LeaderEpoch(0), Timestamp(0))
            .unwrap();
    };
    // In a log without a record; in one append; from append to append.
    follow(&mut log, &[FAR + 5]);
    follow(&mut log, &[FAR + 6, 2 * FAR + 5, 2 * FAR + 6, 5 * FAR, 7 * FAR]);
    follow(&mut log, &[7 * FAR + 1, 8 * FAR]);
    follow(&mut log, &[9 * FAR]);
    // At the log end, unless that too is too far away.
    let expected = [FAR + 5, FAR + 6, 5 * FAR, 7 * FAR, 8 * FAR + 1];
    assert_eq!(bases(&fs), expected);
    let offsets = [
        FAR + 5,
        FAR + 6,
        2 * FAR + 5,
        2 * FAR + 6,
        5 * FAR,
        7 * FAR,
        7 * FAR + 1,
        8 * FAR,
        9 * FAR,
    ];
    let all = |log: &PartitionLog| dump(log, 1).iter().map(|(offset, _)| *offset).collect::<Vec<_>>();
    assert_eq!(all(&log), offsets);
    flush(&mut log);
    drop(log);
    let (mut log, report) = open(&fs, &config);
    assert_eq!((report.cut, all(&log)), (None, offsets.to_vec()));
    log.close().unwrap();
    let (log, _) = open(&fs, &config);
    assert_eq!(all(&log), offsets);
}

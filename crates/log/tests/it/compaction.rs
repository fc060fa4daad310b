//! What compaction keeps, what it drops, and when.

use crate::support::*;
use bytes::{Bytes, BytesMut};
use milena_log::compaction::{CompactionError, CompactionRules, GroupDone, OffsetMap};
use milena_log::env::{FaultyFileSystem, FileSystem};
use milena_log::{AppendContext, AppendOrigin, LogConfig, PartitionLog};
use milena_record::control::ControlRecord;
use milena_record::{BatchBuilder, BatchHeader, Compression, TimestampType, records};
use milena_types::{LeaderEpoch, Offset, ProducerEpoch, ProducerId, Timestamp};

pub(crate) const NOW: Timestamp = Timestamp(1_000_000);

/// A compacted topic with tiny segments.
pub(crate) fn compacted() -> LogConfig {
    LogConfig {
        compact: true,
        delete: false,
        ..small()
    }
}

/// One compaction as the cleaner does it, on this thread; `end` is where the log is clean afterwards.
pub(crate) fn compact_with(
    log: &mut PartitionLog,
    rules: &CompactionRules,
    replicated: Offset,
    now: Timestamp,
    map_bytes: usize,
) -> Result<Option<Offset>, CompactionError> {
    let stable = log
        .first_unstable_offset()
        .map_or(log.high_watermark(), |first| first.min(log.high_watermark()));
    let Some(cleanable) = log.cleanable(rules, stable, now)? else {
        return Ok(None);
    };
    let mut job = log.begin_compaction(&cleanable, rules, replicated, now);
    let mut map = OffsetMap::new(map_bytes, 0.9);
    let mut pace = |_| true;
    job.build_map(&mut map, &mut pace)?;
    loop {
        match job.clean_group(&map, &mut pace)? {
            GroupDone::Last => break,
            GroupDone::Unchanged => continue,
            GroupDone::Ready { deletes_below } => {
                assert!(
                    deletes_below <= Some(replicated),
                    "a delete that some replica lacks is gone"
                );
                job.commit()?;
                assert!(log.swap_compacted(job.id(), now)?);
                job.finish_swap()?;
            }
        }
    }
    job.write_mark()?;
    log.compaction_over(job.id(), Some(job.end_offset()));
    Ok(Some(job.end_offset()))
}

pub(crate) fn compact(log: &mut PartitionLog) -> Option<Offset> {
    let end = log.log_end_offset();
    compact_with(log, &CompactionRules::default(), end, NOW, 1 << 20).unwrap()
}

/// A batch of these keys and values; `None` is a tombstone.
pub(crate) fn keyed(pairs: &[(&str, Option<&str>)]) -> BytesMut {
    let mut builder = BatchBuilder::plain(Offset(0));
    for (key, value) in pairs {
        builder.append(
            Timestamp(1000),
            Some(key.as_bytes()),
            value.map(str::as_bytes),
            &[],
        );
    }
    builder.build()
}

pub(crate) fn put(log: &mut PartitionLog, key: &str, value: Option<&str>) -> Offset {
    let appended = log.append_as_leader(keyed(&[(key, value)]), &ctx(0)).unwrap();
    log.on_high_watermark(log.log_end_offset());
    appended.range.from
}

/// Closes the active segment, as its age would, and flushes it, so that it can be compacted.
pub(crate) fn roll(log: &mut PartitionLog) {
    log.roll(NOW).unwrap();
    flush(log);
}

/// Every record as (offset, key, value), by small reads.
pub(crate) fn pairs(log: &PartitionLog) -> Vec<(i64, String, Option<String>)> {
    let text = |bytes: Bytes| String::from_utf8_lossy(&bytes).into_owned();
    let mut all = Vec::new();
    for (_, batch) in stored(log) {
        for record in records(&batch, 1 << 20).unwrap() {
            let key = record.key.map(text).unwrap_or_default();
            all.push((record.offset.0, key, record.value.map(text)));
        }
    }
    all
}

fn stored(log: &PartitionLog) -> Vec<(BatchHeader, Bytes)> {
    let mut all = Vec::new();
    each_batch(log, 100, |header, bytes| {
        all.push((header, Bytes::copy_from_slice(bytes)));
    });
    all
}

pub(crate) fn names(fs: &FaultyFileSystem) -> Vec<String> {
    let name = |path: std::path::PathBuf| path.file_name().map(|name| name.to_string_lossy().into_owned());
    fs.paths().into_iter().filter_map(name).collect()
}

#[test]
fn the_example_of_the_books() {
    let fs = disk();
    let (mut log, _) = open(&fs, &compacted());
    for (value, key) in ["K1", "K2", "K3", "K3", "K1", "K2", "K1"].into_iter().enumerate() {
        put(&mut log, key, Some(&format!("V{}", value + 1)));
    }
    roll(&mut log);
    put(&mut log, "K1", Some("V8"));
    assert_eq!(compact(&mut log), Some(Offset(7)));
    let kept = [(3, "K3", "V4"), (5, "K2", "V6"), (6, "K1", "V7"), (7, "K1", "V8")];
    let expected: Vec<_> = kept
        .iter()
        .map(|(at, key, value)| (*at, (*key).to_owned(), Some((*value).to_owned())))
        .collect();
    assert_eq!(pairs(&log), expected, "the active segment is not touched");
    assert_eq!(
        (log.log_start_offset(), log.log_end_offset()),
        (Offset(0), Offset(8))
    );
    log.close().unwrap();
    let (log, report) = open(&fs, &compacted());
    assert_eq!((pairs(&log), report.cut), (expected, None));
    assert!(
        !names(&fs)
            .iter()
            .any(|name| name.contains("swap") || name.ends_with("cleaned"))
    );
}

#[test]
fn what_is_clean_is_not_mapped_again_and_what_came_since_is() {
    let fs = disk();
    let (mut log, _) = open(&fs, &compacted());
    put(&mut log, "a", Some("1"));
    put(&mut log, "b", Some("1"));
    roll(&mut log);
    assert_eq!(compact(&mut log), Some(Offset(2)));
    assert_eq!(compact(&mut log), None, "nothing is dirty");
    put(&mut log, "a", Some("2"));
    roll(&mut log);
    let rules = CompactionRules::default();
    let cleanable = log.cleanable(&rules, Offset(3), NOW).unwrap().unwrap();
    assert_eq!((cleanable.first_dirty, cleanable.upper), (Offset(2), Offset(3)));
    assert!(cleanable.clean_bytes > 0 && cleanable.dirty_bytes > 0 && !cleanable.is_due(&rules));
    log.close().unwrap();
    let (mut log, _) = open_at(&fs, &compacted(), Offset(3)).unwrap();
    log.on_high_watermark(Offset(3));
    assert_eq!(
        log.cleanable(&rules, Offset(3), NOW).unwrap(),
        Some(cleanable),
        "after a restart too"
    );
    assert_eq!(compact(&mut log), Some(Offset(3)));
    assert_eq!(pairs(&log).len(), 2);
}

#[test]
fn bounds_of_what_may_be_compacted() {
    let fs = disk();
    let (mut log, _) = open(&fs, &compacted());
    for i in 0..3 {
        put(&mut log, "a", Some(&format!("{i}")));
        roll(&mut log);
    }
    let rules = CompactionRules::default();
    let upper = |log: &mut PartitionLog, rules: &CompactionRules, stable: i64, now: i64| {
        let cleanable = log.cleanable(rules, Offset(stable), Timestamp(now)).unwrap();
        cleanable.map(|cleanable| (cleanable.upper.0, cleanable.delay_ms))
    };
    assert_eq!(upper(&mut log, &rules, 3, 5000), Some((3, 0)));
    assert_eq!(
        upper(&mut log, &rules, 2, 5000),
        Some((2, 0)),
        "the last stable offset"
    );
    assert_eq!(upper(&mut log, &rules, 0, 5000), None);
    let (mut unflushed, _) = open(&disk(), &compacted());
    append(&mut unflushed, &["1"]);
    unflushed.roll(NOW).unwrap();
    assert_eq!(
        upper(&mut unflushed, &rules, 1, 5000),
        None,
        "what is not on disk"
    );
    flush(&mut unflushed);
    assert_eq!(upper(&mut unflushed, &rules, 1, 5000), Some((1, 0)));
    let min = CompactionRules {
        min_compaction_lag_ms: 500,
        ..rules
    };
    assert_eq!(
        upper(&mut log, &min, 3, 1499),
        None,
        "records of 1000 are too young"
    );
    assert_eq!(upper(&mut log, &min, 3, 1500), Some((3, 0)));
    let max = CompactionRules {
        max_compaction_lag_ms: 500,
        ..rules
    };
    assert_eq!(upper(&mut log, &max, 3, 1500), Some((3, 0)));
    assert_eq!(upper(&mut log, &max, 3, 1501), Some((3, 1)));
    assert_eq!(upper(&mut log, &max, 3, 9500), Some((3, 8000)), "since when");
}

#[test]
fn a_tombstone_stays_until_its_horizon_and_until_every_replica_has_it() {
    let fs = disk();
    let (mut log, _) = open(&fs, &compacted());
    put(&mut log, "a", Some("1"));
    put(&mut log, "b", Some("1"));
    let tombstone = put(&mut log, "a", None);
    roll(&mut log);
    put(&mut log, "c", Some("1"));
    let rules = CompactionRules {
        delete_retention_ms: 100,
        ..CompactionRules::default()
    };
    let run = |log: &mut PartitionLog, replicated: i64, now: i64| {
        // Something dirty, so that there is something to do.
        put(log, "z", Some("1"));
        roll(log);
        compact_with(log, &rules, Offset(replicated), Timestamp(now), 1 << 20)
            .unwrap()
            .unwrap();
        let has = |key: &str| pairs(log).iter().any(|(_, k, v)| k == key && v.is_none());
        let value = pairs(log).iter().any(|(at, k, _)| k == "a" && *at != tombstone.0);
        assert!(!value, "the value that it deletes is gone at once");
        let horizon = stored(log).iter().find_map(|(header, _)| header.delete_horizon());
        (has("a"), horizon)
    };
    let horizon = Some(Timestamp(5100));
    assert_eq!(
        run(&mut log, 99, 5000),
        (true, horizon),
        "the first pass sets the horizon"
    );
    assert_eq!(run(&mut log, 99, 5099), (true, horizon));
    assert_eq!(
        run(&mut log, tombstone.0, 6000),
        (true, horizon),
        "a replica lacks it"
    );
    assert_eq!(run(&mut log, tombstone.0 + 1, 6000), (false, None));
}

#[test]
fn a_horizon_is_set_only_on_what_the_map_has_seen() {
    let fs = disk();
    let (mut log, _) = open(&fs, &compacted());
    for i in 0..20 {
        put(&mut log, &format!("key {i}"), Some("1"));
    }
    let value = put(&mut log, "a", Some("1"));
    let tombstone = put(&mut log, "a", None);
    roll(&mut log);
    // A map with room for ten keys: the tombstone is not reached.
    let rules = CompactionRules {
        delete_retention_ms: 0,
        ..CompactionRules::default()
    };
    let end = compact_with(&mut log, &rules, Offset(99), Timestamp(5000), 24 * 12)
        .unwrap()
        .unwrap();
    assert!(end < value);
    assert!(
        stored(&log)
            .iter()
            .all(|(header, _)| header.delete_horizon().is_none())
    );
    let mut passes = 0;
    while pairs(&log).iter().any(|(at, ..)| *at == value.0) {
        let now = Timestamp(6000 + passes);
        if compact_with(&mut log, &rules, Offset(99), now, 24 * 12)
            .unwrap()
            .is_none()
        {
            panic!("the value was never dropped");
        }
        passes += 1;
        assert!(
            pairs(&log).iter().any(|(at, ..)| *at == tombstone.0),
            "not both in one pass"
        );
    }
    assert!(passes > 1);
}

#[test]
fn a_batch_with_more_keys_than_the_map_is_compacted_in_parts() {
    let fs = disk();
    let config = LogConfig {
        segment_bytes: 1 << 20,
        ..compacted()
    };
    let (mut log, _) = open(&fs, &config);
    let keys: Vec<String> = (0..100).map(|i| format!("key {i}")).collect();
    for value in ["old", "new"] {
        let pairs: Vec<(&str, Option<&str>)> = keys.iter().map(|key| (key.as_str(), Some(value))).collect();
        log.append_as_leader(keyed(&pairs), &ctx(0)).unwrap();
    }
    log.on_high_watermark(log.log_end_offset());
    roll(&mut log);
    let mut ends = Vec::new();
    let rules = CompactionRules::default();
    while let Some(end) = compact_with(&mut log, &rules, Offset(200), NOW, 24 * 32).unwrap() {
        assert!(ends.last() < Some(&end), "no progress");
        ends.push(end);
    }
    assert!(ends.len() > 5 && ends.last() == Some(&Offset(200)), "{ends:?}");
    let left = pairs(&log);
    assert_eq!(left.len(), 100);
    assert!(
        left.iter()
            .all(|(at, _, value)| *at >= 100 && value.as_deref() == Some("new"))
    );
}

#[test]
fn records_without_keys_have_no_place() {
    let fs = disk();
    let (mut log, _) = open(&fs, &small());
    let mut builder = BatchBuilder::plain(Offset(0));
    builder.append(Timestamp(1000), None, Some(b"no key"), &[]);
    builder.append(Timestamp(1000), Some(b"a"), Some(b"1"), &[]);
    log.append_as_leader(builder.build(), &ctx(0)).unwrap();
    put(&mut log, "b", Some("1"));
    roll(&mut log);
    log.set_config(std::sync::Arc::new(compacted()));
    compact(&mut log).unwrap();
    let keys: Vec<String> = pairs(&log).into_iter().map(|(_, key, _)| key).collect();
    assert_eq!(keys, ["a", "b"]);
}

pub(crate) fn of_producer(id: i64, sequence: i32, key: &str, transactional: bool) -> BytesMut {
    let producer = Some((ProducerId(id), ProducerEpoch(0), sequence));
    let mut builder = BatchBuilder::new(
        Offset(0),
        Compression::None,
        TimestampType::CreateTime,
        producer,
        transactional,
        false,
    );
    builder.append(Timestamp(1000), Some(key.as_bytes()), Some(b"v"), &[]);
    builder.build()
}

#[test]
fn the_last_batch_of_an_active_producer_keeps_its_sequence() {
    let fs = disk();
    let (mut log, _) = open(&fs, &compacted());
    for sequence in 0..3 {
        try_append(&mut log, of_producer(1, sequence, "a", false)).unwrap();
    }
    put(&mut log, "a", Some("newest"));
    roll(&mut log);
    put(&mut log, "b", Some("1"));
    compact(&mut log).unwrap();
    let left = stored(&log);
    let of_producer_1: Vec<_> = left
        .iter()
        .filter(|(header, _)| header.producer_id.is_some())
        .collect();
    assert_eq!(of_producer_1.len(), 1);
    let header = of_producer_1[0].0;
    assert_eq!(
        (header.records_count, header.base_sequence, header.base_offset),
        (0, 2, Offset(2))
    );
    // A restart replays it: the sequence goes on.
    drop(log);
    for name in names(&fs).iter().filter(|name| name.ends_with(".snapshot")) {
        fs.remove_file(&file(name)).unwrap();
    }
    let (mut log, report) = open(&fs, &compacted());
    assert_eq!(report.cut, None);
    let again = try_append(&mut log, of_producer(1, 2, "a", false)).unwrap();
    assert!(again.duplicate && again.range.from == Offset(2));
    assert!(
        !try_append(&mut log, of_producer(1, 3, "a", false))
            .unwrap()
            .duplicate
    );
}

#[test]
fn a_group_ends_with_a_batch_so_that_segments_meet() {
    let fs = disk();
    let (mut log, _) = open(&fs, &compacted());
    put(&mut log, "a", Some("1"));
    put(&mut log, "b", Some("1"));
    roll(&mut log);
    for _ in 0..12 {
        put(&mut log, "b", Some(&"x".repeat(40)));
    }
    roll(&mut log);
    compact(&mut log).unwrap();
    let (log, report) = open(&fs, &compacted());
    assert_eq!(
        (report.cut.clone(), log.log_end_offset()),
        (None, Offset(14)),
        "all of it was scanned: {report:?}"
    );
    assert_eq!(pairs(&log).len(), 2);
}

pub(crate) fn marker(log: &mut PartitionLog, id: i64, kind: ControlRecord) -> Offset {
    let batch = kind.batch(Offset(0), Timestamp(1000), (ProducerId(id), ProducerEpoch(0)), 1);
    let origin = AppendOrigin::Coordinator {
        marker_epoch_must_grow: false,
    };
    let context = AppendContext {
        epoch: LeaderEpoch(0),
        now: NOW,
        origin,
    };
    let offset = log.append_as_leader(batch, &context).unwrap().range.from;
    log.on_high_watermark(log.log_end_offset());
    offset
}

#[test]
fn aborted_data_goes_at_once_and_markers_when_nothing_is_left_of_their_transaction() {
    let fs = disk();
    let (mut log, _) = open(&fs, &compacted());
    put(&mut log, "a", Some("committed before"));
    try_append(&mut log, of_producer(1, 0, "a", true)).unwrap();
    try_append(&mut log, of_producer(2, 0, "b", true)).unwrap();
    let abort = marker(&mut log, 1, ControlRecord::Abort);
    let commit = marker(&mut log, 2, ControlRecord::Commit);
    // Newer batches of the producers, so that the old ones need not be kept for their sequences.
    try_append(&mut log, of_producer(1, 1, "c", true)).unwrap();
    try_append(&mut log, of_producer(2, 1, "d", true)).unwrap();
    marker(&mut log, 1, ControlRecord::Commit);
    marker(&mut log, 2, ControlRecord::Commit);
    roll(&mut log);
    let rules = CompactionRules {
        delete_retention_ms: 100,
        ..CompactionRules::default()
    };
    let run = |log: &mut PartitionLog, now: i64, replicated: i64| {
        put(log, "z", Some("1"));
        roll(log);
        compact_with(log, &rules, Offset(replicated), Timestamp(now), 1 << 20)
            .unwrap()
            .unwrap();
        let keys: String = pairs(log)
            .iter()
            .filter(|(_, key, _)| key.len() == 1)
            .map(|(_, key, _)| key.as_str())
            .collect();
        let markers: Vec<i64> = stored(log)
            .iter()
            .filter(|(header, _)| header.is_control() && header.records_count > 0)
            .map(|(header, _)| header.base_offset.0)
            .collect();
        let aborted = log
            .aborted_transactions(Offset(0), log.log_end_offset())
            .unwrap()
            .len();
        (keys, markers, aborted)
    };
    let all = vec![abort.0, commit.0, 7, 8];
    let first = run(&mut log, 5000, 99);
    assert_eq!(
        first,
        ("abcdz".to_owned(), all.clone(), 1),
        "the abort hides what readers may still hold"
    );
    let a = pairs(&log)
        .iter()
        .find(|(_, key, _)| key == "a")
        .cloned()
        .unwrap();
    assert_eq!(
        a.2.as_deref(),
        Some("committed before"),
        "an aborted record supersedes nothing"
    );
    let second = run(&mut log, 5000, 99);
    assert_eq!(
        second,
        ("abcdz".to_owned(), all.clone(), 0),
        "its transaction is empty: the horizon is set"
    );
    let early = run(&mut log, 5099, 99);
    assert_eq!(early.1, all);
    let lacking = run(&mut log, 5100, abort.0);
    assert_eq!(lacking.1, all, "a replica lacks the marker");
    let late = run(&mut log, 5100, 99);
    assert_eq!(late.1, [commit.0, 7, 8], "the commits have data");
    assert_eq!(late.0, "abcdz");
}

#[test]
fn a_producers_aborted_transaction_says_nothing_of_its_later_ones() {
    let fs = disk();
    let (mut log, _) = open(&fs, &compacted());
    put(&mut log, "a", Some("superseded by what is committed"));
    try_append(&mut log, of_producer(1, 0, "a", true)).unwrap();
    marker(&mut log, 1, ControlRecord::Abort);
    roll(&mut log);
    compact(&mut log).unwrap();
    try_append(&mut log, of_producer(1, 1, "a", true)).unwrap();
    marker(&mut log, 1, ControlRecord::Commit);
    put(&mut log, "b", Some("1"));
    roll(&mut log);
    compact(&mut log).unwrap();
    let keys: Vec<(i64, String)> = pairs(&log)
        .into_iter()
        .map(|(at, key, _)| (at, key))
        .filter(|(_, key)| key.len() == 1)
        .collect();
    assert_eq!(keys, [(3, "a".to_owned()), (5, "b".to_owned())]);
}

#[test]
fn segments_are_merged_and_split_by_the_index() {
    let fs = disk();
    let (mut log, _) = open(&fs, &compacted());
    for i in 0..30 {
        put(&mut log, &format!("key {}", i % 3), Some(&"x".repeat(100)));
    }
    roll(&mut log);
    let before = log.segments();
    for _ in 0..3 {
        put(&mut log, "z", Some("1"));
        roll(&mut log);
        compact(&mut log).unwrap();
    }
    assert!(
        before > 8 && log.segments() < 5,
        "{before} became {}",
        log.segments()
    );
    // An index of two entries closes a segment early.
    let config = LogConfig {
        segment_index_bytes: 16,
        index_interval_bytes: 1,
        segment_bytes: 1 << 20,
        ..compacted()
    };
    let fs = disk();
    let wide = LogConfig {
        segment_index_bytes: 1 << 20,
        ..config.clone()
    };
    let (mut log, _) = open(&fs, &wide);
    for i in 0..20 {
        put(&mut log, &format!("key {i}"), Some(&"x".repeat(100)));
        put(&mut log, "again", Some("1"));
    }
    roll(&mut log);
    assert_eq!(log.segments(), 2);
    log.set_config(std::sync::Arc::new(config.clone()));
    let expected = 21;
    compact(&mut log).unwrap();
    assert!(log.segments() > 5, "{}", log.segments());
    assert_eq!(pairs(&log).len(), expected);
    let (log, report) = open(&fs, &config);
    assert_eq!(
        (report.cut, pairs(&log).len(), log.log_end_offset()),
        (None, expected, Offset(40))
    );
}

#[test]
fn a_log_that_changes_nothing_is_not_written_again() {
    let fs = disk();
    let (mut log, _) = open(&fs, &compacted());
    put(&mut log, "a", Some("1"));
    roll(&mut log);
    let before = log.segments();
    compact(&mut log).unwrap();
    assert_eq!(log.segments(), before);
    assert!(
        !names(&fs)
            .iter()
            .any(|name| name.ends_with(".deleted") || name == "offset-holes")
    );
}

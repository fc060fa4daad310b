//! What a compaction must not let go of: what it says that it forgets, holes, epochs of producers, ages.

use crate::compaction::*;
use crate::support::*;
use milena_log::compaction::{CompactionRules, GroupDone, OffsetMap};
use milena_log::env::{FaultyFileSystem, Survival};
use milena_log::{AppendContext, AppendOrigin, LogConfig, OpenOptions, PartitionLog};
use milena_record::control::ControlRecord;
use milena_record::{BatchBuilder, batches, stamp};
use milena_types::{LeaderEpoch, Offset, ProducerEpoch, ProducerId, Timestamp};

const RULES: CompactionRules = CompactionRules {
    min_cleanable_dirty_ratio: 0.5,
    min_compaction_lag_ms: 0,
    max_compaction_lag_ms: i64::MAX,
    delete_retention_ms: 0,
};

/// What a group says that it forgets, one past it; nothing is swapped.
fn forgets(log: &mut PartitionLog) -> Option<Offset> {
    let end = log.log_end_offset();
    let cleanable = log.cleanable(&RULES, end, Timestamp(7000)).unwrap().unwrap();
    let mut job = log.begin_compaction(&cleanable, &RULES, end, Timestamp(7000));
    let mut map = OffsetMap::new(1 << 20, 0.9);
    job.build_map(&mut map, &mut |_| true).unwrap();
    let done = job.clean_group(&map, &mut |_| true).unwrap();
    let GroupDone::Ready { deletes_below } = done else {
        panic!("{done:?}")
    };
    job.discard().unwrap();
    log.compaction_over(job.id(), None);
    deletes_below
}

#[test]
fn a_group_says_which_tombstone_or_marker_it_forgets() {
    for marked in [false, true] {
        let config = LogConfig {
            segment_bytes: 1 << 20,
            ..compacted()
        };
        let (mut log, _) = open(&disk(), &config);
        let delete = if marked {
            try_append(&mut log, of_producer(1, 0, "a", true)).unwrap();
            marker(&mut log, 1, ControlRecord::Abort)
        } else {
            put(&mut log, "a", Some("1"));
            put(&mut log, "a", None)
        };
        try_append(&mut log, of_producer(1, i32::from(marked), "b", true)).unwrap();
        marker(&mut log, 1, ControlRecord::Commit);
        for _ in 0..1 + i32::from(marked) {
            put(&mut log, "z", Some("1"));
            roll(&mut log);
            assert_eq!(forgets(&mut log), None, "{marked}");
            let end = log.log_end_offset();
            compact_with(&mut log, &RULES, end, Timestamp(5000), 1 << 20)
                .unwrap()
                .unwrap();
        }
        put(&mut log, "z", Some("1"));
        roll(&mut log);
        assert_eq!(forgets(&mut log), Some(delete.plus(1)), "{marked}");
    }
}

#[test]
fn a_log_whose_topic_is_compacted_no_more_keeps_its_holes() {
    let fs = disk();
    let (mut log, _) = open(&fs, &compacted());
    for key in ["a", "b", "a", "b", "a", "b"] {
        put(&mut log, key, Some("1"));
    }
    roll(&mut log);
    put(&mut log, "c", Some("1"));
    compact(&mut log).unwrap();
    let expected = pairs(&log);
    flush(&mut log);
    drop(log);
    for point in [0, 7] {
        let (log, report) = open_at(&fs.copied(), &small(), Offset(point)).unwrap();
        assert_eq!((pairs(&log), report.cut), (expected.clone(), None), "{point}");
    }
}

#[test]
fn a_producer_of_which_only_a_marker_is_known_keeps_its_epoch() {
    let fs = disk();
    let (mut log, _) = open(&fs, &compacted());
    try_append(&mut log, of_producer(1, 0, "a", true)).unwrap();
    // The coordinator fences it: the marker has the next epoch.
    let fence = ControlRecord::Abort.batch(Offset(0), Timestamp(1000), (ProducerId(1), ProducerEpoch(1)), 1);
    let origin = AppendOrigin::Coordinator {
        marker_epoch_must_grow: false,
    };
    log.append_as_leader(fence, &AppendContext { origin, ..ctx(0) })
        .unwrap();
    for _ in 0..4 {
        put(&mut log, "z", Some("1"));
        roll(&mut log);
        let end = log.log_end_offset();
        compact_with(&mut log, &RULES, end, Timestamp(5000), 1 << 20)
            .unwrap()
            .unwrap();
    }
    let mut left = Vec::new();
    let read = log.read(Offset(0), 1 << 20, log.log_end_offset(), true).unwrap();
    for batch in batches(&read.records) {
        let (header, _) = batch.unwrap();
        left.push((header.base_offset.0, header.is_control(), header.records_count));
    }
    assert_eq!(left.first(), Some(&(1, true, 0)), "{left:?}");
}

#[test]
fn compacted_segments_are_as_old_as_what_they_were_made_from() {
    let temp = tempfile::tempdir().unwrap();
    let of = real(&temp, &compacted());
    let mut log = PartitionLog::open(of.clone()).unwrap().0;
    for _ in 0..3 {
        let mut builder = BatchBuilder::plain(Offset(0));
        builder.append(Timestamp::NONE, Some(b"a"), Some(b"v"), &[]);
        try_append(&mut log, builder.build()).unwrap();
    }
    log.on_high_watermark(log.log_end_offset());
    roll(&mut log);
    let path = of.dir.join("00000000000000000000.log");
    set_modified(&path, 5);
    compact(&mut log).unwrap();
    assert_eq!(pairs(&log).len(), 1, "it was written again");
    let modified = std::fs::metadata(&path).unwrap().modified().unwrap();
    assert_eq!(
        modified,
        std::time::UNIX_EPOCH + std::time::Duration::from_secs(5)
    );
}

/// Opens what a crash left, by checkpoints that are older than the compaction.
fn epochs_after_crash(fs: &FaultyFileSystem, log_start: i64) -> Vec<(i32, i64)> {
    let options = OpenOptions {
        log_start_offset: Offset(log_start),
        ..options(&fs.after_crash(Survival::NothingUnsynced), &compacted())
    };
    let (log, _) = PartitionLog::open(options).unwrap();
    log.epoch_entries().iter().map(|(e, at)| (e.0, at.0)).collect()
}

fn put_in_epoch(log: &mut PartitionLog, key: &str, epoch: i32) {
    log.append_as_leader(keyed(&[(key, Some("v"))]), &ctx(epoch))
        .unwrap();
    log.on_high_watermark(log.log_end_offset());
}

#[test]
fn an_epoch_whose_records_are_all_compacted_is_known_after_a_crash() {
    let fs = disk();
    let (mut log, _) = open(&fs, &compacted());
    for (key, epoch) in [("a", 0), ("b", 1), ("b", 2), ("c", 2)] {
        put_in_epoch(&mut log, key, epoch);
    }
    roll(&mut log);
    compact(&mut log).unwrap();
    assert_eq!(
        pairs(&log).iter().map(|(at, ..)| *at).collect::<Vec<_>>(),
        [0, 2, 3]
    );
    // Epoch 0 ends at 1: a follower that has more of it has what was never committed.
    assert_eq!(epochs_after_crash(&fs, 0), [(0, 0), (1, 1), (2, 2)]);
}

#[test]
fn an_epoch_whose_first_record_is_compacted_begins_where_it_began() {
    let fs = disk();
    let (mut log, _) = open(&fs, &compacted());
    for (key, epoch) in [("a", 0), ("b", 1), ("b", 1), ("c", 1)] {
        put_in_epoch(&mut log, key, epoch);
    }
    log.set_log_start_offset(Offset(1));
    roll(&mut log);
    compact(&mut log).unwrap();
    assert_eq!(
        epochs_after_crash(&fs, 1),
        [(1, 1)],
        "below it lies a record of epoch 0"
    );
}

#[test]
fn an_epoch_that_the_log_contradicts_is_none_whose_records_are_compacted() {
    let fs = disk();
    let (mut log, _) = open(&fs, &compacted());
    for (key, epoch) in [("a", 1), ("b", 1), ("c", 1), ("d", 1), ("e", 3)] {
        put_in_epoch(&mut log, key, epoch);
    }
    roll(&mut log);
    drop(log);
    fs.overwrite(&file("leader-epoch-checkpoint"), b"0\n3\n1 0\n2 2\n3 4\n");
    assert_eq!(epochs_after_crash(&fs, 0), [(1, 0), (3, 4)]);
}

/// A follower gets it with the horizon that its leader's compaction has set, while its own has not seen the value yet.
#[test]
fn a_tombstone_with_a_horizon_of_another_log_waits_for_the_value_that_it_deletes() {
    let fs = disk();
    let (mut log, _) = open(&fs, &compacted());
    for i in 0..20 {
        put(&mut log, &format!("key {i}"), Some("1"));
    }
    let value = put(&mut log, "a", Some("1"));
    let mut builder = BatchBuilder::plain(log.log_end_offset()).delete_horizon(Timestamp(1));
    builder.append(Timestamp(1000), Some(b"a"), None, &[]);
    let mut batch = builder.build();
    stamp(&mut batch, log.log_end_offset(), LeaderEpoch(0));
    let batch = batch.freeze();
    log.append_as_follower(batch, LeaderEpoch(0), NOW).unwrap();
    log.on_high_watermark(log.log_end_offset());
    roll(&mut log);
    let mut passes = 0;
    let has = |log: &PartitionLog, at: Offset| pairs(log).iter().any(|(found, ..)| *found == at.0);
    while has(&log, value) {
        assert!(has(&log, value.plus(1)), "the tombstone went first");
        // A map with room for ten keys.
        let end = log.log_end_offset();
        compact_with(&mut log, &RULES, end, NOW, 24 * 12)
            .unwrap()
            .unwrap();
        passes += 1;
    }
    assert!(passes > 1);
}

/// One may have a transaction open whose marker is gone.
#[test]
fn no_snapshot_of_what_was_compacted_is_left() {
    let fs = disk();
    let (mut log, _) = open(&fs, &compacted());
    for _ in 0..3 {
        put(&mut log, "a", Some("1"));
        roll(&mut log);
    }
    let snapshots = |fs: &FaultyFileSystem| -> Vec<String> {
        let mut all = names(fs);
        all.retain(|name| name.ends_with(".snapshot"));
        all
    };
    assert!(snapshots(&fs).len() > 1);
    let end = compact(&mut log).unwrap();
    assert_eq!(snapshots(&fs), [format!("{end:020}.snapshot", end = end.0)]);
}

//! Old segments go, new ones stay.

use crate::support::*;
use milena_log::env::FileSystem;
use milena_log::{DeletionReason, LogConfig, PartitionLog};
use milena_types::{LeaderEpoch, Offset, Timestamp};
use std::path::Path;

/// Segments of two batches, ten offsets; timestamps grow by 10 per batch from 1000.
fn filled(config: LogConfig) -> (milena_log::env::FaultyFileSystem, PartitionLog) {
    let size = batch(&["v"; 5]).len() as u64;
    let fs = disk();
    let config = LogConfig {
        segment_bytes: 2 * size,
        ..config
    };
    let (mut log, _) = open(&fs, &config);
    for i in 0..20 {
        log.append_as_leader(batch_at(1000 + 10 * i, &["v"; 5]), &ctx(i as i32 / 5))
            .unwrap();
    }
    assert_eq!(log.segments(), 10);
    (fs, log)
}

fn delete(log: &mut PartitionLog, now: i64, high_watermark: i64) -> (usize, i64) {
    let deleted = log
        .delete_old_segments(Timestamp(now), Offset(high_watermark))
        .unwrap();
    (deleted.len(), log.log_start_offset().0)
}

#[test]
fn time_looks_at_the_largest_timestamp_of_a_segment() {
    let (_, mut log) = filled(LogConfig {
        retention_ms: 1000,
        ..LogConfig::default()
    });
    // Segment i ends at timestamp 1014 + 20 i.
    assert_eq!(delete(&mut log, 2014, 100), (0, 0));
    assert_eq!(delete(&mut log, 2015, 100), (1, 10));
    assert_eq!(
        delete(&mut log, 2075, 30),
        (2, 30),
        "nothing at or past the high watermark"
    );
    assert_eq!(log.epoch_entries()[0], (LeaderEpoch(1), Offset(30)));
    assert_eq!(
        delete(&mut log, 1_000_000, 100),
        (7, 100),
        "an old active segment goes too"
    );
    assert_eq!((log.segments(), log.log_end_offset()), (1, Offset(100)));
    assert_eq!(delete(&mut log, 2_000_000, 100), (0, 100), "an empty one stays");
}

#[test]
fn size_counts_from_the_oldest() {
    let (_, mut log) = filled(LogConfig {
        retention_ms: -1,
        ..LogConfig::default()
    });
    let segment = log.size_bytes() / 10;
    log.set_config(std::sync::Arc::new(LogConfig {
        retention_ms: -1,
        retention_bytes: (segment * 4 + segment / 2) as i64,
        ..(**log.config()).clone()
    }));
    let deleted = log.delete_old_segments(Timestamp(0), Offset(100)).unwrap();
    assert!(deleted.iter().all(|d| d.reason == DeletionReason::Size));
    assert_eq!((deleted.len(), log.log_start_offset()), (5, Offset(50)));
}

#[test]
fn compacted_topics_delete_only_below_the_log_start() {
    let (_, mut log) = filled(LogConfig {
        delete: false,
        compact: true,
        retention_ms: 1,
        ..LogConfig::default()
    });
    assert_eq!(delete(&mut log, 1_000_000, 100), (0, 0));
    log.set_log_start_offset(Offset(23));
    assert_eq!(delete(&mut log, 1_000_000, 100), (2, 23));
    assert!(log.read(Offset(22), 1, Offset(100), true).is_err());
    assert_eq!(dump(&log, 1)[0].0, 20, "whole batches only, consumers skip");
}

#[test]
fn files_are_renamed_and_handed_out_after_the_delay() {
    let (fs, mut log) = filled(LogConfig {
        retention_ms: 1000,
        ..LogConfig::default()
    });
    let plan = log
        .plan_read(Offset(0), 10_000, Offset(100), true)
        .unwrap()
        .unwrap();
    delete(&mut log, 2015, 100);
    assert!(fs.content(&file("00000000000000000000.log")).is_none());
    assert!(fs.content(&file("00000000000000000000.log.deleted")).is_some());
    assert!(
        !plan.run().unwrap().records.is_empty(),
        "a read that was planned is not disturbed"
    );
    assert!(log.take_removals(Timestamp(62_014)).is_empty());
    for removal in log.take_removals(Timestamp(62_015)) {
        removal.run().unwrap();
    }
    assert!(fs.content(&file("00000000000000000000.log.deleted")).is_none());
    let (log, _) = open(&fs, &LogConfig::default());
    assert_eq!(log.log_start_offset(), Offset(10));
}

#[test]
fn deleting_a_log_renames_its_directory_first() {
    let (fs, log) = filled(LogConfig::default());
    let removal = log.delete().unwrap().unwrap();
    assert!(fs.read_dir(Path::new(DIR)).is_err());
    assert!(removal.path().to_string_lossy().ends_with("-delete"));
    removal.run().unwrap();
    assert!(fs.paths().is_empty());
    let (log, _) = open(&disk(), &LogConfig::default());
    assert!(log.delete().unwrap().is_none(), "nothing was there");
}

#[test]
fn a_flush_of_a_deleted_log_does_not_fail() {
    let fs = disk();
    let (mut log, _) = open(&fs, &small());
    append(&mut log, &["x"]);
    let ticket = log.take_flush().unwrap().unwrap();
    log.delete().unwrap().unwrap().run().unwrap();
    ticket.sync().unwrap();
}

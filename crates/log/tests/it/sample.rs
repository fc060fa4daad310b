//! A log on the real disk that holds one of everything, for Kafka's own tools to judge.

use crate::support::*;
use milena_log::{AppendContext, AppendOrigin, LogConfig, LogDir, PartitionLog};
use milena_record::control::ControlRecord;
use milena_record::{BatchBuilder, Compression, TimestampType};
use milena_types::{
    BrokerId, ClusterId, LeaderEpoch, Offset, PartitionIndex, ProducerEpoch, ProducerId, Timestamp, TopicId,
    TopicName, TopicPartition, Uuid,
};
use std::path::Path;
use std::sync::Arc;

fn coordinator() -> AppendContext {
    let origin = AppendOrigin::Coordinator {
        marker_epoch_must_grow: false,
    };
    AppendContext {
        epoch: LeaderEpoch(4),
        now: Timestamp(1_000_000),
        origin,
    }
}

/// Fills a log with every codec, transactions, epochs and several segments; closes it cleanly.
fn write(path: &Path) -> usize {
    let dir = LogDir::open(path, BrokerId(1), Some(&ClusterId("sample".to_owned()))).unwrap();
    let partition = TopicPartition {
        topic: TopicName::new("sample").unwrap(),
        partition: PartitionIndex(0),
    };
    let config = LogConfig {
        segment_bytes: 20_000,
        index_interval_bytes: 512,
        ..LogConfig::default()
    };
    let options = dir.open_options(partition, TopicId(Uuid([3; 16])), Arc::new(config), Timestamp(0));
    let (mut log, _) = PartitionLog::open(options).unwrap();
    let codecs = Compression::ALL;
    for i in 0..200_i32 {
        let timestamp = 1000 + i64::from(i) * 7 - i64::from(i % 5) * 20;
        let mut builder = BatchBuilder::new(
            Offset(0),
            codecs[i as usize % 5],
            TimestampType::CreateTime,
            None,
            false,
            false,
        );
        for record in 0..5 {
            let value = format!("value {i} {record} {}", "abc".repeat(20));
            builder.append(
                Timestamp(timestamp + record),
                Some(b"key"),
                Some(value.as_bytes()),
                &[],
            );
        }
        log.append_as_leader(builder.build(), &ctx(i / 50)).unwrap();
        let (id, sequence) = (i64::from(i % 3), i / 3);
        log.append_as_leader(produced(id, 0, sequence, 1, true), &ctx(i / 50))
            .unwrap();
        if i % 7 == 0 {
            let kind = if i % 2 == 0 {
                ControlRecord::Abort
            } else {
                ControlRecord::Commit
            };
            let marker = kind.batch(
                Offset(0),
                Timestamp(timestamp),
                (ProducerId(id), ProducerEpoch(0)),
                2,
            );
            log.append_as_leader(marker, &coordinator()).unwrap();
        }
    }
    let segments = log.segments();
    log.close().unwrap();
    segments
}

#[test]
fn a_sample_with_one_of_everything_closes_and_opens() {
    let temp = tempfile::tempdir().unwrap();
    // `MILENA_LOG_SAMPLE=<dir>` keeps it for DumpLogSegments.
    let kept = std::env::var_os("MILENA_LOG_SAMPLE").map(std::path::PathBuf::from);
    let path = kept.as_deref().unwrap_or(temp.path());
    assert!(write(path) > 3);
    let names: Vec<String> = std::fs::read_dir(path.join("sample-0"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    for suffix in [
        ".log",
        ".index",
        ".timeindex",
        ".txnindex",
        ".snapshot",
        "checkpoint",
        "metadata",
    ] {
        assert!(
            names.iter().any(|name| name.ends_with(suffix)),
            "{suffix}: {names:?}"
        );
    }
}

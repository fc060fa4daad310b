//! Clients' batches that are too much to be looked into at once are given back, and end in the log as all others do.

use crate::support::*;
use bytes::BytesMut;
use milena_log::{AppendError, Appended, ClientBatch, LogConfig, PartitionLog, Step, Work};
use milena_record::{BatchBuilder, BatchError, BatchHeader, Compression, TimestampType};
use milena_types::{Offset, ProducerEpoch, ProducerId, Timestamp};
use std::sync::Arc;

/// What is walked at once, and compressed anew at once.
const WALK: usize = 1 << 20;
const REWRITE: usize = 16 << 10;

/// One record, of so many bytes with all that belongs to it.
fn one(codec: Compression, bytes: usize, sequence: Option<i32>) -> BytesMut {
    // Length, attributes, deltas, key, length of the value, headers.
    let around = |length: usize| 6 + varint(length) + varint(6 + varint(length) - 1 + length);
    let mut value = bytes;
    while value + around(value) - 1 > bytes {
        value -= 1;
    }
    let producer = sequence.map(|sequence| (ProducerId(3), ProducerEpoch(0), sequence));
    let kind = TimestampType::CreateTime;
    let mut batch = BatchBuilder::new(Offset(0), codec, kind, producer, false, false);
    batch.append(Timestamp(1000), None, Some(&vec![b'v'; value]), &[]);
    batch.build()
}

/// Bytes of a length as it stands in a record.
fn varint(length: usize) -> usize {
    (0..).find(|bytes| 2 * length < 1 << (7 * (bytes + 1))).unwrap() + 1
}

fn roomy() -> LogConfig {
    LogConfig {
        max_message_bytes: 8 << 20,
        ..LogConfig::default()
    }
}

fn step(log: &mut PartitionLog, batch: BytesMut) -> Result<Step, AppendError> {
    log.append_client(ClientBatch::new(batch), &ctx(0))
}

fn work(step: Step) -> Work {
    match step {
        Step::Work(work) => work,
        Step::Appended(appended) => panic!("it was appended at once: {appended:?}"),
    }
}

fn appended(step: Step) -> Appended {
    match step {
        Step::Appended(appended) => appended,
        Step::Work(work) => panic!("it is not in the log yet: {work:?}"),
    }
}

#[test]
fn what_unpacks_to_much_is_given_back_and_ends_in_the_log_as_it_would_have() {
    for codec in [Compression::None, Compression::Gzip, Compression::Zstd] {
        let (mut log, _) = open(&disk(), &roomy());
        // Of an uncompressed batch the header counts as well.
        let most = WALK - if codec == Compression::None { 61 } else { 0 };
        appended(step(&mut log, one(codec, most, None)).unwrap());
        let heavy = one(codec, most + 1, None);
        let work = work(step(&mut log, heavy.clone()).unwrap());
        assert_eq!(log.log_end_offset(), Offset(1), "{codec:?}: nothing was written");
        assert!(!work.is_rewrite());
        assert_eq!((work.size_bytes(), work.codec()), (heavy.len(), Some(codec)));
        let batch = work.run().unwrap();
        assert!(batch.unchecked().is_none());
        let stored = appended(log.append_client(batch, &ctx(4)).unwrap());
        let (mut other, _) = open(&disk(), &roomy());
        append(&mut other, &["first"]);
        let whole = other.append_as_leader(heavy, &ctx(4)).unwrap();
        assert_eq!(stored, whole, "{codec:?}");
    }
}

#[test]
fn what_is_to_be_compressed_anew_is_given_back_when_it_is_much() {
    let config = LogConfig {
        compression: Some(Compression::Zstd),
        compression_level: Some(7),
        ..roomy()
    };
    let (mut log, _) = open(&disk(), &config);
    let little = appended(step(&mut log, one(Compression::None, REWRITE, None)).unwrap());
    let codec = |appended: &Appended| BatchHeader::parse(&appended.bytes).unwrap().compression();
    assert_eq!(codec(&little), Ok(Compression::Zstd));
    // It is walked at once.
    let rewrite = work(step(&mut log, one(Compression::None, REWRITE + 1, None)).unwrap());
    assert!(rewrite.is_rewrite());
    assert_eq!(rewrite.target(), Some((Compression::Zstd, Some(7))));
    // The other one has to be walked elsewhere as well.
    let walk = work(step(&mut log, one(Compression::Gzip, 2 * WALK, None)).unwrap());
    assert_eq!((walk.is_rewrite(), walk.target()), (false, None));
    let second = work(log.append_client(walk.run().unwrap(), &ctx(0)).unwrap());
    assert!(second.is_rewrite());
    for work in [rewrite, second] {
        let stored = appended(log.append_client(work.run().unwrap(), &ctx(0)).unwrap());
        assert_eq!(codec(&stored), Ok(Compression::Zstd));
    }
    assert_eq!(log.log_end_offset(), Offset(3));
    // Many bytes of the topic's own codec are not.
    let own = one(Compression::Zstd, WALK / 2, None);
    appended(step(&mut log, own).unwrap());
}

#[test]
fn the_settings_of_the_beginning_hold() {
    let (mut log, _) = open(&disk(), &roomy());
    let first = work(step(&mut log, one(Compression::Gzip, 2 * WALK, None)).unwrap());
    let first = first.run().unwrap();
    log.set_config(Arc::new(LogConfig {
        message_timestamp_type: TimestampType::LogAppendTime,
        max_message_bytes: 100,
        ..roomy()
    }));
    let stored = appended(log.append_client(first, &ctx(0)).unwrap());
    assert_eq!(stored.log_append_time, None);
    let header = BatchHeader::parse(&stored.bytes).unwrap();
    assert_eq!(header.timestamp_type(), TimestampType::CreateTime);
    let next = step(&mut log, one(Compression::Gzip, 2 * WALK, None));
    // That is for the walk to say, which looks at the size first.
    let refused = next.and_then(|step| work(step).run().map(drop));
    assert!(
        matches!(refused, Err(AppendError::MessageTooLarge { .. })),
        "{refused:?}"
    );
}

#[test]
fn the_producer_is_judged_before_and_after_the_work() {
    let config = LogConfig {
        compression: Some(Compression::Gzip),
        ..roomy()
    };
    let (mut log, _) = open(&disk(), &config);
    let batch = |sequence| one(Compression::None, 2 * REWRITE, Some(sequence));
    let [first, again] = [0, 0].map(|sequence| work(step(&mut log, batch(sequence)).unwrap()));
    let [first, again] = [first, again].map(|work| work.run().unwrap());
    assert!(!appended(log.append_client(first, &ctx(0)).unwrap()).duplicate);
    let again = appended(log.append_client(again, &ctx(0)).unwrap());
    assert_eq!((again.duplicate, again.range.from), (true, Offset(0)));
    assert!(
        appended(step(&mut log, batch(0)).unwrap()).duplicate,
        "it is not compressed again"
    );
    let gap = step(&mut log, batch(7));
    assert!(matches!(gap, Err(AppendError::Producer(_))), "{gap:?}");
    assert_eq!(log.log_end_offset(), Offset(1));
}

#[test]
fn what_is_refused_is_refused_with_the_same_error() {
    let config = LogConfig {
        decompressed_bytes_max: WALK / 2,
        ..roomy()
    };
    let (mut log, _) = open(&disk(), &config);
    let refused = step(&mut log, one(Compression::Gzip, WALK, None));
    let limit = WALK / 2;
    let is_refused =
        matches!(refused, Err(AppendError::Batch(BatchError::TooLarge { limit: at })) if at == limit);
    assert!(is_refused, "{refused:?}");
    let (mut log, _) = open(&disk(), &roomy());
    let mut corrupt = one(Compression::Gzip, 2 * WALK, None);
    *corrupt.last_mut().unwrap() ^= 1;
    let refused = step(&mut log, corrupt.clone());
    assert!(
        matches!(refused, Err(AppendError::Batch(_))),
        "the checksum comes first: {refused:?}"
    );
    let refused = try_append(&mut log, corrupt).unwrap_err();
    assert_eq!(refused.code(), milena_types::ErrorCode::CorruptMessage);
    assert_eq!(log.log_end_offset(), Offset(0));
}

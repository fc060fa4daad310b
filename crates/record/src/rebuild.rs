//! Batches written again with fewer records, as compaction does.
//!
//! Everything that a reader or a producer may rely on stays: base offset, last offset, leader epoch, producer id, epoch and
//! base sequence, codec, timestamp type, flags, and per record offset, timestamp, key, value and headers in order, doubled
//! ones included. Source: `MemoryRecords.buildRetainedRecordsInto`, `DefaultRecordBatch.writeEmptyHeader`, KIP-534.

use crate::iter::timestamp_of;
use crate::{BatchBuilder, BatchHeader, Compression, RecordView, TimestampType, stamp};
use bytes::BytesMut;
use milena_types::Timestamp;

/// The batch of `header` with only its records `kept`, in ascending order of offsets and at least one.
///
/// `delete_horizon`: when its tombstones may go; it takes the place of the base timestamp. `level` as for
/// [`BatchBuilder::level`].
#[must_use]
pub fn rebuild_batch(
    header: &BatchHeader,
    kept: &[RecordView<&[u8]>],
    delete_horizon: Option<Timestamp>,
    level: Option<i32>,
) -> BytesMut {
    let codec = header.compression().unwrap_or_default();
    let mut builder = like(header, codec);
    if let Some(level) = level {
        builder = builder.level(level);
    }
    if let Some(horizon) = delete_horizon {
        builder = builder.delete_horizon(horizon);
    }
    for record in kept {
        builder.append_view(timestamp_of(header, record.timestamp_delta), record);
    }
    finish(builder, header)
}

/// The batch of `header` without a record: what remains of a producer's last batch, so that its sequence is not forgotten.
#[must_use]
pub fn rebuild_empty_batch(header: &BatchHeader) -> BytesMut {
    finish(
        like(header, Compression::None).max_timestamp(header.max_timestamp),
        header,
    )
}

fn like(header: &BatchHeader, codec: Compression) -> BatchBuilder {
    let producer = header
        .producer_id
        .map(|id| (id, header.producer_epoch, header.base_sequence));
    let builder = BatchBuilder::new(
        header.base_offset,
        codec,
        header.timestamp_type(),
        producer,
        header.is_transactional(),
        header.is_control(),
    );
    match header.timestamp_type() {
        TimestampType::LogAppendTime => builder.max_timestamp(header.max_timestamp),
        TimestampType::CreateTime => builder,
    }
}

fn finish(mut builder: BatchBuilder, header: &BatchHeader) -> BytesMut {
    builder.retain_last_offset_delta(header.last_offset_delta);
    let mut batch = builder.build();
    stamp(&mut batch, header.base_offset, header.partition_leader_epoch);
    batch
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{records, stamp_log_append_time, unpack};
    use bytes::Bytes;
    use milena_types::{LeaderEpoch, Offset, ProducerEpoch, ProducerId};

    fn original(codec: Compression, timestamps: TimestampType) -> Bytes {
        let producer = Some((ProducerId(9), ProducerEpoch(3), 17));
        let mut builder = BatchBuilder::new(Offset(100), codec, timestamps, producer, true, false);
        let header = |value: &str| (Bytes::from_static(b"h"), Some(Bytes::from(value.to_owned())));
        for i in 0..5_i64 {
            let doubled = [header("a"), header("b"), (Bytes::from_static(b"n"), None)];
            builder.append(Timestamp(1000 + 10 * i), Some(&[i as u8]), Some(b"v"), &doubled);
        }
        let mut batch = builder.build();
        stamp(&mut batch, Offset(100), LeaderEpoch(7));
        if timestamps == TimestampType::LogAppendTime {
            stamp_log_append_time(&mut batch, Timestamp(5555));
        }
        batch.freeze()
    }

    #[test]
    fn what_is_kept_is_as_it_was() {
        for codec in Compression::ALL {
            for timestamps in [TimestampType::CreateTime, TimestampType::LogAppendTime] {
                for horizon in [None, Some(Timestamp(9_999_999))] {
                    let batch = original(codec, timestamps);
                    let before = BatchHeader::parse(&batch).unwrap();
                    let stays = |offset: Offset| offset != Offset(102) && offset != Offset(104);
                    let unpacked = unpack(&batch, 1 << 20).unwrap();
                    let views: Vec<_> = unpacked
                        .records()
                        .map(Result::unwrap)
                        .filter_map(|(offset, view)| stays(offset).then_some(view))
                        .collect();
                    let mut kept = records(&batch, 1 << 20).unwrap();
                    kept.retain(|record| stays(record.offset));
                    let after = rebuild_batch(&before, &views, horizon, None).freeze();
                    let header = BatchHeader::parse(&after).unwrap();
                    assert!(crate::crc_is_valid(&after));
                    assert_eq!(
                        records(&after, 1 << 20).unwrap(),
                        kept,
                        "{codec:?} {timestamps:?}"
                    );
                    assert_eq!(header.delete_horizon(), horizon);
                    assert_eq!(header.records_count, 3);
                    let max = match timestamps {
                        TimestampType::LogAppendTime => Timestamp(5555),
                        TimestampType::CreateTime => Timestamp(1030),
                    };
                    assert_eq!(header.max_timestamp, max);
                    let same = |h: &BatchHeader| {
                        let attributes = (
                            h.compression(),
                            h.timestamp_type(),
                            h.is_transactional(),
                            h.is_control(),
                        );
                        let producer = (h.producer_id, h.producer_epoch, h.base_sequence);
                        (
                            h.base_offset,
                            h.last_offset(),
                            h.partition_leader_epoch,
                            attributes,
                            producer,
                        )
                    };
                    assert_eq!(same(&header), same(&before));
                }
            }
        }
    }

    #[test]
    fn an_empty_batch_keeps_offsets_and_producer() {
        let batch = original(Compression::Zstd, TimestampType::CreateTime);
        let before = BatchHeader::parse(&batch).unwrap();
        let after = rebuild_empty_batch(&before);
        let header = BatchHeader::parse(&after).unwrap();
        assert!(crate::crc_is_valid(&after) && after.len() == crate::HEADER_BYTES);
        assert_eq!(
            (header.records_count, header.last_sequence()),
            (0, before.last_sequence())
        );
        assert_eq!(
            (header.base_offset, header.last_offset()),
            (Offset(100), Offset(104))
        );
        assert_eq!(
            (header.max_timestamp, header.base_timestamp),
            (Timestamp(1040), Timestamp::NONE)
        );
        assert!(header.is_transactional() && header.partition_leader_epoch == LeaderEpoch(7));
    }
}

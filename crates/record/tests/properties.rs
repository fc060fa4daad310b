//! What holds for any batch: what is built is read back, and damage is an error, never a panic.

use bytes::Bytes;
use milena_record::{
    BatchBuilder, BatchError, BatchHeader, Compression, TimestampType, batches, compress, crc_is_valid,
    records, stamp_log_append_time, unpack, validate_records, walk_records,
};
use milena_types::{Offset, ProducerEpoch, ProducerId, Timestamp};
use proptest::collection::vec;
use proptest::prelude::*;

const LIMIT: usize = 1 << 20;

type Headers = Vec<(Bytes, Option<Bytes>)>;
type Row = (i64, Option<Vec<u8>>, Option<Vec<u8>>, Headers);

fn some_bytes() -> impl Strategy<Value = Vec<u8>> {
    vec(any::<u8>(), 0..40)
}

fn row() -> impl Strategy<Value = Row> {
    let header = (some_bytes(), proptest::option::of(some_bytes()))
        .prop_map(|(key, value)| (Bytes::from(key), value.map(Bytes::from)));
    (
        -1i64..1 << 41,
        proptest::option::of(some_bytes()),
        proptest::option::of(some_bytes()),
        vec(header, 0..4),
    )
}

fn codec() -> impl Strategy<Value = Compression> {
    (0i16..5).prop_map(|id| Compression::from_id(id).unwrap_or_default())
}

fn build(codec: Compression, rows: &[Row]) -> Bytes {
    let producer = Some((ProducerId(1), ProducerEpoch(0), 0));
    let mut builder = BatchBuilder::new(
        Offset(7),
        codec,
        TimestampType::CreateTime,
        producer,
        false,
        false,
    );
    for (timestamp, key, value, headers) in rows {
        builder.append(Timestamp(*timestamp), key.as_deref(), value.as_deref(), headers);
    }
    builder.build().freeze()
}

type Fields = (Offset, Option<Bytes>, Option<Bytes>);

/// Offset, key and value of each record, read where they lie.
fn views(batch: &[u8]) -> Result<Vec<Fields>, BatchError> {
    let own = |bytes: Option<&[u8]>| bytes.map(Bytes::copy_from_slice);
    let unpacked = unpack(batch, LIMIT)?;
    let views = unpacked.records();
    views
        .map(|record| record.map(|(offset, view)| (offset, own(view.key), own(view.value))))
        .collect()
}

proptest! {
    #[test]
    fn what_is_built_is_read_back(codec in codec(), rows in vec(row(), 0..30)) {
        let batch = build(codec, &rows);
        prop_assert!(crc_is_valid(&batch));
        let header = BatchHeader::parse(&batch).unwrap();
        prop_assert_eq!(header.size_bytes(), batch.len());
        let read = records(&batch, LIMIT).unwrap();
        prop_assert_eq!(read.len(), rows.len());
        for (at, (record, (timestamp, key, value, headers))) in read.iter().zip(&rows).enumerate() {
            prop_assert_eq!(record.offset, Offset(7 + at as i64));
            prop_assert_eq!(record.timestamp, Timestamp(*timestamp));
            prop_assert_eq!(record.key.as_deref(), key.as_deref());
            prop_assert_eq!(record.value.as_deref(), value.as_deref());
            prop_assert_eq!(&record.headers, headers);
        }

        let stats = validate_records(&batch, LIMIT).unwrap();
        prop_assert_eq!(stats.count as usize, rows.len());
        prop_assert_eq!(stats.dense, !rows.is_empty());
        prop_assert_eq!(stats.max_timestamp, header.max_timestamp);
        let null_key = rows.iter().position(|row| row.1.is_none());
        prop_assert_eq!(stats.null_key_at.map(|at| at as usize), null_key);
        if let Some(max) = rows.iter().map(|row| row.0).max() {
            let first = rows.iter().position(|row| row.0 == max).unwrap();
            prop_assert_eq!(stats.offset_of_max_timestamp, Offset(7 + first as i64));
        }
    }

    #[test]
    fn damage_is_an_error_and_not_a_panic(
        codec in codec(), rows in vec(row(), 1..10), hits in vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
    ) {
        let mut bytes = build(codec, &rows).to_vec();
        for (at, with) in hits {
            let at = at.index(bytes.len());
            bytes[at] = with;
        }
        let bytes = Bytes::from(bytes);
        for found in batches(&bytes) {
            let _ = found;
        }
        // Both readers must agree on what is acceptable. Of several faults in a compressed body the walk, which decompresses
        // as it goes, names the first.
        let walked = walk_records(&bytes, LIMIT, |_, _, _| {});
        let read = records(&bytes, LIMIT);
        let owned = read.clone().map(|read| read.into_iter().map(|r| (r.offset, r.key, r.value)).collect());
        prop_assert_eq!(views(&bytes), owned);
        if let (Err(walked), Err(read)) = (&walked, &read) {
            let plain = batches(&bytes).next().is_some_and(|found| {
                found.is_ok_and(|(header, _)| header.compression() == Ok(Compression::None))
            });
            prop_assert!(!plain || walked == read, "{walked:?} {read:?}");
        } else if walked.is_err() != read.is_err() {
            // Only offsets that overflow may be told apart.
            let overflow = Err(BatchError::Invalid("offsets overflow"));
            prop_assert!(read == overflow, "{:?} {:?}", walked, read);
        }
    }

    #[test]
    fn any_bytes_are_survived(bytes in vec(any::<u8>(), 0..300)) {
        let bytes = Bytes::from(bytes);
        let _ = BatchHeader::parse(&bytes);
        let _ = crc_is_valid(&bytes);
        let _ = records(&bytes, LIMIT);
        let _ = validate_records(&bytes, LIMIT);
        prop_assert!(batches(&bytes).count() <= bytes.len());
    }
}

#[test]
fn empty_batches_parse() {
    let mut builder = BatchBuilder::plain(Offset(10));
    builder.retain_last_offset_delta(4);
    let batch = builder.build().freeze();
    let header = BatchHeader::parse(&batch).unwrap();
    assert_eq!((header.records_count, header.next_offset()), (0, Offset(15)));
    assert_eq!(records(&batch, 0), Ok(vec![]));
    assert_eq!(
        validate_records(&batch, 0).map(|s| (s.count, s.dense)),
        Ok((0, false))
    );
}

#[test]
fn gaps_are_told() {
    let mut builder = BatchBuilder::plain(Offset(0));
    builder
        .append_at(0, Timestamp(1), None, None, &[])
        .append_at(2, Timestamp(2), None, None, &[]);
    let stats = validate_records(&builder.build(), 0).unwrap();
    assert_eq!((stats.count, stats.dense), (2, false));
}

#[test]
fn counts_that_the_bytes_cannot_hold_reserve_no_memory() {
    for codec in [Compression::None, Compression::Zstd] {
        let mut batch = build(codec, &[(0, None, None, vec![])]).to_vec();
        batch[57..61].copy_from_slice(&i32::MAX.to_be_bytes());
        let error = Err(BatchError::Invalid(
            "there are fewer records than the header says",
        ));
        assert_eq!(records(&Bytes::from(batch), LIMIT), error);
    }
}

#[test]
fn log_append_time_moves_the_offset_of_the_maximum_to_the_end() {
    let rows = [(9, None, None, vec![]), (3, None, None, vec![])];
    let mut batch = bytes::BytesMut::from(&build(Compression::None, &rows)[..]);
    assert_eq!(
        validate_records(&batch, 0).unwrap().offset_of_max_timestamp,
        Offset(7)
    );
    stamp_log_append_time(&mut batch, Timestamp(50));
    let stats = validate_records(&batch, 0).unwrap();
    assert_eq!(
        (stats.max_timestamp, stats.offset_of_max_timestamp),
        (Timestamp(50), Offset(8))
    );
}

#[test]
fn a_bomb_in_a_batch_stops_at_the_limit() {
    let zeroes = vec![0; 4 << 20];
    for id in 1..5 {
        let codec = Compression::from_id(id).unwrap();
        let batch = build(codec, &[(0, None, Some(zeroes.clone()), vec![])]);
        assert_eq!(
            records(&batch, LIMIT),
            Err(BatchError::TooLarge { limit: LIMIT }),
            "{codec:?}"
        );
        assert_eq!(
            validate_records(&batch, LIMIT),
            Err(BatchError::TooLarge { limit: LIMIT }),
            "{codec:?}"
        );
        let whole = validate_records(&batch, usize::MAX).unwrap().uncompressed_bytes;
        assert_eq!(
            validate_records(&batch, whole).map(|s| s.count),
            Ok(1),
            "{codec:?}"
        );
        assert_eq!(
            validate_records(&batch, whole - 1),
            Err(BatchError::TooLarge { limit: whole - 1 }),
            "{codec:?}"
        );
    }
}

/// A batch of this header's claims around another body.
fn with_body(codec: Compression, count: i32, records: &[u8]) -> Vec<u8> {
    let mut batch = build(codec, &[(0, None, None, vec![])])[..61].to_vec();
    batch.extend_from_slice(&compress(codec, None, records).expect("it compresses"));
    let length = i32::try_from(batch.len() - 12).expect("it is small");
    batch[8..12].copy_from_slice(&length.to_be_bytes());
    batch[57..61].copy_from_slice(&count.to_be_bytes());
    batch
}

#[test]
fn a_compressed_body_keeps_the_same_rules_as_a_plain_one() {
    // length 6, attributes, timestamp delta, offset delta, null key, null value, no headers.
    let good: &[u8] = &[12, 0, 0, 0, 1, 1, 0];
    let long_field = [12, 0, 0, 0, 20, 1, 0];
    let long_record = [14, 0, 0, 0, 1, 1, 0, 0];
    let cases: &[(&str, i32, Vec<u8>)] = &[
        ("bytes follow the last record", 1, [good, &[0]].concat()),
        (
            "there are fewer records than the header says",
            3,
            [good, good].concat(),
        ),
        ("a field is longer than its record", 1, long_field.to_vec()),
        ("a record is longer than its fields", 1, long_record.to_vec()),
        ("record ends inside a varint", 1, vec![6, 0, 0, 0, 0, 0, 0]),
        ("header count is negative", 1, vec![12, 0, 0, 0, 1, 1, 1]),
        ("a length is negative", 1, vec![3, 0, 0, 0, 1, 1, 0]),
        ("a header key is null", 1, vec![16, 0, 0, 0, 1, 1, 2, 1, 1]),
    ];
    for id in 0..5 {
        let codec = Compression::from_id(id).unwrap();
        assert_eq!(
            validate_records(&with_body(codec, 1, good), 7).map(|s| (s.count, s.uncompressed_bytes)),
            Ok((1, 7)),
            "{codec:?}"
        );
        for (rule, count, body) in cases {
            let found = validate_records(&with_body(codec, *count, body), LIMIT);
            assert_eq!(found, Err(BatchError::Invalid(rule)), "{codec:?}: {rule}");
        }
        // A claim of 1 GiB inside a few bytes.
        let claim = with_body(codec, 1, &[0x80, 0x80, 0x80, 0x80, 0x08, 0, 0, 0]);
        assert!(
            matches!(validate_records(&claim, LIMIT), Err(BatchError::Invalid(_))),
            "{codec:?}"
        );
    }
}

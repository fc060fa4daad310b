//! Building batches: for internal topics, control records, rebuilt client batches and tests.

use crate::header::{
    AT_ATTRIBUTES, AT_BASE_OFFSET, AT_BASE_SEQUENCE, AT_BASE_TIMESTAMP, AT_LAST_OFFSET_DELTA,
    AT_LEADER_EPOCH, AT_LENGTH, AT_MAGIC, AT_MAX_TIMESTAMP, AT_PRODUCER_EPOCH, AT_PRODUCER_ID,
    AT_RECORDS_COUNT, MAGIC,
};
use crate::stamp::put_crc;
use crate::varint::{put_varint, put_varlong, size_of};
use crate::{Attributes, BATCH_OVERHEAD, Compression, HEADER_BYTES, RecordView, TimestampType};
use bytes::{BufMut, Bytes, BytesMut};
use milena_types::{Offset, ProducerEpoch, ProducerId, Timestamp};

/// Collects records and writes them as one batch.
///
/// Offsets grow by one per [`append`](Self::append); [`append_at`](Self::append_at) leaves gaps, as compaction does.
#[derive(Debug)]
pub struct BatchBuilder {
    base_offset: Offset,
    attributes: Attributes,
    codec: Compression,
    level: Option<i32>,
    producer: Option<(ProducerId, ProducerEpoch, i32)>,
    base_timestamp: Option<Timestamp>,
    max_timestamp: Timestamp,
    next_delta: i32,
    count: i32,
    /// 61 bytes of room for the header, then the records.
    out: BytesMut,
}

impl BatchBuilder {
    /// An empty batch that begins at `base_offset`; `producer` is (id, epoch, base sequence).
    #[must_use]
    pub fn new(
        base_offset: Offset,
        codec: Compression,
        timestamps: TimestampType,
        producer: Option<(ProducerId, ProducerEpoch, i32)>,
        transactional: bool,
        control: bool,
    ) -> Self {
        Self {
            base_offset,
            attributes: Attributes::new(codec, timestamps, transactional, control),
            codec,
            level: None,
            producer,
            base_timestamp: None,
            max_timestamp: Timestamp::NONE,
            next_delta: 0,
            count: 0,
            out: BytesMut::zeroed(HEADER_BYTES),
        }
    }

    /// Uncompressed, from the producer's clock, without producer id: what coordinators write.
    #[must_use]
    pub fn plain(base_offset: Offset) -> Self {
        Self::new(
            base_offset,
            Compression::None,
            TimestampType::CreateTime,
            None,
            false,
            false,
        )
    }

    /// A plain batch of one record with timestamp 0, no key and this value.
    #[must_use]
    pub fn single(base_offset: Offset, value: &[u8]) -> BytesMut {
        let mut builder = Self::plain(base_offset);
        builder.append(Timestamp(0), None, Some(value), &[]);
        builder.build()
    }

    /// The compression level; without it the codec's default. Zstd takes -131072 to 22, gzip 0 to 9; others ignore it.
    #[must_use]
    pub fn level(mut self, level: i32) -> Self {
        self.level = Some(level);
        self
    }

    /// When the tombstones of the batch may go (KIP-534): stands in the place of the base timestamp. Call it before the
    /// first record is appended, for records count from it.
    #[must_use]
    pub fn delete_horizon(mut self, horizon: Timestamp) -> Self {
        debug_assert!(self.is_empty(), "the horizon comes before the records");
        self.attributes = self.attributes.with_delete_horizon();
        self.base_timestamp = Some(horizon);
        self
    }

    /// The maximum timestamp is at least this one, whatever the records have.
    #[must_use]
    pub fn max_timestamp(mut self, timestamp: Timestamp) -> Self {
        self.max_timestamp = self.max_timestamp.max(timestamp);
        self
    }

    /// Appends a record at the next offset. Headers keep their order, duplicates included.
    pub fn append(
        &mut self,
        timestamp: Timestamp,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: &[(Bytes, Option<Bytes>)],
    ) -> &mut Self {
        self.append_at(self.next_delta, timestamp, key, value, headers)
    }

    /// Appends a record at `base offset + offset_delta`; deltas must grow.
    pub fn append_at(
        &mut self,
        offset_delta: i32,
        timestamp: Timestamp,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: &[(Bytes, Option<Bytes>)],
    ) -> &mut Self {
        let bytes = headers
            .iter()
            .map(|(key, value)| nullable_size(Some(key)) + nullable_size(value.as_deref()))
            .sum();
        self.put_record(offset_delta, timestamp, key, value, headers.len(), bytes);
        for (key, value) in headers {
            put_nullable(&mut self.out, Some(key));
            put_nullable(&mut self.out, value.as_deref());
        }
        self
    }

    /// Appends a record of another batch, `timestamp` being its own, at the same offset delta; deltas must grow.
    pub(crate) fn append_view(&mut self, timestamp: Timestamp, record: &RecordView<&[u8]>) {
        let (delta, headers) = (record.offset_delta, record.encoded_headers());
        let count = record.headers_count();
        self.put_record(delta, timestamp, record.key, record.value, count, headers.len());
        self.out.put_slice(headers);
    }

    /// Puts a record but for its headers, `headers_count` of together `headers_bytes`, which must follow.
    fn put_record(
        &mut self,
        offset_delta: i32,
        timestamp: Timestamp,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers_count: usize,
        headers_bytes: usize,
    ) {
        debug_assert!(offset_delta >= self.next_delta, "offset deltas grow");
        let base = *self.base_timestamp.get_or_insert(timestamp);
        let timestamp_delta = timestamp.0.wrapping_sub(base.0);
        let length = 1
            + size_of(timestamp_delta)
            + size_of(i64::from(offset_delta))
            + nullable_size(key)
            + nullable_size(value)
            + size_of(length_of(headers_count))
            + headers_bytes;
        let out = &mut self.out;
        out.reserve(length + 5);
        put_varlong(out, length_of(length));
        out.put_i8(0);
        put_varlong(out, timestamp_delta);
        put_varint(out, offset_delta);
        put_nullable(out, key);
        put_nullable(out, value);
        put_varlong(out, length_of(headers_count));
        self.max_timestamp = self.max_timestamp.max(timestamp);
        self.next_delta = offset_delta.saturating_add(1);
        self.count += 1;
    }

    /// How many records have been appended.
    #[must_use]
    pub fn count(&self) -> i32 {
        self.count
    }

    /// True while no record has been appended.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Bytes so far, header included, before compression.
    #[must_use]
    pub fn size_bytes(&self) -> usize {
        self.out.len()
    }

    /// Makes the batch end at this offset delta even if its last records are gone (compaction keeps a batch's range).
    pub fn retain_last_offset_delta(&mut self, delta: i32) -> &mut Self {
        self.next_delta = self.next_delta.max(delta.saturating_add(1));
        self
    }

    /// Writes the batch, with leader epoch -1. If compression fails, the batch goes out uncompressed.
    #[must_use]
    pub fn build(mut self) -> BytesMut {
        let mut attributes = self.attributes;
        if self.codec != Compression::None && self.count > 0 {
            match crate::compress(self.codec, self.level, &self.out[HEADER_BYTES..]) {
                Ok(body) => {
                    self.out.truncate(HEADER_BYTES);
                    self.out.extend_from_slice(&body);
                }
                Err(_) => attributes = attributes.with_compression(Compression::None),
            }
        } else {
            attributes = attributes.with_compression(Compression::None);
        }
        let (id, epoch, sequence) = self.producer.unwrap_or((ProducerId(-1), ProducerEpoch(-1), -1));
        let length = i32::try_from(self.out.len() - BATCH_OVERHEAD).unwrap_or(i32::MAX);
        let mut put = |at: usize, bytes: &[u8]| self.out[at..at + bytes.len()].copy_from_slice(bytes);
        put(AT_BASE_OFFSET, &self.base_offset.0.to_be_bytes());
        put(AT_LENGTH, &length.to_be_bytes());
        put(AT_LEADER_EPOCH, &(-1i32).to_be_bytes());
        put(AT_MAGIC, &MAGIC.to_be_bytes());
        put(AT_ATTRIBUTES, &attributes.0.to_be_bytes());
        put(AT_LAST_OFFSET_DELTA, &(self.next_delta - 1).max(0).to_be_bytes());
        put(
            AT_BASE_TIMESTAMP,
            &self.base_timestamp.unwrap_or(Timestamp::NONE).0.to_be_bytes(),
        );
        put(AT_MAX_TIMESTAMP, &self.max_timestamp.0.to_be_bytes());
        put(AT_PRODUCER_ID, &id.0.to_be_bytes());
        put(AT_PRODUCER_EPOCH, &epoch.0.to_be_bytes());
        put(AT_BASE_SEQUENCE, &sequence.to_be_bytes());
        put(AT_RECORDS_COUNT, &self.count.to_be_bytes());
        put_crc(&mut self.out);
        self.out
    }
}

fn length_of(length: usize) -> i64 {
    i64::try_from(length).unwrap_or(i64::MAX)
}

fn nullable_size(bytes: Option<&[u8]>) -> usize {
    bytes.map_or(1, |b| size_of(length_of(b.len())) + b.len())
}

fn put_nullable(out: &mut BytesMut, bytes: Option<&[u8]>) {
    match bytes {
        None => put_varint(out, -1),
        Some(bytes) => {
            put_varlong(out, length_of(bytes.len()));
            out.put_slice(bytes);
        }
    }
}

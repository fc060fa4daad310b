//! The 61 bytes that open every batch.
//!
//! All integers are big-endian.
//!
//! | at | bytes | field | in the CRC |
//! |---:|---:|---|---|
//! | 0 | 8 | base offset | no |
//! | 8 | 4 | batch length: bytes that follow this field | no |
//! | 12 | 4 | partition leader epoch | no |
//! | 16 | 1 | magic (2) | no |
//! | 17 | 4 | CRC-32C of everything from byte 21 | – |
//! | 21 | 2 | attributes | yes |
//! | 23 | 4 | last offset delta | yes |
//! | 27 | 8 | base timestamp (or delete horizon) | yes |
//! | 35 | 8 | maximum timestamp | yes |
//! | 43 | 8 | producer id, -1 for none | yes |
//! | 51 | 2 | producer epoch | yes |
//! | 53 | 4 | base sequence, -1 for none | yes |
//! | 57 | 4 | number of records | yes |
//! | 61 | … | records | yes |
//!
//! The leader writes base offset and leader epoch in place because both lie outside the CRC.

use crate::{Attributes, BatchError, Compression, TimestampType};
use milena_types::{LeaderEpoch, Offset, ProducerEpoch, ProducerId, Timestamp};

/// Bytes of base offset and batch length, which `batch_length` does not count.
pub const BATCH_OVERHEAD: usize = 12;
/// Bytes of the header.
pub const HEADER_BYTES: usize = 61;
/// The only magic number that Kafka 4 knows.
pub const MAGIC: i8 = 2;

pub(crate) const AT_BASE_OFFSET: usize = 0;
pub(crate) const AT_LENGTH: usize = 8;
pub(crate) const AT_LEADER_EPOCH: usize = 12;
pub(crate) const AT_MAGIC: usize = 16;
pub(crate) const AT_CRC: usize = 17;
pub(crate) const AT_ATTRIBUTES: usize = 21;
pub(crate) const AT_LAST_OFFSET_DELTA: usize = 23;
pub(crate) const AT_BASE_TIMESTAMP: usize = 27;
pub(crate) const AT_MAX_TIMESTAMP: usize = 35;
pub(crate) const AT_PRODUCER_ID: usize = 43;
pub(crate) const AT_PRODUCER_EPOCH: usize = 51;
pub(crate) const AT_BASE_SEQUENCE: usize = 53;
pub(crate) const AT_RECORDS_COUNT: usize = 57;

/// The header of one batch, decoded.
///
/// A header that [`BatchHeader::parse`] returned has magic 2, a length of at least 49, no negative base offset, offset
/// delta or record count, and its offsets do not overflow. It may still contradict its records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchHeader {
    /// Offset of the first record (of the first that there was, in a compacted batch).
    pub base_offset: Offset,
    /// Bytes after this field.
    pub batch_length: i32,
    /// Epoch of the leader that appended it; -1 from a client.
    pub partition_leader_epoch: LeaderEpoch,
    /// 2.
    pub magic: i8,
    /// CRC-32C of everything from the attributes on.
    pub crc: u32,
    /// Codec and flags.
    pub attributes: Attributes,
    /// Offset of the last record, relative to the base offset.
    pub last_offset_delta: i32,
    /// Timestamp of the first record (or the delete horizon); records count from it.
    pub base_timestamp: Timestamp,
    /// The largest timestamp inside.
    pub max_timestamp: Timestamp,
    /// The idempotent or transactional producer.
    pub producer_id: Option<ProducerId>,
    /// The producer's epoch; -1 without a producer.
    pub producer_epoch: ProducerEpoch,
    /// Sequence number of the first record; -1 without a producer and in control batches.
    pub base_sequence: i32,
    /// How many records follow.
    pub records_count: i32,
}

fn take<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    // Callers have checked the length; zeroes keep this total.
    bytes
        .get(at..at + N)
        .and_then(|b| b.try_into().ok())
        .unwrap_or([0; N])
}

impl BatchHeader {
    /// Reads the header at the start of `bytes`; the records need not be there.
    ///
    /// # Errors
    /// `Truncated` under 61 bytes, `Magic`, `Length`, or `Invalid` for a negative or overflowing field.
    pub fn parse(bytes: &[u8]) -> Result<Self, BatchError> {
        if bytes.len() <= AT_MAGIC {
            return Err(BatchError::Truncated {
                needed: HEADER_BYTES,
                available: bytes.len(),
            });
        }
        // Magic first: the rest has this layout only for magic 2.
        let magic = i8::from_be_bytes(take(bytes, AT_MAGIC));
        if magic != MAGIC {
            return Err(BatchError::Magic(magic));
        }
        let batch_length = i32::from_be_bytes(take(bytes, AT_LENGTH));
        if usize::try_from(batch_length).map_or(true, |length| length < HEADER_BYTES - BATCH_OVERHEAD) {
            return Err(BatchError::Length(batch_length));
        }
        if bytes.len() < HEADER_BYTES {
            return Err(BatchError::Truncated {
                needed: HEADER_BYTES,
                available: bytes.len(),
            });
        }
        let producer_id = i64::from_be_bytes(take(bytes, AT_PRODUCER_ID));
        let header = Self {
            base_offset: Offset(i64::from_be_bytes(take(bytes, AT_BASE_OFFSET))),
            batch_length,
            partition_leader_epoch: LeaderEpoch(i32::from_be_bytes(take(bytes, AT_LEADER_EPOCH))),
            magic,
            crc: u32::from_be_bytes(take(bytes, AT_CRC)),
            attributes: Attributes(i16::from_be_bytes(take(bytes, AT_ATTRIBUTES))),
            last_offset_delta: i32::from_be_bytes(take(bytes, AT_LAST_OFFSET_DELTA)),
            base_timestamp: Timestamp(i64::from_be_bytes(take(bytes, AT_BASE_TIMESTAMP))),
            max_timestamp: Timestamp(i64::from_be_bytes(take(bytes, AT_MAX_TIMESTAMP))),
            producer_id: (producer_id >= 0).then_some(ProducerId(producer_id)),
            producer_epoch: ProducerEpoch(i16::from_be_bytes(take(bytes, AT_PRODUCER_EPOCH))),
            base_sequence: i32::from_be_bytes(take(bytes, AT_BASE_SEQUENCE)),
            records_count: i32::from_be_bytes(take(bytes, AT_RECORDS_COUNT)),
        };
        header.check()?;
        Ok(header)
    }

    fn check(&self) -> Result<(), BatchError> {
        if self.base_offset.0 < 0 {
            return Err(BatchError::Invalid("base offset is negative"));
        }
        if self.last_offset_delta < 0 {
            return Err(BatchError::Invalid("last offset delta is negative"));
        }
        if self.records_count < 0 {
            return Err(BatchError::Invalid("record count is negative"));
        }
        if self
            .base_offset
            .0
            .checked_add(i64::from(self.last_offset_delta) + 1)
            .is_none()
        {
            return Err(BatchError::Invalid("offsets overflow"));
        }
        Ok(())
    }

    /// Bytes of the whole batch, this header and its first 12 bytes included.
    #[must_use]
    pub fn size_bytes(&self) -> usize {
        BATCH_OVERHEAD + usize::try_from(self.batch_length).unwrap_or_default()
    }

    /// Offset of the last record.
    #[must_use]
    pub fn last_offset(&self) -> Offset {
        self.base_offset.plus(i64::from(self.last_offset_delta))
    }

    /// The offset after the last record: where the next batch begins.
    #[must_use]
    pub fn next_offset(&self) -> Offset {
        self.base_offset.plus(i64::from(self.last_offset_delta) + 1)
    }

    /// Sequence number of the last record; -1 when the batch has no sequence.
    #[must_use]
    pub fn last_sequence(&self) -> i32 {
        if self.base_sequence < 0 {
            return -1;
        }
        increment_sequence(self.base_sequence, self.last_offset_delta)
    }

    /// It holds control records.
    #[must_use]
    pub fn is_control(&self) -> bool {
        self.attributes.is_control()
    }

    /// It belongs to a transaction.
    #[must_use]
    pub fn is_transactional(&self) -> bool {
        self.attributes.is_transactional()
    }

    /// How the records are compressed.
    ///
    /// # Errors
    /// [`BatchError::UnknownCodec`].
    pub fn compression(&self) -> Result<Compression, BatchError> {
        self.attributes.compression()
    }

    /// Who set the timestamps.
    #[must_use]
    pub fn timestamp_type(&self) -> TimestampType {
        self.attributes.timestamp_type()
    }

    /// When the cleaner may drop this batch's tombstones, if it has decided (KIP-534).
    #[must_use]
    pub fn delete_horizon(&self) -> Option<Timestamp> {
        self.attributes
            .has_delete_horizon()
            .then_some(self.base_timestamp)
    }
}

/// The sequence number `by` records after `sequence`; after `i32::MAX` comes 0.
///
/// Source: `DefaultRecordBatch.incrementSequence`.
#[must_use]
pub fn increment_sequence(sequence: i32, by: i32) -> i32 {
    // 2^31 values, 0 ..= i32::MAX.
    let sum = (i64::from(sequence) + i64::from(by)).rem_euclid(1 << 31);
    i32::try_from(sum).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sequences_wrap_after_the_largest_int() {
        assert_eq!(increment_sequence(0, 4), 4);
        assert_eq!(increment_sequence(i32::MAX, 1), 0);
        assert_eq!(increment_sequence(i32::MAX - 1, 3), 1);
    }

    #[test]
    fn impossible_headers_are_refused() {
        let good = crate::BatchBuilder::single(Offset(5), b"v");
        let put = |at: usize, with: &[u8]| {
            let mut bytes = good.to_vec();
            bytes[at..at + with.len()].copy_from_slice(with);
            BatchHeader::parse(&bytes)
        };
        assert_eq!(BatchHeader::parse(&good).map(|h| h.base_offset), Ok(Offset(5)));
        assert_eq!(put(AT_MAGIC, &[1]), Err(BatchError::Magic(1)));
        assert_eq!(put(AT_LENGTH, &48i32.to_be_bytes()), Err(BatchError::Length(48)));
        assert_eq!(
            put(AT_LENGTH, &(-1i32).to_be_bytes()),
            Err(BatchError::Length(-1))
        );
        for (at, value) in [(AT_LAST_OFFSET_DELTA, -1i32), (AT_RECORDS_COUNT, -2)] {
            assert!(
                matches!(put(at, &value.to_be_bytes()), Err(BatchError::Invalid(_))),
                "{at}"
            );
        }
        for offset in [-1, i64::MIN, i64::MAX] {
            assert!(
                matches!(
                    put(AT_BASE_OFFSET, &offset.to_be_bytes()),
                    Err(BatchError::Invalid(_))
                ),
                "{offset}"
            );
        }
        for length in 0..HEADER_BYTES {
            let error = BatchHeader::parse(&good[..length]);
            assert_eq!(
                error,
                Err(BatchError::Truncated {
                    needed: HEADER_BYTES,
                    available: length
                })
            );
        }
    }
}

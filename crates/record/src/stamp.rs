//! Writing into a batch in place, as the leader does on append.
//!
//! Base offset and leader epoch lie outside the CRC; the timestamps lie inside and cost a new checksum.
//! Bytes that are shorter than a header are left as they are.

use crate::header::{AT_ATTRIBUTES, AT_BASE_OFFSET, AT_CRC, AT_LEADER_EPOCH, AT_MAX_TIMESTAMP, HEADER_BYTES};
use crate::{Attributes, TimestampType, crc32c};
use milena_types::{LeaderEpoch, Offset, Timestamp};

fn put(batch: &mut [u8], at: usize, bytes: &[u8]) {
    if let Some(place) = batch.get_mut(at..at + bytes.len()) {
        place.copy_from_slice(bytes);
    }
}

pub(crate) fn put_crc(batch: &mut [u8]) {
    if batch.len() >= HEADER_BYTES {
        let crc = crc32c(&batch[AT_ATTRIBUTES..]);
        put(batch, AT_CRC, &crc.to_be_bytes());
    }
}

/// Writes base offset and leader epoch; the checksum stays valid.
pub fn stamp(batch: &mut [u8], base_offset: Offset, epoch: LeaderEpoch) {
    if batch.len() >= HEADER_BYTES {
        put(batch, AT_BASE_OFFSET, &base_offset.0.to_be_bytes());
        put(batch, AT_LEADER_EPOCH, &epoch.0.to_be_bytes());
    }
}

/// Makes `now` the timestamp of every record: attribute bit 3, maximum timestamp, new checksum.
///
/// The records keep their deltas, which readers ignore in such a batch. Source: `LogValidator.java`.
pub fn stamp_log_append_time(batch: &mut [u8], now: Timestamp) {
    if batch.len() >= HEADER_BYTES {
        put_timestamp(batch, attributes(batch).with_log_append_time(), now);
    }
}

/// Makes the timestamps the producer's, and corrects the maximum to the one that the records have; a header that is right
/// already is not touched. Source: `DefaultRecordBatch.setMaxTimestamp`.
pub fn stamp_max_timestamp(batch: &mut [u8], max_timestamp: Timestamp) {
    if batch.len() < HEADER_BYTES {
        return;
    }
    let attributes = attributes(batch);
    let is_right = batch[AT_MAX_TIMESTAMP..AT_MAX_TIMESTAMP + 8] == max_timestamp.0.to_be_bytes();
    if !is_right || attributes.timestamp_type() == TimestampType::LogAppendTime {
        put_timestamp(batch, attributes.with_create_time(), max_timestamp);
    }
}

fn attributes(batch: &[u8]) -> Attributes {
    Attributes(i16::from_be_bytes([
        batch[AT_ATTRIBUTES],
        batch[AT_ATTRIBUTES + 1],
    ]))
}

/// Bits that nobody has given a meaning go, as in Kafka.
fn put_timestamp(batch: &mut [u8], attributes: Attributes, max_timestamp: Timestamp) {
    put(batch, AT_ATTRIBUTES, &attributes.without_unused().0.to_be_bytes());
    put(batch, AT_MAX_TIMESTAMP, &max_timestamp.0.to_be_bytes());
    put_crc(batch);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{BatchBuilder, BatchHeader, TimestampType, crc_is_valid, records};
    use bytes::Bytes;

    #[test]
    fn offset_and_epoch_do_not_touch_the_checksum() {
        let mut batch = BatchBuilder::single(Offset(0), b"v");
        stamp(&mut batch, Offset(42), LeaderEpoch(7));
        let header = BatchHeader::parse(&batch).unwrap();
        assert_eq!(
            (header.base_offset, header.partition_leader_epoch),
            (Offset(42), LeaderEpoch(7))
        );
        assert!(crc_is_valid(&batch));
    }

    #[test]
    fn log_append_time_is_every_records_time() {
        let mut batch = BatchBuilder::single(Offset(0), b"v");
        stamp_log_append_time(&mut batch, Timestamp(99));
        assert!(crc_is_valid(&batch));
        let header = BatchHeader::parse(&batch).unwrap();
        assert_eq!(header.timestamp_type(), TimestampType::LogAppendTime);
        let all = records(&Bytes::from(batch), 1000).unwrap();
        assert_eq!(all[0].timestamp, Timestamp(99));
    }

    #[test]
    fn a_claim_of_append_time_is_taken_back_and_unused_bits_go() {
        let mut batch = BatchBuilder::single(Offset(0), b"v");
        let max = BatchHeader::parse(&batch).unwrap().max_timestamp;
        for bits in [0x08_u8, 0x88] {
            batch[AT_ATTRIBUTES + 1] = bits;
            put_crc(&mut batch);
            stamp_max_timestamp(&mut batch, max);
            assert_eq!(BatchHeader::parse(&batch).unwrap().attributes.0, 0, "{bits:#x}");
            assert!(crc_is_valid(&batch));
        }
        batch[AT_ATTRIBUTES] = 1;
        batch[AT_ATTRIBUTES + 1] = 0xF0;
        stamp_log_append_time(&mut batch, Timestamp(99));
        assert_eq!(BatchHeader::parse(&batch).unwrap().attributes.0, 0x78);
    }

    #[test]
    fn a_wrong_maximum_is_corrected_and_a_right_one_left() {
        let mut batch = BatchBuilder::single(Offset(0), b"v");
        let before = batch.clone();
        let max = BatchHeader::parse(&batch).unwrap().max_timestamp;
        stamp_max_timestamp(&mut batch, max);
        assert_eq!(batch, before);
        stamp_max_timestamp(&mut batch, Timestamp(12345));
        assert_eq!(
            BatchHeader::parse(&batch).unwrap().max_timestamp,
            Timestamp(12345)
        );
        assert!(crc_is_valid(&batch));
    }

    #[test]
    fn short_bytes_are_left_alone() {
        let mut bytes = [0u8; 60];
        stamp(&mut bytes, Offset(1), LeaderEpoch(1));
        stamp_log_append_time(&mut bytes, Timestamp(1));
        stamp_max_timestamp(&mut bytes, Timestamp(1));
        assert_eq!(bytes, [0u8; 60]);
    }
}

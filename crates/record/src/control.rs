//! Control records: the markers that end transactions.
//!
//! Key: version i16, type i16 (0 abort, 1 commit). Value (`EndTxnMarker`): version i16, coordinator epoch i32.
//! Source: `ControlRecordType.java`, `EndTransactionMarker.java`.

use crate::{BatchBuilder, BatchError, Compression, TimestampType};
use bytes::BytesMut;
use milena_types::{Offset, ProducerEpoch, ProducerId, Timestamp};

/// How a transaction ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ControlRecord {
    /// Its records must not be seen.
    Abort,
    /// Its records may be seen.
    Commit,
}

/// The version that Milena writes in keys and values; higher versions are read.
pub const VERSION: i16 = 0;

impl ControlRecord {
    /// The key of the record.
    #[must_use]
    pub fn encode_key(self) -> [u8; 4] {
        let kind: i16 = match self {
            ControlRecord::Abort => 0,
            ControlRecord::Commit => 1,
        };
        let (version, kind) = (VERSION.to_be_bytes(), kind.to_be_bytes());
        [version[0], version[1], kind[0], kind[1]]
    }

    /// Reads a key; `None` for a control type that is not about transactions, which readers skip.
    ///
    /// # Errors
    /// `Invalid` when it is shorter than 4 bytes or its version is negative.
    pub fn decode_key(key: &[u8]) -> Result<Option<Self>, BatchError> {
        let [a, b, c, d] = *key
            .first_chunk::<4>()
            .ok_or(BatchError::Invalid("a control record key is too short"))?;
        if i16::from_be_bytes([a, b]) < 0 {
            return Err(BatchError::Invalid("a control record version is negative"));
        }
        Ok(match i16::from_be_bytes([c, d]) {
            0 => Some(ControlRecord::Abort),
            1 => Some(ControlRecord::Commit),
            _ => None,
        })
    }

    /// The value of the record: which coordinator epoch decided.
    #[must_use]
    pub fn encode_value(coordinator_epoch: i32) -> [u8; 6] {
        let mut value = [0; 6];
        value[..2].copy_from_slice(&VERSION.to_be_bytes());
        value[2..].copy_from_slice(&coordinator_epoch.to_be_bytes());
        value
    }

    /// Reads the coordinator epoch out of a value; bytes after it (later versions) are skipped.
    ///
    /// # Errors
    /// `Invalid` when it is shorter than 6 bytes or its version is negative.
    pub fn decode_value(value: &[u8]) -> Result<i32, BatchError> {
        let [a, b, epoch @ ..] = *value
            .first_chunk::<6>()
            .ok_or(BatchError::Invalid("a control record value is too short"))?;
        if i16::from_be_bytes([a, b]) < 0 {
            return Err(BatchError::Invalid("a control record version is negative"));
        }
        Ok(i32::from_be_bytes(epoch))
    }

    /// A whole control batch that ends a transaction of this producer.
    #[must_use]
    pub fn batch(
        self,
        base_offset: Offset,
        timestamp: Timestamp,
        producer: (ProducerId, ProducerEpoch),
        coordinator_epoch: i32,
    ) -> BytesMut {
        let producer = Some((producer.0, producer.1, -1));
        let mut builder = BatchBuilder::new(
            base_offset,
            Compression::None,
            TimestampType::CreateTime,
            producer,
            true,
            true,
        );
        builder.append(
            timestamp,
            Some(&self.encode_key()),
            Some(&Self::encode_value(coordinator_epoch)),
            &[],
        );
        builder.build()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{BatchHeader, crc_is_valid, records};

    #[test]
    fn markers_have_kafkas_bytes() {
        assert_eq!(ControlRecord::Abort.encode_key(), [0, 0, 0, 0]);
        assert_eq!(ControlRecord::Commit.encode_key(), [0, 0, 0, 1]);
        assert_eq!(ControlRecord::encode_value(7), [0, 0, 0, 0, 0, 7]);
        assert_eq!(ControlRecord::decode_key(&[0, 0, 0, 2]), Ok(None));
        assert!(ControlRecord::decode_key(&[0, 0, 0]).is_err());
        assert!(ControlRecord::decode_key(&[0xff, 0, 0, 1]).is_err());
        assert!(ControlRecord::decode_value(&[0, 0, 0, 0, 0]).is_err());
        // Version 1 appends tagged fields.
        assert_eq!(ControlRecord::decode_value(&[0, 1, 0, 0, 0, 9, 0]), Ok(9));
    }

    #[test]
    fn a_control_batch_reads_back() {
        let batch =
            ControlRecord::Commit.batch(Offset(9), Timestamp(5), (ProducerId(3), ProducerEpoch(1)), 7);
        let header = BatchHeader::parse(&batch).unwrap();
        assert!(header.is_control() && header.is_transactional() && crc_is_valid(&batch));
        assert_eq!(
            (header.producer_id, header.base_sequence),
            (Some(ProducerId(3)), -1)
        );
        let all = records(&batch.freeze(), 100).unwrap();
        assert_eq!(
            ControlRecord::decode_key(all[0].key.as_ref().unwrap()),
            Ok(Some(ControlRecord::Commit))
        );
        assert_eq!(ControlRecord::decode_value(all[0].value.as_ref().unwrap()), Ok(7));
    }
}

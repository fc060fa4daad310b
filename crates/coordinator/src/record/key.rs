//! Record keys: what a record is about.

use super::bytes_codec::{Reader, Writer};
use super::{DecodeError, EncodeError};
use bytes::Bytes;
use milena_types::PartitionIndex;

/// Which committed offset.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OffsetKey {
    /// The group.
    pub group: String,
    /// The topic.
    pub topic: String,
    /// The partition.
    pub partition: PartitionIndex,
}

/// The key of any record that this coordinator understands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RecordKey {
    /// Types 0 and 1.
    Offset(OffsetKey),
    /// Type 2.
    Group(String),
}

const OFFSET_COMMIT_LEGACY: i16 = 0;
const OFFSET_COMMIT: i16 = 1;
const GROUP_METADATA: i16 = 2;

impl RecordKey {
    pub(super) fn encode(&self) -> Result<Bytes, EncodeError> {
        match self {
            RecordKey::Offset(key) => {
                let mut out = Writer::new(OFFSET_COMMIT);
                out.string("group id", &key.group)?;
                out.string("topic", &key.topic)?;
                out.i32(key.partition.0);
                Ok(out.finish())
            }
            RecordKey::Group(group) => {
                let mut out = Writer::new(GROUP_METADATA);
                out.string("group id", group)?;
                Ok(out.finish())
            }
        }
    }

    pub(super) fn decode(bytes: &Bytes) -> Result<Self, DecodeError> {
        let mut input = Reader::new(bytes);
        match input.i16()? {
            OFFSET_COMMIT_LEGACY | OFFSET_COMMIT => Ok(RecordKey::Offset(OffsetKey {
                group: input.string()?,
                topic: input.string()?,
                partition: PartitionIndex(input.i32()?),
            })),
            GROUP_METADATA => Ok(RecordKey::Group(input.string()?)),
            other => Err(DecodeError::UnknownType(other)),
        }
    }
}

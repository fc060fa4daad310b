//! The records of `__consumer_offsets`, byte for byte as Kafka writes them.
//!
//! A key begins with its type, a value with its version, both as 16-bit integers:
//!
//! ```text
//! type 0, 1  key: group string, topic string, partition i32
//!            value v0: offset i64, metadata string, commit timestamp i64        v1: + expire timestamp i64
//!            value v2: as v0      v3: offset i64, leader epoch i32, metadata string, commit timestamp i64
//!            value v4: as v3 in the flexible encoding, + topic id uuid (tag 0)
//! type 2     key: group string
//!            value v0: protocol type string, generation i32, protocol nullable, leader nullable, members
//!            value v2: + state timestamp i64 before members       v4: as v3 in the flexible encoding
//!            member v0: id, client id, client host, session timeout i32, subscription bytes, assignment bytes
//!            member v1: + rebalance timeout i32 before session timeout     v3: + instance id nullable after id
//! ```
//!
//! Version 3 is written (1 for a commit with its own retention); 0 to 4 are read. A record without value is a tombstone.
//! Source: `group-coordinator/src/main/resources/common/message/{OffsetCommit,GroupMetadata}{Key,Value}.json`.

mod bytes_codec;
mod group_metadata;
mod key;
mod offset_commit;

pub use group_metadata::{GroupMetadataValue, MemberMetadata};
pub use key::{OffsetKey, RecordKey};
pub use offset_commit::OffsetCommitValue;

use bytes::Bytes;

/// A change of one shard's hard state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CoordinatorRecord {
    /// An offset was committed, or with `None` forgotten.
    Offset(OffsetKey, Option<OffsetCommitValue>),
    /// A group is now so, or with `None` gone.
    Group(String, Option<GroupMetadataValue>),
}

/// A record's key and value as they are appended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EncodedRecord {
    /// Never empty.
    pub key: Bytes,
    /// `None` for a tombstone.
    pub value: Option<Bytes>,
}

/// A record cannot be written in Kafka's format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EncodeError {
    /// A text of over 32,767 bytes.
    #[error("{0} is too long for a coordinator record")]
    TooLong(&'static str),
}

/// A record cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// A type of another coordinator protocol, or of a newer Kafka: skip it.
    #[error("coordinator record of unknown type {0}")]
    UnknownType(i16),
    /// A value of a newer Kafka.
    #[error("coordinator record of unknown version {0}")]
    UnknownVersion(i16),
    /// It ends too soon, or a length is impossible.
    #[error("coordinator record is malformed at byte {0}")]
    Malformed(usize),
}

impl CoordinatorRecord {
    /// The record as bytes.
    ///
    /// # Errors
    /// [`EncodeError`] when a text does not fit.
    pub fn encode(&self) -> Result<EncodedRecord, EncodeError> {
        match self {
            CoordinatorRecord::Offset(key, value) => Ok(EncodedRecord {
                key: RecordKey::Offset(key.clone()).encode()?,
                value: value.as_ref().map(OffsetCommitValue::encode).transpose()?,
            }),
            CoordinatorRecord::Group(group, value) => Ok(EncodedRecord {
                key: RecordKey::Group(group.clone()).encode()?,
                value: value.as_ref().map(GroupMetadataValue::encode).transpose()?,
            }),
        }
    }

    /// Reads a record back.
    ///
    /// # Errors
    /// [`DecodeError`]; nothing of a malformed record is used.
    pub fn decode(key: &Bytes, value: Option<&Bytes>) -> Result<Self, DecodeError> {
        match RecordKey::decode(key)? {
            RecordKey::Offset(key) => Ok(CoordinatorRecord::Offset(
                key,
                value.map(OffsetCommitValue::decode).transpose()?,
            )),
            RecordKey::Group(group) => Ok(CoordinatorRecord::Group(
                group,
                value.map(GroupMetadataValue::decode).transpose()?,
            )),
        }
    }

    /// The group it belongs to.
    #[must_use]
    pub fn group_id(&self) -> &str {
        match self {
            CoordinatorRecord::Offset(key, _) => &key.group,
            CoordinatorRecord::Group(group, _) => group,
        }
    }
}

#[cfg(test)]
mod golden_test;

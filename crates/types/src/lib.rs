//! The vocabulary that every crate of Milena shares: ids, offsets, epochs, units, error codes.
//!
//! What may enter: a newtype or enum that at least three crates name, without IO, configuration or behaviour of
//! its own. What must not: serde derives, errors of a component, wire or disk formats (they belong to their owner).

mod epoch;
mod error_code;
mod ids;
pub mod mutants;
mod offset;
mod topic_name;
mod units;

pub use epoch::{BrokerEpoch, LeaderEpoch, MetadataVersion, PartitionEpoch, ProducerEpoch};
pub use error_code::ErrorCode;
pub use ids::{
    BrokerId, ClusterId, DirectoryId, IncarnationId, ParseUuidError, PartitionIndex, ProducerId, TopicId,
    TopicIdPartition, TopicPartition, Uuid,
};
pub use offset::{Offset, OffsetRange};
pub use topic_name::{TopicName, TopicNameError};
pub use units::{AckDurability, Acks, Timestamp};

//! Conversions between the generated messages and the domain types, one file per group of messages.
//!
//! `From<&Domain> for proto` never fails; `TryFrom<proto> for Domain` checks presence, widths, id lengths and names.
//! It does not judge what `plan` judges: a replica list from a client may name brokers that do not exist.

mod admin_reply;
mod admin_request;
mod broker;
mod record;

use crate::proto;
use milena_metadata::request::Outcome;
use milena_types::{
    BrokerId, ErrorCode, PartitionIndex, TopicId, TopicIdPartition, TopicName, TopicNameError, Uuid,
};

/// A message that does not make sense; nothing was done.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConvertError {
    /// A field that must be there is not.
    #[error("field {0} is missing")]
    Missing(&'static str),
    /// An id that is not 16 bytes.
    #[error("field {field} has {length} bytes, an id has 16")]
    Id {
        /// Which field.
        field: &'static str,
        /// How many bytes came.
        length: usize,
    },
    /// A number outside of its type or meaning.
    #[error("field {field} cannot be {value}")]
    Range {
        /// Which field.
        field: &'static str,
        /// What came.
        value: i64,
    },
    /// An illegal topic name where only checked names occur.
    #[error(transparent)]
    TopicName(#[from] TopicNameError),
}

/// Unwraps a message field.
fn required<T>(value: Option<T>, field: &'static str) -> Result<T, ConvertError> {
    value.ok_or(ConvertError::Missing(field))
}

fn uuid(bytes: &[u8], field: &'static str) -> Result<Uuid, ConvertError> {
    Ok(Uuid(bytes.try_into().map_err(|_| ConvertError::Id {
        field,
        length: bytes.len(),
    })?))
}

fn uuid_bytes(id: Uuid) -> bytes::Bytes {
    bytes::Bytes::copy_from_slice(&id.0)
}

fn narrow<T: TryFrom<i32>>(value: i32, field: &'static str) -> Result<T, ConvertError> {
    T::try_from(value).map_err(|_| ConvertError::Range {
        field,
        value: i64::from(value),
    })
}

fn error_code(code: i32) -> ErrorCode {
    i16::try_from(code).map_or(ErrorCode::UnknownServerError, ErrorCode::from_code)
}

fn topic_name(name: &str) -> Result<TopicName, ConvertError> {
    Ok(TopicName::new(name)?)
}

fn ids(brokers: &[BrokerId]) -> Vec<i32> {
    brokers.iter().map(|broker| broker.0).collect()
}

/// Collects a list whose items can fail.
fn each<P, D: TryFrom<P, Error = ConvertError>>(items: Vec<P>) -> Result<Vec<D>, ConvertError> {
    items.into_iter().map(D::try_from).collect()
}

impl From<&TopicIdPartition> for proto::TopicIdPartition {
    fn from(id: &TopicIdPartition) -> Self {
        Self {
            topic: uuid_bytes(id.topic.0),
            partition: id.partition.0,
        }
    }
}

impl TryFrom<proto::TopicIdPartition> for TopicIdPartition {
    type Error = ConvertError;

    fn try_from(id: proto::TopicIdPartition) -> Result<Self, ConvertError> {
        if id.partition < 0 {
            return Err(ConvertError::Range {
                field: "partition",
                value: i64::from(id.partition),
            });
        }
        Ok(Self {
            topic: TopicId(uuid(&id.topic, "topic")?),
            partition: PartitionIndex(id.partition),
        })
    }
}

impl From<&Outcome> for proto::Outcome {
    fn from(outcome: &Outcome) -> Self {
        Self {
            error: i32::from(outcome.error.code()),
            message: outcome.message.clone(),
        }
    }
}

impl From<proto::Outcome> for Outcome {
    fn from(outcome: proto::Outcome) -> Self {
        Self {
            error: error_code(outcome.error),
            message: outcome.message,
        }
    }
}

fn outcome(outcome: Option<proto::Outcome>) -> Result<Outcome, ConvertError> {
    Ok(required(outcome, "outcome")?.into())
}

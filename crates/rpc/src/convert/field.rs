//! Single fields: presence, widths, ids, names and lists.

use super::ConvertError;
use milena_types::{BrokerId, ErrorCode, TopicName, Uuid};

/// Unwraps a message field.
pub(super) fn required<T>(value: Option<T>, field: &'static str) -> Result<T, ConvertError> {
    value.ok_or(ConvertError::Missing(field))
}

pub(super) fn uuid(bytes: &[u8], field: &'static str) -> Result<Uuid, ConvertError> {
    Ok(Uuid(bytes.try_into().map_err(|_| ConvertError::Id {
        field,
        length: bytes.len(),
    })?))
}

pub(super) fn uuid_bytes(id: Uuid) -> bytes::Bytes {
    bytes::Bytes::copy_from_slice(&id.0)
}

pub(super) fn narrow<T: TryFrom<i32>>(value: i32, field: &'static str) -> Result<T, ConvertError> {
    T::try_from(value).map_err(|_| ConvertError::Range {
        field,
        value: i64::from(value),
    })
}

pub(super) fn error_code(code: i32) -> ErrorCode {
    i16::try_from(code).map_or(ErrorCode::UnknownServerError, ErrorCode::from_code)
}

pub(super) fn topic_name(name: &str) -> Result<TopicName, ConvertError> {
    Ok(TopicName::new(name)?)
}

pub(super) fn ids(brokers: &[BrokerId]) -> Vec<i32> {
    brokers.iter().map(|broker| broker.0).collect()
}

/// Collects a list whose items can fail.
pub(super) fn each<P, D: TryFrom<P, Error = ConvertError>>(items: Vec<P>) -> Result<Vec<D>, ConvertError> {
    items.into_iter().map(D::try_from).collect()
}

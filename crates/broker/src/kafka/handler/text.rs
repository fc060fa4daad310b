//! Texts and ids as responses carry them.

use milena_types::BrokerId;
use milena_wire::{StrBytes, messages};

/// Text of our own.
pub(super) fn text(value: impl Into<String>) -> StrBytes {
    StrBytes::from_string(value.into())
}

/// A topic's name.
pub(super) fn topic_name(value: impl Into<String>) -> messages::TopicName {
    text(value).into()
}

/// A group's id.
pub(super) fn group_id(value: impl Into<String>) -> messages::GroupId {
    text(value).into()
}

/// A broker's id.
pub(super) fn broker(id: BrokerId) -> messages::BrokerId {
    id.0.into()
}

/// Brokers in the order given.
pub(super) fn brokers(ids: &[BrokerId]) -> Vec<messages::BrokerId> {
    ids.iter().copied().map(broker).collect()
}

/// Text of a request that outlives it.
pub(super) fn owned(value: &StrBytes) -> String {
    value.as_str().to_owned()
}

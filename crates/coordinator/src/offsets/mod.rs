//! Committed offsets, and those that wait for a transaction to end.

mod store;

pub(crate) use store::{CommittedOffset, OffsetStore};

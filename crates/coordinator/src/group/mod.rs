//! One classic group: its members and its state, without timers and records.

mod classic;
mod member;
mod state;
mod subscription;

pub(crate) use classic::ClassicGroup;
pub(crate) use member::Member;
pub use state::GroupState;

use std::sync::Arc;

/// A group's id; shared, because timers and queues name groups too.
pub(crate) type GroupId = Arc<str>;

/// A member's id.
pub(crate) type MemberId = Arc<str>;

/// The protocol type of consumers, whose metadata the broker reads the topics from.
pub(crate) const CONSUMER_PROTOCOL_TYPE: &str = "consumer";

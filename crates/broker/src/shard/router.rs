//! The handle through which everybody else reaches the partitions. Cheap to clone, `Send + Sync`.
//!
//! Its methods live beside the work they start: `produce.rs`, `fetch.rs`, `list_offsets.rs`, `epochs.rs`, `internal.rs`,
//! `describe.rs`, `delete_records.rs`. On the owner's own thread a call is a function call; from any other thread it is
//! one message per (call, owner).

use super::id::ShardId;
use super::leadership::LeadershipSubscribers;
use super::mailbox::Mailboxes;
use milena_types::ErrorCode;
use std::sync::Arc;

/// Reaches every partition of this broker, from any thread.
#[derive(Clone, Debug)]
pub struct Router {
    pub(super) mailboxes: Mailboxes,
    pub(super) leadership: Arc<LeadershipSubscribers>,
}

impl Router {
    pub(super) fn new(mailboxes: Mailboxes, leadership: Arc<LeadershipSubscribers>) -> Self {
        Self {
            mailboxes,
            leadership,
        }
    }

    /// How many data threads there are.
    #[must_use]
    pub fn shards(&self) -> usize {
        self.mailboxes.len()
    }

    /// Every data thread.
    pub fn shard_ids(&self) -> impl Iterator<Item = ShardId> + use<> {
        self.mailboxes.shards()
    }
}

/// What a request is told when its owner's thread did not take it: both are retried by clients.
pub(super) fn send_error_code(error: super::mailbox::SendError) -> ErrorCode {
    match error {
        super::mailbox::SendError::Full => ErrorCode::RequestTimedOut,
        super::mailbox::SendError::Stopped => ErrorCode::NotLeaderOrFollower,
    }
}

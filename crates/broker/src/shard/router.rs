//! The handle through which everybody else reaches the partitions. Cheap to clone, `Send + Sync`.
//!
//! Its methods live beside the work they start: `produce.rs`, `fetch.rs`, `list_offsets.rs`, `epochs.rs`, `internal.rs`,
//! `describe.rs`, `delete_records.rs`. On the owner's own thread a call is a function call; from any other thread it is
//! one message per (call, owner).

use super::background::Background;
use super::id::ShardId;
use super::leadership::LeadershipSubscribers;
use super::mailbox::Mailboxes;
use super::opening::Openings;
use milena_types::{ErrorCode, MetadataVersion};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// Reaches every partition of this broker, from any thread.
#[derive(Clone, Debug)]
pub struct Router {
    pub(super) mailboxes: Mailboxes,
    pub(super) leadership: Arc<LeadershipSubscribers>,
    pub(super) openings: Arc<Openings>,
    pub(super) background: Background,
    /// The image that every data thread has followed.
    pub(super) followed: watch::Sender<MetadataVersion>,
}

impl Router {
    pub(super) fn new(
        mailboxes: Mailboxes,
        leadership: Arc<LeadershipSubscribers>,
        openings: Arc<Openings>,
        background: Background,
    ) -> Self {
        Self {
            mailboxes,
            leadership,
            openings,
            background,
            followed: watch::Sender::default(),
        }
    }

    /// Waits until every data thread has followed the image of this version, or a later one: what clients read in an image
    /// is published before the partitions are there.
    ///
    /// # Cancel safety
    /// Nothing is lost by dropping the future.
    pub async fn followed(&self, version: MetadataVersion) {
        // The sender lives as long as `self`: waiting cannot fail.
        let _ = self.followed.subscribe().wait_for(|now| *now >= version).await;
    }

    /// Waits until no log is being opened or recovered any more, at most `patience`. How many still are: partitions that
    /// this broker does not have yet, as a replica that comes later.
    pub async fn logs_opened(&self, patience: Duration) -> usize {
        self.openings.settled(patience).await
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

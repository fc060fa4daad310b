//! What the coordinator needs from the rest of the broker, as traits, so that tests can fail it.

use bytes::BytesMut;
use futures_util::future::BoxFuture;
use milena_metadata::MetadataImage;
use milena_metadata::quorum::QuorumDescription;
use milena_metadata::request::{AdminReply, AdminRequest};
use milena_types::{BrokerId, ErrorCode, LeaderEpoch, Offset, OffsetRange, TopicIdPartition};
use std::sync::Arc;

use crate::shard::api::InternalRead;

/// The log of a partition that this broker leads.
pub trait OffsetsLog: Clone + Send + Sync + 'static {
    /// Appends one batch as the leader of `epoch`; resolves when it is committed (acks=all).
    ///
    /// # Errors
    /// NOT_ENOUGH_REPLICAS, MESSAGE_TOO_LARGE and the like: it is not in the log. Any other: it may be.
    fn append(
        &self,
        id: TopicIdPartition,
        batch: BytesMut,
        epoch: LeaderEpoch,
    ) -> BoxFuture<'static, Result<OffsetRange, ErrorCode>>;

    /// Reads whole batches from `from` up to the log end offset.
    ///
    /// # Errors
    /// NOT_LEADER_OR_FOLLOWER, OFFSET_OUT_OF_RANGE, KAFKA_STORAGE_ERROR.
    fn read(
        &self,
        id: TopicIdPartition,
        from: Offset,
        max_bytes: usize,
    ) -> BoxFuture<'static, Result<InternalRead, ErrorCode>>;
}

/// The cluster's metadata, and the way to change it.
pub trait ClusterView: Send + Sync + 'static {
    /// The last applied image.
    fn image(&self) -> Arc<MetadataImage>;

    /// The node of the active controller, as far as is known here.
    fn active_controller(&self) -> Option<BrokerId>;

    /// Asks the active controller.
    ///
    /// # Errors
    /// Any error means that nothing is known about the outcome.
    fn admin(&self, request: AdminRequest) -> BoxFuture<'static, Result<AdminReply, ErrorCode>>;

    /// Asks the active controller about its quorum.
    ///
    /// # Errors
    /// When it did not answer.
    fn describe_quorum(&self) -> BoxFuture<'static, Result<QuorumDescription, ErrorCode>>;
}

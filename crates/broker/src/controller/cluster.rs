//! The metadata image and the way to change it, for handlers and coordinators: any broker takes any administrative request.

use super::client::{ControllerClient, ControllerError};
use crate::coordinator::ClusterView;
use crate::metadata::MetadataCache;
use futures_util::future::BoxFuture;
use milena_metadata::MetadataImage;
use milena_metadata::quorum::QuorumDescription;
use milena_metadata::request::{AdminReply, AdminRequest};
use milena_rpc::proto;
use milena_types::{BrokerId, ErrorCode, MetadataVersion};
use std::sync::Arc;
use std::time::Duration;

/// The longest time that one voter may take for an administrative request: it covers a batch of 10,000 partitions.
const ATTEMPT: Duration = Duration::from_secs(10);
/// How long an answer is held back until this broker shows its effects.
const READ_YOUR_WRITES: Duration = Duration::from_secs(2);

/// Forwards administrative requests to the active controller.
#[derive(Clone, Debug)]
pub struct ClusterHandle {
    cache: Arc<MetadataCache>,
    client: ControllerClient,
    deadline: Duration,
}

impl ClusterHandle {
    /// `deadline`: `request.timeout.ms`.
    #[must_use]
    pub fn new(cache: Arc<MetadataCache>, client: ControllerClient, deadline: Duration) -> Self {
        Self {
            cache,
            client,
            deadline,
        }
    }

    /// Where the answers' effects become visible.
    #[must_use]
    pub fn cache(&self) -> &Arc<MetadataCache> {
        &self.cache
    }
}

impl ClusterView for ClusterHandle {
    fn image(&self) -> Arc<MetadataImage> {
        self.cache.image()
    }

    fn active_controller(&self) -> Option<BrokerId> {
        self.client.active()
    }

    fn admin(&self, request: AdminRequest) -> BoxFuture<'static, Result<AdminReply, ErrorCode>> {
        let this = self.clone();
        Box::pin(async move {
            let request = proto::AdminRequest::from(&request);
            let call = this.client.call(this.deadline, ATTEMPT, |mut stub| {
                let request = request.clone();
                async move { stub.admin(request).await }
            });
            let response = call.await.map_err(|error| {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "administrative request was not answered"
                );
                unanswered(&error)
            })?;
            let version = MetadataVersion(response.version);
            let reply = AdminReply::try_from(response).map_err(|error| {
                tracing::error!(%error, "the controller's answer is malformed");
                ErrorCode::UnknownServerError
            })?;
            // Clients ask this broker next; its image should already show what they did.
            let _ = tokio::time::timeout(READ_YOUR_WRITES, this.cache.reached(version)).await;
            Ok(reply)
        })
    }

    fn describe_quorum(&self) -> BoxFuture<'static, Result<QuorumDescription, ErrorCode>> {
        let this = self.clone();
        Box::pin(async move {
            let request = proto::DescribeQuorumRequest { of_leader: true };
            let call = this.client.call(this.deadline, ATTEMPT, |mut stub| async move {
                stub.describe_quorum(request).await
            });
            let response = call.await.map_err(|error| {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "the quorum was not described"
                );
                ErrorCode::RequestTimedOut
            })?;
            QuorumDescription::try_from(response).map_err(|error| {
                tracing::error!(%error, "the controller's answer is malformed");
                ErrorCode::UnknownServerError
            })
        })
    }
}

/// What a client is told of a call without an answer: to try again, but not with a request that every voter would refuse, as one whose
/// records are larger than a batch may be (Kafka: `RecordBatchTooLargeException` of the controller).
fn unanswered(error: &ControllerError) -> ErrorCode {
    match error {
        ControllerError::Refused(_) => ErrorCode::UnknownServerError,
        ControllerError::Unavailable { .. } | ControllerError::Malformed(_) => ErrorCode::RequestTimedOut,
    }
}

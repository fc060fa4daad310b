//! Producer ids for idempotent producers, handed out from blocks that the controller allots to this broker.
//!
//! Invariant: an id is handed out at most once in the cluster's life. What is left of a block at a restart is lost.
//! Source: `RPCProducerIdManager`.

use super::error_map::CONTROLLER_SILENT;
use crate::coordinator::ClusterView;
use milena_metadata::request::{AdminReply, AdminRequest};
use milena_types::{BrokerId, ErrorCode, ProducerId};
use std::ops::Range;
use tokio::sync::Mutex;

/// Hands out producer ids.
pub(super) struct ProducerIds {
    broker: BrokerId,
    /// What is left of the current block. Held while the next one is asked for: one request at a time.
    block: Mutex<Range<i64>>,
}

impl ProducerIds {
    pub(super) fn new(broker: BrokerId) -> Self {
        Self {
            broker,
            block: Mutex::new(0..0),
        }
    }

    /// The next id.
    ///
    /// # Errors
    /// COORDINATOR_LOAD_IN_PROGRESS, which clients retry, while no block can be had.
    pub(super) async fn next(&self, cluster: &dyn ClusterView) -> Result<ProducerId, ErrorCode> {
        let mut block = self.block.lock().await;
        if block.is_empty() {
            *block = self.allocate(cluster).await.map_err(|error| {
                tracing::warn!(%error, "no block of producer ids from the controller");
                // What Kafka answers while it waits for a block: every client retries it.
                ErrorCode::CoordinatorLoadInProgress
            })?;
        }
        block
            .next()
            .map(ProducerId)
            .ok_or(ErrorCode::CoordinatorLoadInProgress)
    }

    async fn allocate(&self, cluster: &dyn ClusterView) -> Result<Range<i64>, ErrorCode> {
        let epoch = cluster
            .image()
            .broker(self.broker)
            .ok_or(ErrorCode::BrokerIdNotRegistered)?
            .epoch;
        let request = AdminRequest::AllocateProducerIds {
            broker: self.broker,
            epoch,
        };
        match cluster.admin(request).await? {
            AdminReply::AllocateProducerIds {
                outcome,
                first,
                count,
            } if outcome.error.is_none() => Ok(first..first.saturating_add(i64::from(count))),
            AdminReply::AllocateProducerIds { outcome, .. } => Err(outcome.error),
            _ => Err(CONTROLLER_SILENT),
        }
    }
}

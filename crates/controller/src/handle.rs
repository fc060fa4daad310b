//! A running controller, as its node holds it.

use crate::cluster_metrics;
use crate::config::ControllerError;
use crate::planner::Observed;
use crate::service::{Quorum, QuorumStatus};
use milena_metadata::image::MetadataImage;
use milena_metrics::Metric;
use milena_types::{BrokerId, ClusterId};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use tokio::sync::{oneshot, watch};

/// What the handle reads from other threads.
pub(crate) struct Shared {
    pub(crate) quorum: Quorum,
    pub(crate) planner: Observed,
    pub(crate) syncs: Arc<AtomicU64>,
}

/// How to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stop {
    /// Hand over, then stop.
    Orderly,
    /// Drop everything where it is, as a kill would.
    #[cfg(test)]
    Kill,
}

/// `None` while it runs; then how it ended.
type End = watch::Receiver<Option<Result<(), String>>>;

/// A running controller. Dropping it stops the controller in order and waits for that.
pub struct ControllerHandle {
    shared: Arc<Shared>,
    addresses: Vec<SocketAddr>,
    stop: Option<oneshot::Sender<Stop>>,
    end: End,
    thread: Option<JoinHandle<()>>,
}

impl std::fmt::Debug for ControllerHandle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ControllerHandle")
            .field("addresses", &self.addresses)
            .finish_non_exhaustive()
    }
}

impl ControllerHandle {
    pub(crate) fn new(
        shared: Arc<Shared>,
        addresses: Vec<SocketAddr>,
        stop: oneshot::Sender<Stop>,
        end: End,
        thread: JoinHandle<()>,
    ) -> Self {
        Self {
            shared,
            addresses,
            stop: Some(stop),
            end,
            thread: Some(thread),
        }
    }

    /// Who leads the quorum, as far as this node knows; it may not serve yet. `None` while no majority follows anybody.
    #[must_use]
    pub fn active(&self) -> Option<BrokerId> {
        self.shared.quorum.leader()
    }

    /// False while this voter's disk is new and its log is not restored: it must not be counted on for a majority yet.
    #[must_use]
    pub fn may_vote(&self) -> bool {
        self.shared.quorum.may_vote()
    }

    /// True while this node is the active controller and serves.
    #[must_use]
    pub fn is_active(&self) -> bool {
        self.shared.planner.active.borrow().is_some()
    }

    /// Wakes when this node becomes or stops being the active controller; the value is the term.
    #[must_use]
    pub fn watch_active(&self) -> watch::Receiver<Option<u64>> {
        self.shared.planner.active.clone()
    }

    /// The quorum as this node sees it.
    #[must_use]
    pub fn quorum(&self) -> QuorumStatus {
        self.shared.quorum.status()
    }

    /// The cluster's id; `None` until the quorum has agreed on one and this node knows it.
    #[must_use]
    pub fn cluster_id(&self) -> Option<ClusterId> {
        self.shared.quorum.cluster()
    }

    /// The metadata as applied on this node; it may be behind that of the active controller.
    #[must_use]
    pub fn image(&self) -> Arc<MetadataImage> {
        self.shared.quorum.committed.image()
    }

    /// How many times the metadata log was synced to disk since the start.
    #[must_use]
    pub fn log_syncs(&self) -> u64 {
        self.shared.syncs.load(Ordering::Relaxed)
    }

    /// Figures of the controller, under Kafka's names and ours.
    #[must_use]
    pub fn metrics(&self) -> Vec<Metric> {
        let (image, planner) = (self.image(), &self.shared.planner);
        let mut metrics = cluster_metrics::metrics(&image, self.is_active());
        metrics.extend(planner.availability.metrics(&image, planner.clock.now()));
        metrics
    }

    /// Where it listens.
    #[must_use]
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Returns when the controller has ended.
    ///
    /// # Errors
    /// It could not go on: its store failed, mostly. The node should stop.
    pub async fn ended(&self) -> Result<(), ControllerError> {
        let mut end = self.end.clone();
        match end.wait_for(Option::is_some).await {
            Ok(end) => end.clone().unwrap_or(Ok(())).map_err(ControllerError::Raft),
            Err(_) => Err(ControllerError::Raft("the control thread panicked".to_owned())),
        }
    }

    /// Hands leadership over and stops; the database is closed when it returns.
    ///
    /// # Errors
    /// As [`ControllerHandle::ended`].
    pub async fn shutdown(mut self) -> Result<(), ControllerError> {
        self.signal(Stop::Orderly);
        self.ended().await
    }

    fn signal(&mut self, how: Stop) {
        if let Some(stop) = self.stop.take() {
            // An error means that it has ended already.
            let _ = stop.send(how);
        }
    }

    /// Commits a batch that the planner knows nothing of.
    #[cfg(test)]
    pub(crate) async fn propose(&self, batch: &milena_metadata::MetadataBatch) {
        let proposal = crate::raft::types::Proposal(milena_rpc::encode_batch(batch));
        self.shared.quorum.raft.client_write(proposal).await.unwrap();
    }

    /// Stops without a goodbye.
    #[cfg(test)]
    pub(crate) fn kill(mut self) {
        self.signal(Stop::Kill);
    }
}

impl Drop for ControllerHandle {
    fn drop(&mut self) {
        self.signal(Stop::Orderly);
        if self.thread.take().is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the control thread panicked");
        }
    }
}

//! What the data threads see of the controller: the broker epoch, ISR proposals, lost peers, failed directories.
//!
//! Every method only puts something into a queue of the control thread: none blocks.

use super::alter_partition::{self, Proposal};
use super::client::ControllerClient;
use super::registration::Registration;
use super::replica_reports::ReplicaReports;
use super::suspicion::{self, Suspicion};
use crate::metadata::MetadataCache;
use crate::shard::ControlPlane;
use futures_util::future::BoxFuture;
use milena_metadata::request::{AlterPartitionItem, ReplicaStateItem};
use milena_types::{BrokerEpoch, BrokerId, ErrorCode, MetadataVersion};
use std::sync::Arc;
use tokio::sync::{mpsc, oneshot};

/// The control side of a broker, for its data threads.
#[derive(Debug)]
pub struct BrokerControl {
    registration: Arc<Registration>,
    proposals: mpsc::UnboundedSender<Proposal>,
    reports: ReplicaReports,
    lost: mpsc::UnboundedSender<BrokerId>,
    cache: Arc<MetadataCache>,
}

impl BrokerControl {
    /// Starts the tasks behind it; to be called inside the control thread's `LocalSet`.
    #[must_use]
    pub fn start(
        broker: BrokerId,
        inter_broker_listener: &str,
        registration: Arc<Registration>,
        client: &ControllerClient,
        cache: &Arc<MetadataCache>,
    ) -> Self {
        let (proposals, queue) = mpsc::unbounded_channel();
        let (lost, lost_queue) = mpsc::unbounded_channel();
        tokio::task::spawn_local(alter_partition::run(
            broker,
            Arc::clone(&registration),
            client.clone(),
            queue,
        ));
        let reports = ReplicaReports::start(broker, Arc::clone(&registration), client.clone());
        let suspicion = Suspicion {
            broker,
            listener: inter_broker_listener.to_owned(),
            cache: Arc::clone(cache),
            client: client.clone(),
        };
        tokio::task::spawn_local(suspicion::run(suspicion, lost_queue));
        Self {
            registration,
            proposals,
            reports,
            lost,
            cache: Arc::clone(cache),
        }
    }
}

impl BrokerControl {
    /// Resolves when the controller has answered everything that was reported about replicas.
    pub async fn reports_answered(&self) {
        self.reports.answered().await;
    }
}

impl ControlPlane for BrokerControl {
    fn broker_epoch(&self) -> Option<BrokerEpoch> {
        self.registration.epoch()
    }

    fn in_contact(&self, followed: MetadataVersion) -> bool {
        self.registration.in_contact(followed)
    }

    fn alter_partition(&self, item: AlterPartitionItem) -> BoxFuture<'static, ErrorCode> {
        let (answer, answered) = oneshot::channel();
        let queued = self.proposals.send((item, answer)).is_ok();
        Box::pin(async move {
            if queued {
                answered.await.unwrap_or(ErrorCode::RequestTimedOut)
            } else {
                ErrorCode::RequestTimedOut
            }
        })
    }

    fn report_replica(&self, item: ReplicaStateItem) -> BoxFuture<'static, ErrorCode> {
        self.reports.report(item)
    }

    fn peer_lost(&self, broker: BrokerId) {
        // Before the suspicion is followed up: a client of that broker may ask this one in the same millisecond.
        self.cache.doubt(broker);
        // At shutdown nobody looks any more.
        let _ = self.lost.send(broker);
    }
}

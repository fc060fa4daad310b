//! What this broker says about its replicas, in one request at a time.
//!
//! What waits while a request is in flight goes into the next one. A replica has at most one report here (its data thread
//! sees to that), so the queue is bounded by the replicas of the broker; a report without an answer is made again there.

use super::client::ControllerClient;
use super::registration::Registration;
use futures_util::future::BoxFuture;
use milena_metadata::request::{AlterPartitionResult, ReplicaStateItem, ReplicaStates};
use milena_rpc::proto;
use milena_types::{BrokerId, ErrorCode, TopicIdPartition};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot, watch};

/// A request that no controller has answered for this long fails.
const DEADLINE: Duration = Duration::from_secs(5);
const ATTEMPT: Duration = Duration::from_secs(2);
/// Replicas in one request.
const BATCH_MAX: usize = 10_000;

type Report = (ReplicaStateItem, oneshot::Sender<ErrorCode>);

/// The way of a report to the controller.
#[derive(Debug)]
pub(super) struct ReplicaReports {
    queue: mpsc::UnboundedSender<Report>,
    /// How many have not been answered.
    waiting: Arc<watch::Sender<usize>>,
}

impl ReplicaReports {
    /// Starts the task behind it; to be called inside the control thread's `LocalSet`.
    pub(super) fn start(broker: BrokerId, registration: Arc<Registration>, client: ControllerClient) -> Self {
        let (queue, reports) = mpsc::unbounded_channel();
        let waiting = Arc::new(watch::Sender::new(0));
        tokio::task::spawn_local(run(broker, registration, client, reports, Arc::clone(&waiting)));
        Self { queue, waiting }
    }

    /// Resolves with the controller's answer, or REQUEST_TIMED_OUT.
    pub(super) fn report(&self, item: ReplicaStateItem) -> BoxFuture<'static, ErrorCode> {
        let (answer, answered) = oneshot::channel();
        self.waiting.send_modify(|waiting| *waiting += 1);
        let queued = self.queue.send((item, answer)).is_ok();
        Box::pin(async move {
            if queued {
                answered.await.unwrap_or(ErrorCode::RequestTimedOut)
            } else {
                ErrorCode::RequestTimedOut
            }
        })
    }

    /// Resolves when everything that was reported has been answered.
    pub(super) async fn answered(&self) {
        // The sender lives as long as `self`: waiting cannot fail.
        let _ = self.waiting.subscribe().wait_for(|waiting| *waiting == 0).await;
    }
}

async fn run(
    broker: BrokerId,
    registration: Arc<Registration>,
    client: ControllerClient,
    mut queue: mpsc::UnboundedReceiver<Report>,
    waiting: Arc<watch::Sender<usize>>,
) {
    let mut batch = Vec::new();
    while queue.recv_many(&mut batch, BATCH_MAX).await > 0 {
        let (replicas, reporters): (Vec<_>, Vec<_>) = batch
            .drain(..)
            .map(|(item, answer)| (item, (item.id, answer)))
            .unzip();
        let results = match registration.epoch() {
            Some(broker_epoch) => {
                let request = ReplicaStates {
                    broker,
                    broker_epoch,
                    replicas,
                };
                send(&client, &request).await
            }
            None => HashMap::new(),
        };
        let answered = reporters.len();
        for (id, answer) in reporters {
            let error = results.get(&id).copied().unwrap_or(ErrorCode::RequestTimedOut);
            // A partition that is gone does not listen any more.
            let _ = answer.send(error);
        }
        waiting.send_modify(|waiting| *waiting -= answered);
    }
}

async fn send(client: &ControllerClient, request: &ReplicaStates) -> HashMap<TopicIdPartition, ErrorCode> {
    let message = proto::ReportReplicasRequest::from(request);
    let answer = client
        .call(DEADLINE, ATTEMPT, |mut stub| {
            let message = message.clone();
            async move { stub.report_replicas(message).await }
        })
        .await
        .and_then(|response| Ok(Vec::<AlterPartitionResult>::try_from(response)?));
    match answer {
        Ok(results) => results
            .into_iter()
            .map(|result| (result.id, result.error))
            .collect(),
        Err(error) => {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                replicas = request.replicas.len(),
                "reports on replicas were not answered"
            );
            HashMap::new()
        }
    }
}

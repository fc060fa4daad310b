//! What this broker says about its replicas, in one request at a time.
//!
//! What waits while a request is in flight goes into the next one, and so does what could not be delivered: a broker that is not
//! unfenced before all is answered must not take silence for an answer. A replica has at most one report here (its data thread
//! sees to that), so the queue is bounded by the replicas of the broker.

use super::answers::by_partition;
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

/// A request that no controller has answered for this long has failed.
const DEADLINE: Duration = Duration::from_secs(5);
const ATTEMPT: Duration = Duration::from_secs(2);
/// The pause before what could not be delivered is sent again.
const PAUSE: Duration = Duration::from_millis(100);
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

    /// Resolves with the controller's answer, however long that takes; REQUEST_TIMED_OUT when the control thread has ended.
    pub(super) fn report(&self, item: ReplicaStateItem) -> BoxFuture<'static, ErrorCode> {
        let (answer, answered) = oneshot::channel();
        self.waiting.send_modify(|waiting| *waiting += 1);
        let queued = self.queue.send((item, answer)).is_ok();
        if !queued {
            self.waiting.send_modify(|waiting| *waiting -= 1);
        }
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
    let mut open = Vec::new();
    while collect(&mut queue, &mut open).await {
        let results = match registration.epoch() {
            Some(broker_epoch) => {
                let request = ReplicaStates {
                    broker,
                    broker_epoch,
                    replicas: open.iter().map(|(item, _)| *item).collect(),
                };
                send(&client, &request).await
            }
            None => HashMap::new(),
        };
        let before = open.len();
        // Under a registration that is over nothing was taken: it goes out again under the next one.
        let taken = |item: &ReplicaStateItem| {
            let error = results.get(&item.id);
            error.filter(|error| **error != ErrorCode::StaleBrokerEpoch)
        };
        let undelivered = |(item, answer): Report| match taken(&item) {
            Some(error) => {
                let _ = answer.send(*error);
                None
            }
            // A partition that is gone does not listen any more.
            None => (!answer.is_closed()).then_some((item, answer)),
        };
        open = open.into_iter().filter_map(undelivered).collect();
        waiting.send_modify(|waiting| *waiting -= before - open.len());
    }
}

/// Waits for reports; when some could not be delivered, for a moment. False: there will be no more.
async fn collect(queue: &mut mpsc::UnboundedReceiver<Report>, open: &mut Vec<Report>) -> bool {
    if open.is_empty() {
        return queue.recv_many(open, BATCH_MAX).await > 0;
    }
    tokio::time::sleep(PAUSE).await;
    while open.len() < BATCH_MAX
        && let Ok(report) = queue.try_recv()
    {
        open.push(report);
    }
    !queue.is_closed()
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
    by_partition(answer, "reports on replicas", request.replicas.len())
}

//! ISR proposals of all partitions of this broker, in one request at a time.
//!
//! What waits while a request is in flight goes into the next one. Each partition has at most one proposal here (its leader
//! state sees to that), so the queue is bounded by the partitions led. Source: `DefaultAlterPartitionManager`.

use super::answers::by_partition;
use super::client::ControllerClient;
use super::registration::Registration;
use milena_metadata::request::{AlterPartition, AlterPartitionItem, AlterPartitionResult};
use milena_rpc::proto;
use milena_types::{BrokerId, ErrorCode, TopicIdPartition};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};

/// A request that no controller has answered for this long fails; its partitions propose again.
const DEADLINE: Duration = Duration::from_secs(5);
const ATTEMPT: Duration = Duration::from_secs(2);
/// Proposals in one request.
const BATCH_MAX: usize = 10_000;

/// A proposal and whom to tell.
pub(super) type Proposal = (AlterPartitionItem, oneshot::Sender<ErrorCode>);

/// Sends the proposals until all senders are gone.
pub(super) async fn run(
    broker: BrokerId,
    registration: Arc<Registration>,
    client: ControllerClient,
    mut queue: mpsc::UnboundedReceiver<Proposal>,
) {
    let mut batch = Vec::new();
    while queue.recv_many(&mut batch, BATCH_MAX).await > 0 {
        let (items, waiting): (Vec<_>, Vec<_>) = batch
            .drain(..)
            .map(|(item, answer)| (item.clone(), (item.id, answer)))
            .unzip();
        let results = match registration.epoch() {
            Some(broker_epoch) => {
                send(
                    &client,
                    AlterPartition {
                        broker,
                        broker_epoch,
                        partitions: items,
                    },
                )
                .await
            }
            None => HashMap::new(),
        };
        for (id, answer) in waiting {
            let error = results.get(&id).copied().unwrap_or(ErrorCode::RequestTimedOut);
            // A partition that is gone does not listen any more.
            let _ = answer.send(error);
        }
    }
}

async fn send(client: &ControllerClient, request: AlterPartition) -> HashMap<TopicIdPartition, ErrorCode> {
    let message = proto::AlterPartitionRequest::from(&request);
    let answer = client
        .call(DEADLINE, ATTEMPT, |mut stub| {
            let message = message.clone();
            async move { stub.alter_partition(message).await }
        })
        .await
        .and_then(|response| Ok(Vec::<AlterPartitionResult>::try_from(response)?));
    by_partition(answer, "ISR proposals", request.partitions.len())
}

//! AlterPartitionReassignments (45): partitions move to other replicas, or stay after all. Source:
//! `ReplicationControlManager.alterPartitionReassignments`, KIP-455, KIP-860.

use super::text::{owned, text};
use super::too_much;
use crate::kafka::dispatch::Call;
use crate::kafka::error_map::{code_and_message, controller_failed};
use milena_metadata::request::{AdminReply, AdminRequest, Outcome, Reassign};
use milena_types::{BrokerId, ErrorCode};
use milena_wire::messages::alter_partition_reassignments_request::ReassignableTopic;
use milena_wire::messages::alter_partition_reassignments_response::{
    ReassignablePartitionResponse, ReassignableTopicResponse,
};
use milena_wire::messages::{AlterPartitionReassignmentsRequest, AlterPartitionReassignmentsResponse};

pub(in crate::kafka) async fn handle(
    call: &Call,
    request: AlterPartitionReassignmentsRequest,
) -> AlterPartitionReassignmentsResponse {
    let allow = request.allow_replication_factor_change;
    let response = AlterPartitionReassignmentsResponse::default().with_allow_replication_factor_change(allow);
    let sizes = request.topics.iter().map(|t| (t.name.len(), t.partitions.len()));
    if let Err(refused) = too_much::check(sizes) {
        let (code, message) = code_and_message(refused);
        return response.with_error_code(code).with_error_message(message);
    }
    let partitions: Vec<_> = request.topics.iter().flat_map(asked).collect();
    let count = partitions.len();
    let admin = AdminRequest::AlterPartitionReassignments {
        partitions,
        allow_replication_factor_change: allow,
    };
    match call.peer.ctx.cluster.admin(admin).await {
        Ok(AdminReply::AlterPartitionReassignments(outcomes)) if outcomes.len() == count => {
            response.with_responses(rows(&request.topics, outcomes.into_iter()))
        }
        other => {
            let failed = controller_failed(other.err().unwrap_or(ErrorCode::None));
            let (code, message) = code_and_message(failed.clone());
            response
                .with_error_code(code)
                .with_error_message(message)
                .with_responses(rows(&request.topics, std::iter::repeat(failed)))
        }
    }
}

fn asked(topic: &ReassignableTopic) -> impl Iterator<Item = Reassign> {
    topic.partitions.iter().map(|partition| Reassign {
        topic: owned(&topic.name.0),
        partition: partition.partition_index,
        replicas: partition
            .replicas
            .as_ref()
            .map(|list| list.iter().map(|id| BrokerId(id.0)).collect()),
    })
}

/// The request's topics and partitions, each with the next outcome.
fn rows(
    topics: &[ReassignableTopic],
    mut outcomes: impl Iterator<Item = Outcome>,
) -> Vec<ReassignableTopicResponse> {
    let topics = topics.iter().map(|topic| {
        let partitions = topic.partitions.iter().zip(outcomes.by_ref());
        let partitions = partitions.map(|(partition, outcome)| {
            let (code, message) = code_and_message(outcome);
            ReassignablePartitionResponse::default()
                .with_partition_index(partition.partition_index)
                .with_error_code(code)
                .with_error_message(message)
        });
        ReassignableTopicResponse::default()
            .with_name(text(topic.name.0.as_str()).into())
            .with_partitions(partitions.collect())
    });
    topics.collect()
}

//! CreatePartitions (37): more partitions for existing topics. Source: `ReplicationControlManager.createPartitions`.

use super::text::{owned, topic_name};
use crate::kafka::dispatch::Call;
use crate::kafka::error_map::{code_and_message, controller_failed};
use milena_metadata::request::{AdminReply, AdminRequest, GrowTopic};
use milena_types::{BrokerId, ErrorCode};
use milena_wire::messages::create_partitions_request::{CreatePartitionsAssignment, CreatePartitionsTopic};
use milena_wire::messages::create_partitions_response::CreatePartitionsTopicResult;
use milena_wire::messages::{CreatePartitionsRequest, CreatePartitionsResponse};

pub(in crate::kafka) async fn handle(
    call: &Call,
    request: CreatePartitionsRequest,
) -> CreatePartitionsResponse {
    let topics: Vec<_> = request.topics.iter().map(growth).collect();
    let names: Vec<_> = topics.iter().map(|topic| topic.name.clone()).collect();
    let admin = AdminRequest::CreatePartitions {
        topics,
        validate_only: request.validate_only,
    };
    let results = match call.peer.ctx.cluster.admin(admin).await {
        Ok(AdminReply::CreatePartitions(results)) => results,
        other => {
            let outcome = controller_failed(other.err().unwrap_or(ErrorCode::None));
            names.into_iter().map(|name| (name, outcome.clone())).collect()
        }
    };
    let rows = results.into_iter().map(|(name, outcome)| {
        let (code, message) = code_and_message(outcome);
        CreatePartitionsTopicResult::default()
            .with_name(topic_name(name))
            .with_error_code(code)
            .with_error_message(message)
    });
    CreatePartitionsResponse::default().with_results(rows.collect())
}

fn growth(topic: &CreatePartitionsTopic) -> GrowTopic {
    let replicas = |a: &CreatePartitionsAssignment| a.broker_ids.iter().map(|id| BrokerId(id.0)).collect();
    GrowTopic {
        name: owned(&topic.name.0),
        count: topic.count,
        assignments: topic
            .assignments
            .as_ref()
            .map(|list| list.iter().map(replicas).collect()),
    }
}

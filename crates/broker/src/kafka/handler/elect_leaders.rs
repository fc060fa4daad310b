//! ElectLeaders (43): preferred or unclean elections. Source: `ReplicationControlManager.electLeaders`, KIP-460.

use super::text::{text, topic_name};
use crate::kafka::dispatch::Call;
use crate::kafka::error_map::{CONTROLLER_SILENT, code_and_message};
use milena_metadata::request::{AdminReply, AdminRequest, ElectLeader, ElectionType, Outcome};
use milena_types::{ErrorCode, TopicName};
use milena_wire::messages::elect_leaders_response::{PartitionResult, ReplicaElectionResult};
use milena_wire::messages::{ElectLeadersRequest, ElectLeadersResponse};
use std::collections::BTreeMap;

pub(in crate::kafka) async fn handle(call: &Call, request: ElectLeadersRequest) -> ElectLeadersResponse {
    let election = match request.election_type {
        0 => ElectionType::Preferred,
        1 => ElectionType::Unclean,
        _ => return refused(call.version, ErrorCode::InvalidRequest),
    };
    let mut rows: BTreeMap<String, Vec<PartitionResult>> = BTreeMap::new();
    let all = request.topic_partitions.is_none();
    let partitions = request.topic_partitions.map(|topics| {
        let mut known = Vec::new();
        for topic in topics {
            let Ok(name) = TopicName::new(topic.topic.as_str()) else {
                let outcome =
                    Outcome::failed(ErrorCode::InvalidTopicException, "no topic can have this name");
                let rows = rows.entry(topic.topic.as_str().to_owned()).or_default();
                rows.extend(
                    topic
                        .partitions
                        .iter()
                        .map(|partition| row(*partition, outcome.clone())),
                );
                continue;
            };
            known.extend(topic.partitions.iter().map(|p| ElectLeader {
                topic: name.clone(),
                partition: *p,
            }));
        }
        known
    });
    let results = match call
        .peer
        .ctx
        .cluster
        .admin(AdminRequest::ElectLeaders { election, partitions })
        .await
    {
        Ok(AdminReply::ElectLeaders(results)) => results,
        Ok(_) => return refused(call.version, CONTROLLER_SILENT),
        Err(error) => return refused(call.version, error),
    };
    for (topic, partition, outcome) in results {
        // Asked for all, partitions that need no election are left out.
        if !(all && outcome.error == ErrorCode::ElectionNotNeeded) {
            rows.entry(topic.as_str().to_owned())
                .or_default()
                .push(row(partition, outcome));
        }
    }
    let rows = rows.into_iter().map(|(topic, partitions)| {
        ReplicaElectionResult::default()
            .with_topic(topic_name(topic))
            .with_partition_result(partitions)
    });
    ElectLeadersResponse::default().with_replica_election_results(rows.collect())
}

fn row(partition: i32, outcome: Outcome) -> PartitionResult {
    let (code, message) = code_and_message(outcome);
    let message = message.or_else(|| (code != 0).then(|| text(ErrorCode::from_code(code).to_string())));
    PartitionResult::default()
        .with_partition_id(partition)
        .with_error_code(code)
        .with_error_message(message)
}

fn refused(version: i16, error: ErrorCode) -> ElectLeadersResponse {
    // Version 0 has no error of its own.
    let code = if version >= 1 { error.code() } else { 0 };
    ElectLeadersResponse::default().with_error_code(code)
}

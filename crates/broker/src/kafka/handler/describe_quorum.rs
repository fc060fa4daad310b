//! DescribeQuorum (55): the voters and observers of the metadata log; asked from the active controller.
//! Source: `KafkaRaftClient.handleDescribeQuorumRequest`, KIP-595, KIP-836, KIP-853.

use super::text::{broker, text};
use crate::kafka::dispatch::Call;
use crate::kafka::error_map::controller_failed;
use milena_metadata::quorum::{QuorumDescription, QuorumReplica};
use milena_types::{ErrorCode, Offset};
use milena_wire::messages::describe_quorum_response::{
    Listener, Node, PartitionData, ReplicaState, TopicData,
};
use milena_wire::messages::{DescribeQuorumRequest, DescribeQuorumResponse, describe_quorum_request};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The topic and partition that stand for the metadata log.
const TOPIC: &str = "__cluster_metadata";
const PARTITION: i32 = 0;
/// For offsets and times that nobody knows.
const UNKNOWN: i64 = -1;
/// The name of the controllers' listener, unless the broker was told another.
const CONTROLLER_LISTENER: &str = "CONTROLLER";

pub(in crate::kafka) async fn handle(call: &Call, request: DescribeQuorumRequest) -> DescribeQuorumResponse {
    if !asks_for_the_metadata_log(&request) {
        return refused(call.version, request);
    }
    match call.peer.ctx.cluster.describe_quorum().await {
        Ok(quorum) => described(call, &quorum),
        Err(error) => {
            let outcome = controller_failed(error);
            let message = outcome.message.filter(|_| call.version >= 2);
            DescribeQuorumResponse::default()
                .with_error_code(outcome.error.code())
                .with_error_message(message.map(text))
        }
    }
}

fn asks_for_the_metadata_log(request: &DescribeQuorumRequest) -> bool {
    match request.topics.as_slice() {
        [topic] => {
            let partitions = topic.partitions.as_slice();
            topic.topic_name.as_str() == TOPIC
                && matches!(partitions, [only] if only.partition_index == PARTITION)
        }
        _ => false,
    }
}

/// Nothing else has a quorum.
fn refused(version: i16, request: DescribeQuorumRequest) -> DescribeQuorumResponse {
    let error = ErrorCode::UnknownTopicOrPartition.code();
    let partition = |partition: describe_quorum_request::PartitionData| {
        let row = PartitionData::default()
            .with_partition_index(partition.partition_index)
            .with_error_code(error);
        match version {
            2.. => row.with_error_message(Some(text("only __cluster_metadata-0 has a quorum"))),
            _ => row,
        }
    };
    let topics = request.topics.into_iter().map(|topic| {
        TopicData::default()
            .with_topic_name(text(topic.topic_name.as_str()).into())
            .with_partitions(topic.partitions.into_iter().map(partition).collect())
    });
    DescribeQuorumResponse::default().with_topics(topics.collect())
}

fn described(call: &Call, quorum: &QuorumDescription) -> DescribeQuorumResponse {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let replicas = |list: &[QuorumReplica]| {
        list.iter()
            .map(|replica| state(call.version, replica, now))
            .collect()
    };
    let partition = PartitionData::default()
        .with_partition_index(PARTITION)
        .with_leader_id(broker(quorum.leader))
        .with_leader_epoch(i32::try_from(quorum.leader_epoch).unwrap_or(i32::MAX))
        .with_high_watermark(quorum.high_watermark.0)
        .with_current_voters(replicas(&quorum.voters))
        .with_observers(replicas(&quorum.observers));
    let topic = TopicData::default()
        .with_topic_name(text(TOPIC).into())
        .with_partitions(vec![partition]);
    let response = DescribeQuorumResponse::default().with_topics(vec![topic]);
    match call.version {
        2.. => response.with_nodes(nodes(call, quorum)),
        _ => response,
    }
}

fn state(version: i16, replica: &QuorumReplica, now: Duration) -> ReplicaState {
    let at = |ago: Option<Duration>| {
        let then = ago.and_then(|ago| now.checked_sub(ago));
        then.and_then(|then| i64::try_from(then.as_millis()).ok())
            .unwrap_or(UNKNOWN)
    };
    let row = ReplicaState::default()
        .with_replica_id(broker(replica.id))
        .with_log_end_offset(replica.log_end_offset.map_or(UNKNOWN, |Offset(end)| end));
    match version {
        1.. => row
            .with_last_fetch_timestamp(at(replica.last_contact))
            .with_last_caught_up_timestamp(at(replica.last_caught_up)),
        _ => row,
    }
}

fn nodes(call: &Call, quorum: &QuorumDescription) -> Vec<Node> {
    let names = call.peer.ctx.config.properties.get("controller.listener.names");
    let first = names.and_then(|names| names.split(',').map(str::trim).find(|name| !name.is_empty()));
    let name = first.unwrap_or(CONTROLLER_LISTENER);
    let node = |voter: &QuorumReplica| {
        let (host, port) = voter.address.as_ref()?;
        let listener = Listener::default()
            .with_name(text(name))
            .with_host(text(host.as_str()))
            .with_port(*port);
        Some(
            Node::default()
                .with_node_id(broker(voter.id))
                .with_listeners(vec![listener]),
        )
    };
    quorum.voters.iter().filter_map(node).collect()
}

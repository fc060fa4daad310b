//! Reassignments, which librdkafka cannot ask for: one request a connection, in frames.

use crate::Connection;
use milena_wire::client::ClientRequest;
use milena_wire::messages::alter_partition_reassignments_request::{
    ReassignablePartition, ReassignableTopic,
};
use milena_wire::messages::{
    AlterPartitionReassignmentsRequest, ListPartitionReassignmentsRequest,
    list_partition_reassignments_response,
};
use milena_wire::{StrBytes, messages::TopicName};
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(20);

fn call<R: ClientRequest>(address: &str, version: i16, request: &R) -> R::Response {
    let mut connection = Connection::new(address, PATIENCE).expect("connect");
    connection.call(version, request).expect("an answer")
}

fn name(topic: &str) -> TopicName {
    StrBytes::from_string(topic.to_owned()).into()
}

/// Asks the broker at `address` to move a partition, or with `None` to leave it where it was. Gives Kafka's error code.
///
/// # Panics
/// When no answer comes.
#[must_use]
pub fn reassign(address: &str, topic: &str, partition: i32, replicas: Option<&[i32]>) -> i16 {
    let partition = ReassignablePartition::default()
        .with_partition_index(partition)
        .with_replicas(replicas.map(|list| list.iter().map(|id| (*id).into()).collect()));
    let topic = ReassignableTopic::default()
        .with_name(name(topic))
        .with_partitions(vec![partition]);
    let request = AlterPartitionReassignmentsRequest::default()
        .with_timeout_ms(10_000)
        .with_topics(vec![topic]);
    let response = call(address, 1, &request);
    assert_eq!(response.error_code, 0, "{:?}", response.error_message);
    response.responses[0].partitions[0].error_code
}

/// Which partitions are on their way, as the broker at `address` says: (partition, adding, removing).
///
/// # Panics
/// When no answer comes.
#[must_use]
pub fn ongoing(address: &str, topic: &str) -> Vec<(i32, Vec<i32>, Vec<i32>)> {
    let request = ListPartitionReassignmentsRequest::default()
        .with_timeout_ms(10_000)
        .with_topics(None);
    let response = call(address, 0, &request);
    let ids = |list: &[milena_wire::messages::BrokerId]| list.iter().map(|id| id.0).collect();
    let row = |p: &list_partition_reassignments_response::OngoingPartitionReassignment| {
        (
            p.partition_index,
            ids(&p.adding_replicas),
            ids(&p.removing_replicas),
        )
    };
    let topics = response.topics.iter().filter(|found| found.name == name(topic));
    topics
        .flat_map(|found| found.partitions.iter().map(row))
        .collect()
}

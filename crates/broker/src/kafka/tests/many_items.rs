//! Requests with very many items: each is answered, and none is looked for among all others, which would take minutes.

use super::broker::TestBroker;
use super::client::{Client, text};
use milena_wire::messages::alter_partition_reassignments_request::{
    ReassignablePartition, ReassignableTopic,
};
use milena_wire::messages::create_topics_request::CreatableTopic;
use milena_wire::messages::elect_leaders_request::TopicPartitions;
use milena_wire::messages::incremental_alter_configs_request::{AlterConfigsResource, AlterableConfig};
use milena_wire::messages::{
    AlterPartitionReassignmentsRequest, CreateTopicsRequest, ElectLeadersRequest,
    IncrementalAlterConfigsRequest,
};

const ITEMS: usize = 100_000;
const PARTITIONS: i32 = 5_000;
const BROKER: i8 = 4;
const TOPIC: i8 = 2;

/// Long, because a frame may not say more than its bytes justify.
fn name(n: usize) -> String {
    format!("no-such-topic-{n:032}")
}

fn nothing(kind: i8, name: &str) -> AlterConfigsResource {
    AlterConfigsResource::default()
        .with_resource_type(kind)
        .with_resource_name(text(name))
}

fn resource(kind: i8, name: &str, key: &str) -> AlterConfigsResource {
    let change = AlterableConfig::default()
        .with_name(text(key))
        .with_value(Some(text("1")));
    nothing(kind, name).with_configs(vec![change])
}

#[tokio::test]
async fn configurations_of_a_hundred_thousand_resources_are_answered_in_their_order() {
    let broker = TestBroker::start().await;
    let mut client = Client::connect(&broker).await;
    client.create_topic("t", 1).await;
    let mut resources: Vec<_> = (0..ITEMS).map(|n| nothing(TOPIC, &name(n))).collect();
    resources.push(nothing(TOPIC, &name(7)));
    resources.push(resource(TOPIC, "a/b", "flush.ms"));
    resources.push(resource(TOPIC, "t", "flush.ms"));
    // The same broker under another name: whatever the controller calls it.
    resources.push(resource(BROKER, "01", "plugin.key"));
    let request = IncrementalAlterConfigsRequest::default().with_resources(resources);
    let responses = client.call(1, &request).await.responses;
    let codes: Vec<_> = responses.iter().map(|r| r.error_code).collect();
    assert!((0..ITEMS).all(|n| codes[n] == if n == 7 { 42 } else { 3 }));
    assert_eq!(codes[ITEMS..], [42, 17, 0, 0]);
    assert!((0..ITEMS).all(|n| responses[n].resource_name.as_str() == name(n)));
    assert_eq!(responses[ITEMS + 3].resource_name.as_str(), "01");
}

#[tokio::test]
async fn the_creation_of_a_hundred_thousand_topics_is_answered() {
    let broker = TestBroker::start().await;
    let mut client = Client::connect(&broker).await;
    let topic = |n| {
        CreatableTopic::default()
            .with_name(text(&format!("x.{n}")).into())
            .with_num_partitions(i32::from(n == ITEMS - 1))
            .with_replication_factor(1)
    };
    let request = CreateTopicsRequest::default()
        .with_topics((0..ITEMS).map(topic).collect())
        .with_timeout_ms(10_000);
    let answers = client.call(7, &request).await.topics;
    assert!(answers[..ITEMS - 1].iter().all(|topic| topic.error_code == 37));
    let made = &answers[ITEMS - 1];
    assert_eq!((made.error_code, made.num_partitions), (0, 1));
    assert!(made.configs.as_ref().is_some_and(|configs| configs.len() > 10));
}

#[tokio::test]
async fn one_long_name_with_very_many_partitions_is_not_taken_as_often() {
    let broker = TestBroker::start().await;
    let mut client = Client::connect(&broker).await;
    let name = "n".repeat(32_000);
    let replicas = vec![0.into(); 20];
    let partition = |index| {
        ReassignablePartition::default()
            .with_partition_index(index)
            .with_replicas(Some(replicas.clone()))
    };
    let topic = ReassignableTopic::default()
        .with_name(text(&name).into())
        .with_partitions((0..PARTITIONS).map(partition).collect());
    let request = AlterPartitionReassignmentsRequest::default()
        .with_timeout_ms(10_000)
        .with_topics(vec![topic]);
    let response = client.call(0, &request).await;
    assert_eq!((response.error_code, response.responses.len()), (44, 0));
    let topic = TopicPartitions::default()
        .with_topic(text(&name).into())
        .with_partitions((0..PARTITIONS).collect());
    let request = ElectLeadersRequest::default().with_topic_partitions(Some(vec![topic]));
    let response = client.call(2, &request).await;
    assert_eq!(
        (response.error_code, response.replica_election_results.len()),
        (44, 0)
    );
}

//! Topics of which a client hears earlier than the broker that leads them.

use super::broker::TestBroker;
use super::client::{Client, batch, produce};
use milena_metadata::record::{MetadataRecord, PartitionRegistration};
use milena_types::{BrokerId, PartitionIndex, TopicId, TopicIdPartition, TopicName, Uuid};
use milena_wire::WireUuid;
use milena_wire::messages::{MetadataRequest, ProduceRequest};

const ID: [u8; 16] = [7; 16];

fn topic() -> Vec<MetadataRecord> {
    let id = TopicId(Uuid(ID));
    let state = PartitionRegistration::new(vec![BrokerId(1)], vec![BrokerId(1)]);
    let name = TopicName::new("new").unwrap();
    let partition = TopicIdPartition {
        topic: id,
        partition: PartitionIndex(0),
    };
    vec![
        MetadataRecord::Topic { id, name },
        MetadataRecord::Partition { id: partition, state },
    ]
}

async fn send(client: &mut Client, value: &str) {
    let records = batch(&[value], None).freeze();
    let request = produce("", WireUuid::from_bytes(ID), 13, 0, -1, records);
    client.send(13, &request).await;
}

async fn receive(client: &mut Client) -> (i16, i64) {
    let response = client.receive::<ProduceRequest>(13).await;
    let partition = &response.responses[0].partition_responses[0];
    (partition.error_code, partition.base_offset)
}

#[tokio::test]
async fn records_wait_for_the_topic_and_keep_their_order() {
    let broker = TestBroker::start().await;
    let mut client = Client::connect(&broker).await;
    for value in ["a", "b", "c"] {
        send(&mut client, value).await;
    }
    // Whoever asks later on both threads is answered: the records have arrived before the topic does.
    for _ in 0..8 {
        let mut other = Client::connect(&broker).await;
        other.call(9, &MetadataRequest::default().with_topics(None)).await;
    }
    broker.controller.commit(topic()).await;
    for offset in 0..3 {
        assert_eq!(receive(&mut client).await, (0, offset));
    }
}

#[tokio::test]
async fn a_topic_that_never_comes_is_unknown_and_so_is_one_that_is_gone() {
    let broker = TestBroker::start().await;
    let mut client = Client::connect(&broker).await;
    send(&mut client, "a").await;
    assert_eq!(receive(&mut client).await.0, 100);
    broker.controller.commit(topic()).await;
    let gone = vec![MetadataRecord::TopicRemoved(TopicId(Uuid(ID)))];
    broker.controller.commit(gone).await;
    send(&mut client, "a").await;
    assert_eq!(receive(&mut client).await.0, 100);
}

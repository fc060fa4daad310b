//! What clients are told about leaders while a broker dies.

use super::broker::TestBroker;
use super::client::Client;
use crate::metadata::tests::registered;
use milena_metadata::record::{BrokerRegistration, Endpoint, MetadataRecord, PartitionRegistration};
use milena_types::{
    BrokerId, LeaderEpoch, PartitionEpoch, PartitionIndex, TopicId, TopicIdPartition, TopicName, Uuid,
};
use milena_wire::messages::{ApiVersionsRequest, MetadataRequest, MetadataResponse};

const TOPIC: TopicId = TopicId(Uuid([7; 16]));
const DYING: BrokerId = BrokerId(2);

fn dying(fenced: bool) -> MetadataRecord {
    MetadataRecord::Broker(BrokerRegistration {
        endpoints: vec![Endpoint {
            listener: "PLAINTEXT".to_owned(),
            host: "127.0.0.1".to_owned(),
            port: 1,
            security_protocol: "PLAINTEXT".to_owned(),
        }],
        fenced,
        ..registered(DYING.0, 2)
    })
}

fn led_by(leader: BrokerId, epoch: i32) -> MetadataRecord {
    let partition = TopicIdPartition {
        topic: TOPIC,
        partition: PartitionIndex(0),
    };
    let state = PartitionRegistration {
        leader_epoch: LeaderEpoch(epoch),
        partition_epoch: PartitionEpoch(epoch),
        ..PartitionRegistration::new(vec![DYING, BrokerId(1)], vec![leader])
    };
    MetadataRecord::Partition { id: partition, state }
}

fn brokers(response: &MetadataResponse) -> Vec<i32> {
    response.brokers.iter().map(|broker| broker.node_id.0).collect()
}

fn leader(response: &MetadataResponse) -> i32 {
    response.topics[0].partitions[0].leader_id.0
}

#[tokio::test]
async fn metadata_waits_for_the_new_leader_and_still_lists_the_dead_broker() {
    let broker = TestBroker::start().await;
    let name = TopicName::new("led").unwrap();
    let topic = MetadataRecord::Topic { id: TOPIC, name };
    broker
        .controller
        .commit(vec![dying(false), topic, led_by(DYING, 0)])
        .await;
    let all = MetadataRequest::default().with_topics(None);
    let mut client = Client::connect(&broker).await;
    assert_eq!(leader(&client.call(9, &all).await), DYING.0);

    broker.controller.cache.doubt(DYING);
    client.send(9, &all).await;
    // Both data threads have looked at their connections when these are answered.
    for _ in 0..2 {
        let mut other = Client::connect(&broker).await;
        other.call(3, &ApiVersionsRequest::default()).await;
    }
    broker
        .controller
        .commit(vec![dying(true), led_by(BrokerId(1), 1)])
        .await;
    let told = client.receive::<MetadataRequest>(9).await;
    assert_eq!((leader(&told), brokers(&told)), (1, vec![1, 2]));
    assert!(told.topics[0].partitions[0].offline_replicas.contains(&2.into()));

    broker
        .controller
        .commit(vec![MetadataRecord::BrokerRemoved(DYING)])
        .await;
    assert_eq!(brokers(&client.call(9, &all).await), [1]);
}

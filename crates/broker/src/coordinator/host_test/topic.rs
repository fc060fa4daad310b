//! The offsets topic: created on first need, found afterwards.

use super::fake::{FakeCluster, config};
use crate::coordinator::topic::OffsetsTopic;
use milena_metadata::MetadataImage;
use milena_metadata::record::{BrokerRegistration, MetadataBatch, MetadataRecord, PartitionRegistration};
use milena_metadata::request::AdminRequest;
use milena_types::{
    BrokerEpoch, BrokerId, ErrorCode, IncarnationId, MetadataVersion, PartitionIndex, TopicId,
    TopicIdPartition, TopicName,
};
use std::sync::Arc;
use std::time::{Duration, Instant};

fn image(leader: Option<BrokerId>, fenced: bool) -> Arc<MetadataImage> {
    let topic = TopicId::random();
    let broker = BrokerRegistration {
        id: BrokerId(1),
        epoch: BrokerEpoch(1),
        incarnation: IncarnationId::random(),
        endpoints: Vec::new(),
        rack: None,
        directories: Vec::new(),
        fenced,
        in_controlled_shutdown: false,
    };
    let state = PartitionRegistration {
        leader,
        ..PartitionRegistration::new(vec![BrokerId(1)], vec![BrokerId(1)])
    };
    let id = |partition| TopicIdPartition {
        topic,
        partition: PartitionIndex(partition),
    };
    let records = vec![
        MetadataRecord::Broker(broker),
        MetadataRecord::Topic {
            id: topic,
            name: TopicName::new("__consumer_offsets").unwrap(),
        },
        MetadataRecord::Partition {
            id: id(0),
            state: state.clone(),
        },
        MetadataRecord::Partition { id: id(1), state },
    ];
    let mut image = MetadataImage::default();
    image
        .apply(&MetadataBatch {
            expected_version: MetadataVersion(0),
            records,
        })
        .unwrap();
    Arc::new(image)
}

#[tokio::test]
async fn the_topic_is_created_once_for_a_burst_of_clients() {
    let cluster = Arc::new(FakeCluster::default());
    let topic = OffsetsTopic::new(cluster.clone(), &config());
    let calls = (0..20).map(|_| topic.leader_of(PartitionIndex(0)));
    for answer in futures_util::future::join_all(calls).await {
        assert_eq!(answer, Err(ErrorCode::CoordinatorNotAvailable));
    }
    let asked = cluster.asked.lock().unwrap();
    let [AdminRequest::CreateTopics(request)] = asked.as_slice() else {
        panic!("{asked:?}")
    };
    let created = &request.topics[0];
    assert_eq!(
        (
            created.name.as_str(),
            created.partitions,
            created.replication_factor
        ),
        ("__consumer_offsets", Some(1), Some(3))
    );
    let config = |key: &str, value: &str| (key.to_owned(), Some(value.to_owned()));
    assert!(created.configs.contains(&config("cleanup.policy", "compact")));
    assert!(created.configs.contains(&config("segment.bytes", "104857600")));
    assert!(created.configs.contains(&config("compression.type", "producer")));
}

#[tokio::test]
async fn a_refused_creation_is_asked_for_again() {
    let cluster = Arc::new(FakeCluster::default());
    *cluster.refuses_with.lock().unwrap() = Some(ErrorCode::InvalidReplicationFactor);
    let topic = OffsetsTopic::new(cluster.clone(), &config());
    let began = Instant::now();
    let mut tries = 0;
    while cluster.asked.lock().unwrap().len() < 2 {
        assert_eq!(topic.ensure().await, Err(ErrorCode::CoordinatorNotAvailable));
        tries += 1;
        assert!(began.elapsed() < Duration::from_secs(10), "never asked again");
        tokio::task::yield_now().await;
    }
    assert!(
        tries > 2,
        "clients that try without a pause do not all reach the controller"
    );
}

#[tokio::test]
async fn the_leader_is_a_live_broker_or_nobody() {
    // A fenced leader cannot be in an image: fencing elects another, or nobody.
    let cases = [
        (Some(BrokerId(1)), false, Ok(BrokerId(1))),
        (None, true, Err(ErrorCode::CoordinatorNotAvailable)),
    ];
    for (leader, fenced, expected) in cases {
        let cluster = Arc::new(FakeCluster::default());
        *cluster.image.lock().unwrap() = image(leader, fenced);
        let topic = OffsetsTopic::new(cluster.clone(), &config());
        assert_eq!(
            topic.leader_of(PartitionIndex(0)).await,
            expected,
            "{leader:?} {fenced}"
        );
        assert_eq!(
            topic.partitions(),
            2,
            "what exists counts, not what is configured"
        );
        assert_eq!(
            topic.leader_of(PartitionIndex(7)).await,
            Err(ErrorCode::CoordinatorNotAvailable)
        );
        assert!(cluster.asked.lock().unwrap().is_empty());
    }
}

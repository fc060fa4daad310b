//! Metadata, topics, configurations and the cluster.

use super::broker::TestBroker;
use super::client::{Client, text};
use milena_types::ErrorCode;
use milena_wire::messages::alter_replica_log_dirs_request::{AlterReplicaLogDir, AlterReplicaLogDirTopic};
use milena_wire::messages::delete_topics_request::DeleteTopicState;
use milena_wire::messages::describe_topic_partitions_request::{Cursor, TopicRequest};
use milena_wire::messages::elect_leaders_request::TopicPartitions;
use milena_wire::messages::metadata_request::MetadataRequestTopic;
use milena_wire::messages::{
    AlterReplicaLogDirsRequest, ApiVersionsRequest, CreatePartitionsRequest, DeleteTopicsRequest,
    DescribeClusterRequest, DescribeLogDirsRequest, DescribeQuorumRequest, DescribeTopicPartitionsRequest,
    ElectLeadersRequest, ListConfigResourcesRequest, MetadataRequest,
    create_partitions_request::CreatePartitionsTopic, describe_quorum_request,
};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

fn named(name: &str) -> MetadataRequestTopic {
    MetadataRequestTopic::default().with_name(Some(text(name).into()))
}

#[tokio::test]
async fn api_versions_are_advertised_from_our_table() {
    let broker = TestBroker::start().await;
    let mut client = Client::connect(&broker).await;
    for version in 0..=4 {
        let mut request = ApiVersionsRequest::default();
        if version >= 3 {
            request.client_software_name = text("test");
            request.client_software_version = text("1.0");
        }
        let response = client.call(version, &request).await;
        assert_eq!(
            (response.error_code, response.api_keys.len()),
            (0, milena_wire::ApiKey::ALL.len())
        );
        let produce = &response.api_keys[0];
        assert_eq!(
            (produce.api_key, produce.min_version, produce.max_version),
            (0, 0, 13)
        );
        assert!(response.finalized_features_epoch >= 0 || version < 3);
    }
    let strange = ApiVersionsRequest::default().with_client_software_name(text("a b"));
    assert_eq!(client.call(3, &strange).await.error_code, 42);
}

#[tokio::test]
async fn metadata_in_every_version() {
    let broker = TestBroker::start().await;
    let mut client = Client::connect(&broker).await;
    client.create_topic("seen", 3).await;
    for version in 0..=13 {
        let request = MetadataRequest::default().with_topics(Some(vec![named("seen")]));
        let response = client.call(version, &request).await;
        assert_eq!(response.brokers.len(), 1);
        assert_eq!(response.brokers[0].port, i32::from(broker.address.port()));
        let topic = &response.topics[0];
        assert_eq!(
            (topic.error_code, topic.partitions.len()),
            (0, 3),
            "version {version}"
        );
        assert!(
            topic
                .partitions
                .iter()
                .all(|p| p.error_code == 0 && p.leader_id.0 == 1)
        );
        assert_eq!(topic.topic_id.is_nil(), version < 10);
        if version >= 1 {
            assert_eq!(response.controller_id.0, 1);
            assert_eq!(
                client
                    .call(version, &MetadataRequest::default().with_topics(None))
                    .await
                    .topics
                    .len(),
                1
            );
            assert_eq!(
                client
                    .call(version, &MetadataRequest::default().with_topics(Some(vec![])))
                    .await
                    .topics
                    .len(),
                0
            );
        }
    }
    let by_id = |id| {
        MetadataRequest::default().with_topics(Some(vec![
            MetadataRequestTopic::default().with_topic_id(id).with_name(None),
        ]))
    };
    let unknown = client
        .call(12, &by_id(milena_wire::WireUuid::from_u128(77)))
        .await;
    assert_eq!(unknown.topics[0].error_code, 100);
}

#[tokio::test]
async fn a_topic_that_is_named_is_created_unless_the_client_says_no() {
    let broker = TestBroker::start().await;
    let mut client = Client::connect(&broker).await;
    let ask = |name: &str, create| {
        MetadataRequest::default()
            .with_topics(Some(vec![named(name)]))
            .with_allow_auto_topic_creation(create)
    };
    for _ in 0..3 {
        assert_eq!(
            client.call(9, &ask("not-wanted", false)).await.topics[0].error_code,
            3
        );
    }
    assert_eq!(
        client.call(9, &ask("../../etc/x", true)).await.topics[0].error_code,
        17
    );
    assert_eq!(client.call(9, &ask("wanted", true)).await.topics[0].error_code, 3);
    let deadline = tokio::time::Instant::now() + Duration::from_secs(10);
    while client.call(9, &ask("wanted", true)).await.topics[0].error_code != 0 {
        assert!(
            tokio::time::Instant::now() < deadline,
            "the topic is created in the background"
        );
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn topics_grow_and_are_deleted() {
    let broker = TestBroker::start().await;
    let mut client = Client::connect(&broker).await;
    client.create_topic("life", 1).await;
    let grow = CreatePartitionsTopic::default()
        .with_name(text("life").into())
        .with_count(4)
        .with_assignments(None);
    let grow = CreatePartitionsRequest::default().with_topics(vec![grow]);
    assert_eq!(client.call(3, &grow).await.results[0].error_code, 0);
    assert_eq!(
        client.call(0, &grow).await.results[0].error_code,
        37,
        "it has four already"
    );
    let seen = client
        .call(
            9,
            &MetadataRequest::default().with_topics(Some(vec![named("life")])),
        )
        .await;
    assert_eq!(seen.topics[0].partitions.len(), 4);
    let state = DeleteTopicState::default().with_name(Some(text("life").into()));
    let delete = DeleteTopicsRequest::default().with_topics(vec![state]);
    assert_eq!(client.call(6, &delete).await.responses[0].error_code, 0);
    let old = DeleteTopicsRequest::default().with_topic_names(vec![text("life").into()]);
    assert_eq!(client.call(1, &old).await.responses[0].error_code, 3);
}

#[tokio::test]
async fn a_topic_with_a_name_and_an_id_is_not_deleted() {
    let broker = TestBroker::start().await;
    let mut client = Client::connect(&broker).await;
    client.create_topic("kept", 1).await;
    let seen = MetadataRequest::default().with_topics(Some(vec![named("kept")]));
    let id = client.call(12, &seen).await.topics[0].topic_id;
    let item = |name: Option<&str>, topic_id| {
        DeleteTopicState::default()
            .with_name(name.map(|name| text(name).into()))
            .with_topic_id(topic_id)
    };
    let (none, foreign) = (milena_wire::WireUuid::nil(), milena_wire::WireUuid::from_u128(77));
    let both = "You may not specify both topic name and topic id.";
    let neither = "Neither topic name nor id were specified.";
    let twice = "The provided topic name maps to an ID that was already supplied.";
    for (items, message) in [
        (vec![item(Some("kept"), id)], both),
        (vec![item(Some("kept"), foreign)], both),
        (vec![item(None, none)], neither),
        (vec![item(None, id), item(Some("kept"), none)], twice),
        (vec![item(None, id), item(None, id)], "Duplicate topic id."),
        (
            vec![item(Some("kept"), none), item(Some("kept"), none)],
            "Duplicate topic name.",
        ),
    ] {
        let delete = DeleteTopicsRequest::default().with_topics(items);
        let responses = client.call(6, &delete).await.responses;
        let told: Vec<_> = responses
            .iter()
            .map(|r| (r.error_code, r.error_message.as_deref()))
            .collect();
        assert_eq!(told, [(42, Some(message))]);
    }
    assert_eq!(client.call(12, &seen).await.topics[0].topic_id, id);
    let delete = DeleteTopicsRequest::default().with_topics(vec![item(None, id), item(Some("gone"), id)]);
    let responses = client.call(6, &delete).await.responses;
    let codes: Vec<_> = responses
        .iter()
        .map(|r| (r.name.is_some(), r.error_code))
        .collect();
    assert_eq!(codes, [(true, 42), (true, 0)]);
}

#[tokio::test]
async fn elections_are_answered_for_each_partition() {
    let broker = TestBroker::start().await;
    let mut client = Client::connect(&broker).await;
    client.create_topic("t", 1).await;
    let topic = |name: &str, partitions| {
        TopicPartitions::default()
            .with_topic(text(name).into())
            .with_partitions(partitions)
    };
    let topics = vec![topic("a/b", vec![0]), topic("t", vec![0, 1])];
    for (version, election, all, codes) in [
        (0, 0, 0, [3, 84, 3]),
        (1, 0, 0, [3, 84, 3]),
        (2, 1, 0, [3, 84, 3]),
        (1, 5, 42, [42; 3]),
        (2, -1, 42, [42; 3]),
    ] {
        let request = ElectLeadersRequest::default()
            .with_election_type(election)
            .with_topic_partitions(Some(topics.clone()));
        let response = client.call(version, &request).await;
        assert_eq!(response.error_code, all);
        let rows: Vec<_> = response
            .replica_election_results
            .iter()
            .flat_map(|topic| &topic.partition_result)
            .collect();
        assert_eq!(rows.iter().map(|row| row.error_code).collect::<Vec<_>>(), codes);
        let message = rows[0].error_message.as_deref();
        let unknown = format!("Unknown election type {election}");
        assert_eq!(
            message,
            Some(if all == 0 {
                "No such topic as a/b"
            } else {
                &unknown
            })
        );
    }
}

#[tokio::test]
async fn the_cluster_and_its_directories_are_described() {
    let broker = TestBroker::start().await;
    let mut client = Client::connect(&broker).await;
    client.create_topic("on-disk", 2).await;
    for version in 0..=2 {
        let response = client.call(version, &DescribeClusterRequest::default()).await;
        assert_eq!(
            (response.cluster_id.as_str(), response.brokers.len()),
            ("test-cluster", 1)
        );
        assert_eq!(response.controller_id.0, 1);
    }
    let wrong = DescribeClusterRequest::default().with_endpoint_type(2);
    assert_eq!(client.call(1, &wrong).await.error_code, 114);
    for version in 1..=4 {
        let response = client
            .call(version, &DescribeLogDirsRequest::default().with_topics(None))
            .await;
        assert_eq!(response.results.len(), 1);
        let topic = response.results[0]
            .topics
            .iter()
            .find(|topic| topic.name.as_str() == "on-disk")
            .unwrap();
        assert_eq!(topic.partitions.len(), 2);
    }
}

#[tokio::test]
async fn replicas_are_moved_only_to_directories_that_there_are() {
    let broker = TestBroker::start().await;
    let mut client = Client::connect(&broker).await;
    client.create_topic("a", 1).await;
    let described = client
        .call(4, &DescribeLogDirsRequest::default().with_topics(None))
        .await;
    let here = described.results[0].log_dir.clone();
    assert!(described.results[0].total_bytes > 0);
    for version in 1..=2 {
        for (path, topic, partition, expected) in [
            (here.as_str(), "a", 0, ErrorCode::None),
            (here.as_str(), "a", 7, ErrorCode::ReplicaNotAvailable),
            (here.as_str(), "none", 0, ErrorCode::ReplicaNotAvailable),
            (here.as_str(), "no/topic", 0, ErrorCode::InvalidTopicException),
            ("/no/such/directory", "a", 0, ErrorCode::LogDirNotFound),
        ] {
            let topics = AlterReplicaLogDirTopic::default()
                .with_name(text(topic).into())
                .with_partitions(vec![partition]);
            let dir = AlterReplicaLogDir::default()
                .with_path(text(path))
                .with_topics(vec![topics]);
            let request = AlterReplicaLogDirsRequest::default().with_dirs(vec![dir]);
            let response = client.call(version, &request).await;
            let row = &response.results[0].partitions[0];
            assert_eq!(
                (row.partition_index, row.error_code),
                (partition, expected.code()),
                "{path} {topic}"
            );
        }
    }
}

#[tokio::test]
async fn topics_are_described_in_pages() {
    let broker = TestBroker::start().await;
    let mut client = Client::connect(&broker).await;
    client.create_topic("a", 2).await;
    client.create_topic("b", 3).await;
    let mut request = DescribeTopicPartitionsRequest::default().with_response_partition_limit(2);
    let mut pages = Vec::new();
    loop {
        let page = client.call(0, &request).await;
        let shown = page.topics.iter().flat_map(|topic| {
            let name = topic.name.as_ref().unwrap().as_str().to_owned();
            topic
                .partitions
                .iter()
                .map(move |partition| (name.clone(), partition.partition_index))
        });
        pages.push(shown.collect::<Vec<_>>());
        let Some(next) = page.next_cursor else { break };
        let cursor = Cursor::default()
            .with_topic_name(next.topic_name)
            .with_partition_index(next.partition_index);
        request.cursor = Some(cursor);
    }
    let of = |list: &[(&str, i32)]| {
        list.iter()
            .map(|(name, index)| ((*name).to_owned(), *index))
            .collect::<Vec<_>>()
    };
    assert_eq!(
        pages,
        [
            of(&[("a", 0), ("a", 1)]),
            of(&[("b", 0), ("b", 1)]),
            of(&[("b", 2)])
        ]
    );
    let topics = vec![TopicRequest::default().with_name(text("nowhere").into())];
    let response = client
        .call(0, &DescribeTopicPartitionsRequest::default().with_topics(topics))
        .await;
    assert_eq!(response.topics[0].error_code, 3);
}

#[tokio::test]
async fn the_quorum_is_described_with_offsets_times_and_endpoints() {
    let broker = TestBroker::start().await;
    let mut client = Client::connect(&broker).await;
    let ask = |topic: &str, partition: i32| {
        let partition = describe_quorum_request::PartitionData::default().with_partition_index(partition);
        let topic = describe_quorum_request::TopicData::default()
            .with_topic_name(text(topic).into())
            .with_partitions(vec![partition]);
        DescribeQuorumRequest::default().with_topics(vec![topic])
    };
    for version in 0..=2 {
        let before =
            i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis()).unwrap();
        let response = client.call(version, &ask("__cluster_metadata", 0)).await;
        assert_eq!(response.error_code, 0);
        let partition = &response.topics[0].partitions[0];
        let leader = (
            partition.leader_id.0,
            partition.leader_epoch,
            partition.high_watermark,
        );
        assert_eq!(leader, (1, 5, 9));
        let replicas = partition.current_voters.iter().chain(&partition.observers);
        let ends: Vec<_> = replicas
            .map(|replica| (replica.replica_id.0, replica.log_end_offset))
            .collect();
        assert_eq!(ends, [(1, 9), (2, 7), (3, 9)]);
        let behind = &partition.current_voters[1];
        if version >= 1 {
            let since = before - behind.last_fetch_timestamp;
            assert!((-10_000..=50).contains(&since), "heard 50 ms ago, not {since}");
            assert!(partition.observers[0].last_caught_up_timestamp > 0);
        }
        assert_eq!(behind.last_caught_up_timestamp, -1, "never");
        let endpoints = response.nodes.iter().map(|node| {
            let listener = &node.listeners[0];
            (
                node.node_id.0,
                listener.name.as_str(),
                listener.host.as_str(),
                listener.port,
            )
        });
        let expected = [
            (1, "CONTROLLER", "127.0.0.1", 9093),
            (2, "CONTROLLER", "127.0.0.1", 9093),
        ];
        assert_eq!(
            endpoints.collect::<Vec<_>>(),
            expected[..if version >= 2 { 2 } else { 0 }]
        );
        for (topic, partition) in [("other", 0), ("__cluster_metadata", 1)] {
            let refused = client.call(version, &ask(topic, partition)).await;
            assert_eq!(refused.topics[0].partitions[0].error_code, 3);
        }
    }
}

#[tokio::test]
async fn configuration_resources_are_listed() {
    let broker = TestBroker::start().await;
    let mut client = Client::connect(&broker).await;
    client.create_topic("listed", 1).await;
    let all = client.call(1, &ListConfigResourcesRequest::default()).await;
    let rows: Vec<_> = all
        .config_resources
        .iter()
        .map(|r| (r.resource_type, r.resource_name.as_str()))
        .collect();
    assert_eq!(rows, [(2, "listed"), (4, "1"), (8, "1")]);
    let topics = ListConfigResourcesRequest::default().with_resource_types(vec![2]);
    assert_eq!(client.call(1, &topics).await.config_resources.len(), 1);
    let unknown = ListConfigResourcesRequest::default().with_resource_types(vec![99]);
    assert_eq!(client.call(1, &unknown).await.error_code, 35);
    assert!(
        client
            .call(0, &ListConfigResourcesRequest::default())
            .await
            .config_resources
            .is_empty()
    );
}

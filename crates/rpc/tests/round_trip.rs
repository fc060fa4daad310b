//! Every domain value survives its message, and no bytes from outside make a conversion panic.

#![allow(clippy::unwrap_used)]

use milena_metadata::image::MetadataImage;
use milena_metadata::record::{
    BrokerRegistration, ConfigResource, Endpoint, MetadataBatch, MetadataRecord, PartitionRegistration,
};
use milena_metadata::request::{
    AdminReply, AdminRequest, AlterConfig, AlterConfigResult, AlterPartition, AlterPartitionItem,
    AlterPartitionResult, ConfigOp, CreateTopic, CreateTopicResult, CreateTopics, DeleteTopicResult,
    ElectLeader, ElectionType, GrowTopic, Heartbeat, HeartbeatReply, Outcome, RegisterBroker,
    RegisterBrokerReply, TopicRef,
};
use milena_rpc::{
    ConvertError, EncodingError, ImageAssembly, PIECE_BYTES, Pieces, decode_batch, decode_image,
    encode_batch, encode_image, proto, record_bytes,
};
use milena_types::{
    BrokerEpoch, BrokerId, ClusterId, DirectoryId, ErrorCode, IncarnationId, LeaderEpoch, MetadataVersion,
    PartitionEpoch, PartitionIndex, TopicId, TopicIdPartition, TopicName, Uuid,
};
use proptest::prelude::*;
use prost::Message;

fn topic_id(byte: u8) -> TopicId {
    TopicId(Uuid([byte; 16]))
}

fn name(text: &str) -> TopicName {
    TopicName::new(text).unwrap()
}

fn partition(byte: u8, partition: i32) -> TopicIdPartition {
    TopicIdPartition {
        topic: topic_id(byte),
        partition: PartitionIndex(partition),
    }
}

fn broker(id: i32) -> BrokerRegistration {
    BrokerRegistration {
        id: BrokerId(id),
        epoch: BrokerEpoch(7),
        incarnation: IncarnationId(Uuid([9; 16])),
        endpoints: vec![Endpoint {
            listener: "PLAINTEXT".to_owned(),
            host: "::1".to_owned(),
            port: u16::MAX,
            security_protocol: "PLAINTEXT".to_owned(),
        }],
        rack: Some(String::new()),
        directories: vec![DirectoryId(Uuid([1; 16])), DirectoryId(Uuid([2; 16]))],
        fenced: true,
        in_controlled_shutdown: true,
    }
}

fn registration() -> PartitionRegistration {
    PartitionRegistration {
        replicas: vec![BrokerId(0), BrokerId(1), BrokerId(2)],
        isr: vec![BrokerId(0)],
        elr: vec![BrokerId(1)],
        last_known_elr: vec![BrokerId(2)],
        offline: vec![BrokerId(3)],
        adding: vec![BrokerId(3)],
        removing: vec![BrokerId(4)],
        leader: Some(BrokerId(0)),
        recovering: true,
        unclean_epochs: vec![LeaderEpoch(2), LeaderEpoch(4)],
        leader_epoch: LeaderEpoch(i32::MAX),
        partition_epoch: PartitionEpoch(5),
    }
}

fn records() -> Vec<MetadataRecord> {
    let config = |resource, value: Option<&str>| MetadataRecord::Config {
        resource,
        key: "k".to_owned(),
        value: value.map(str::to_owned),
    };
    vec![
        MetadataRecord::Cluster(ClusterId("cluster".to_owned())),
        MetadataRecord::Feature {
            name: "metadata.version".to_owned(),
            level: i16::MAX,
        },
        MetadataRecord::Broker(broker(0)),
        MetadataRecord::Broker(BrokerRegistration {
            rack: None,
            endpoints: vec![],
            ..broker(1)
        }),
        MetadataRecord::BrokerRemoved(BrokerId(2)),
        MetadataRecord::Topic {
            id: topic_id(3),
            name: name("orders"),
        },
        MetadataRecord::Partition {
            id: partition(3, 0),
            state: registration(),
        },
        MetadataRecord::Partition {
            id: partition(3, 1),
            state: PartitionRegistration {
                leader: None,
                isr: vec![],
                ..registration()
            },
        },
        MetadataRecord::TopicRemoved(topic_id(4)),
        config(ConfigResource::Topic(name("orders")), Some("v")),
        config(ConfigResource::Broker(Some(BrokerId(0))), Some("")),
        config(ConfigResource::Broker(None), None),
        config(ConfigResource::Group("g".to_owned()), Some("v")),
        config(ConfigResource::ClientMetrics("m".to_owned()), Some("v")),
        MetadataRecord::ProducerIds { next: i64::MAX },
    ]
}

#[test]
fn batches_survive_their_bytes() {
    let batch = MetadataBatch {
        expected_version: MetadataVersion(u64::MAX),
        records: records(),
    };
    assert_eq!(decode_batch(&encode_batch(&batch)).unwrap(), batch);
    let empty = MetadataBatch {
        expected_version: MetadataVersion(0),
        records: vec![],
    };
    assert_eq!(decode_batch(&encode_batch(&empty)).unwrap(), empty);
}

#[test]
fn the_size_of_a_batch_is_that_of_its_records() {
    let batch = |records| MetadataBatch {
        expected_version: MetadataVersion(41),
        records,
    };
    let alone = encode_batch(&batch(vec![])).len();
    let bytes: usize = records().iter().map(record_bytes).sum();
    assert_eq!(encode_batch(&batch(records())).len(), alone + bytes);
}

#[test]
fn images_survive_their_bytes() {
    let kept: Vec<_> = records()
        .into_iter()
        .filter(|record| {
            !matches!(
                record,
                MetadataRecord::BrokerRemoved(_) | MetadataRecord::TopicRemoved(_)
            )
        })
        .collect();
    let image = MetadataImage::from_records(MetadataVersion(77), &kept);
    assert!(!image.to_records().is_empty(), "the image took the records");
    let decoded = decode_image(&encode_image(&image)).unwrap();
    assert_eq!(decoded, image);
}

#[test]
fn images_in_pieces_are_put_together_or_not_at_all() {
    let topic = |number: u8| MetadataRecord::Config {
        resource: ConfigResource::Group(format!("{number}")),
        key: "k".to_owned(),
        value: Some("v".repeat(PIECE_BYTES / 2)),
    };
    let records: Vec<_> = (0..5).map(topic).collect();
    let image = MetadataImage::from_records(MetadataVersion(3), &records);
    let pieces: Vec<_> = Pieces::of(encode_image(&image)).collect();
    assert_eq!(pieces.len(), 3);
    let lasts: Vec<bool> = pieces.iter().map(|piece| piece.last).collect();
    assert_eq!(lasts, [false, false, true]);
    assert!(pieces.iter().all(|piece| piece.data.len() <= PIECE_BYTES));

    let mut assembly = ImageAssembly::default();
    for piece in &pieces[..2] {
        assert!(assembly.take(piece).unwrap().is_none() && assembly.is_begun());
    }
    assert_eq!(assembly.take(&pieces[2]).unwrap(), Some(image));
    assert!(!assembly.is_begun(), "the next image begins anew");
    assert!(assembly.take(&pieces[0]).unwrap().is_none());
    assert!(assembly.take(&pieces[2]).is_err(), "one is missing");
    assert!(!assembly.is_begun());
}

#[test]
fn unknown_formats_and_damage_are_refused() {
    assert!(matches!(decode_batch(&[]), Err(EncodingError::Empty)));
    assert!(matches!(decode_batch(&[2, 0]), Err(EncodingError::Format(2))));
    assert!(matches!(decode_image(&[0]), Err(EncodingError::Format(0))));
    assert!(matches!(
        decode_batch(&[1, 0xff]),
        Err(EncodingError::Malformed(_))
    ));
    let empty_record = proto::MetadataBatch {
        expected_version: 0,
        records: vec![proto::MetadataRecord::default()],
    };
    let mut bytes = vec![1];
    empty_record.encode(&mut bytes).unwrap();
    assert!(matches!(
        decode_batch(&bytes),
        Err(EncodingError::Invalid(ConvertError::Missing("record")))
    ));
}

#[test]
fn values_outside_of_their_type_are_refused() {
    let id = |length: usize| proto::TopicIdPartition {
        topic: vec![0; length].into(),
        partition: 0,
    };
    assert_eq!(
        TopicIdPartition::try_from(id(15)),
        Err(ConvertError::Id {
            field: "topic",
            length: 15
        })
    );
    assert!(TopicIdPartition::try_from(id(16)).is_ok());
    let negative = proto::TopicIdPartition {
        partition: -1,
        ..id(16)
    };
    assert!(matches!(
        TopicIdPartition::try_from(negative),
        Err(ConvertError::Range {
            field: "partition",
            ..
        })
    ));
    let port = proto::Endpoint {
        port: 65_536,
        ..proto::Endpoint::default()
    };
    assert_eq!(
        Endpoint::try_from(port),
        Err(ConvertError::Range {
            field: "port",
            value: 65_536
        })
    );
    let topic = proto::CreatableTopic {
        replication_factor: Some(40_000),
        ..proto::CreatableTopic::default()
    };
    assert!(matches!(
        CreateTopic::try_from(topic),
        Err(ConvertError::Range { .. })
    ));
    let election = proto::AdminRequest {
        request: Some(proto::admin_request::Request::ElectLeaders(
            proto::ElectLeadersRequest {
                election: 9,
                partitions: None,
            },
        )),
    };
    assert_eq!(
        AdminRequest::try_from(election),
        Err(ConvertError::Range {
            field: "election",
            value: 9
        })
    );
    let record = proto::MetadataRecord {
        record: Some(proto::metadata_record::Record::BrokerRemoved(-1)),
    };
    assert!(MetadataRecord::try_from(record).is_err());
    let bad_name = proto::ConfigResource {
        resource: Some(proto::config_resource::Resource::Topic("../etc".to_owned())),
    };
    assert!(matches!(
        ConfigResource::try_from(bad_name),
        Err(ConvertError::TopicName(_))
    ));
}

#[test]
fn registrations_survive() {
    let register = RegisterBroker {
        broker: BrokerId(0),
        cluster: Some(ClusterId("c".to_owned())),
        incarnation: IncarnationId(Uuid([3; 16])),
        endpoints: broker(0).endpoints,
        rack: Some("r".to_owned()),
        directories: broker(0).directories,
        unreadable_directories: 2,
        previous_epoch: Some(BrokerEpoch(0)),
    };
    for request in [
        RegisterBroker {
            cluster: None,
            rack: None,
            previous_epoch: None,
            ..register.clone()
        },
        register,
    ] {
        assert_eq!(
            RegisterBroker::try_from(proto::RegisterBrokerRequest::from(&request)),
            Ok(request)
        );
    }
    let reply = RegisterBrokerReply {
        outcome: Outcome::failed(ErrorCode::DuplicateBrokerRegistration, "twice"),
        epoch: BrokerEpoch(-1),
        cluster: None,
    };
    assert_eq!(
        RegisterBrokerReply::try_from(proto::RegisterBrokerResponse::from(&reply)),
        Ok(reply)
    );
}

#[test]
fn heartbeats_survive() {
    let heartbeat = Heartbeat {
        broker: BrokerId(2),
        epoch: BrokerEpoch(8),
        applied: MetadataVersion(9),
        want_fence: true,
        want_shutdown: true,
    };
    assert_eq!(
        Heartbeat::try_from(proto::HeartbeatRequest::from(&heartbeat)),
        Ok(heartbeat)
    );
    let reply = HeartbeatReply {
        outcome: Outcome::OK,
        is_caught_up: true,
        is_fenced: true,
        should_shutdown: true,
        version: MetadataVersion(77),
        quorum_age_ms: 78,
    };
    assert_eq!(
        HeartbeatReply::try_from(proto::HeartbeatResponse::from(&reply)),
        Ok(reply)
    );
}

#[test]
fn partition_changes_survive() {
    let alter = AlterPartition {
        broker: BrokerId(1),
        broker_epoch: BrokerEpoch(4),
        partitions: vec![AlterPartitionItem {
            id: partition(1, 2),
            leader_epoch: LeaderEpoch(3),
            partition_epoch: PartitionEpoch(4),
            isr: vec![(BrokerId(1), BrokerEpoch(-1)), (BrokerId(2), BrokerEpoch(6))],
            recovering: true,
        }],
    };
    assert_eq!(
        AlterPartition::try_from(proto::AlterPartitionRequest::from(&alter)),
        Ok(alter)
    );
    let results = vec![AlterPartitionResult {
        id: partition(1, 2),
        error: ErrorCode::FencedLeaderEpoch,
    }];
    let response = proto::AlterPartitionResponse::from(results.as_slice());
    assert_eq!(Vec::<AlterPartitionResult>::try_from(response), Ok(results));
}

/// How topics grow: without assignments, with some, with an empty list.
fn grow_topics() -> AdminRequest {
    AdminRequest::CreatePartitions {
        topics: vec![
            GrowTopic {
                name: "g".to_owned(),
                count: 4,
                assignments: None,
            },
            GrowTopic {
                name: "h".to_owned(),
                count: 4,
                assignments: Some(vec![vec![], vec![BrokerId(2)]]),
            },
            GrowTopic {
                name: "i".to_owned(),
                count: 4,
                assignments: Some(vec![]),
            },
        ],
        validate_only: false,
    }
}

/// Elections everywhere, of one partition, of none.
fn elections() -> [AdminRequest; 3] {
    [
        AdminRequest::ElectLeaders {
            election: ElectionType::Preferred,
            partitions: None,
        },
        AdminRequest::ElectLeaders {
            election: ElectionType::Unclean,
            partitions: Some(vec![ElectLeader {
                topic: name("t"),
                partition: 1,
            }]),
        },
        AdminRequest::ElectLeaders {
            election: ElectionType::Unclean,
            partitions: Some(vec![]),
        },
    ]
}

fn admin_requests() -> Vec<AdminRequest> {
    let topic = CreateTopic {
        name: "any text at all /".to_owned(),
        partitions: Some(-5),
        replication_factor: Some(i16::MIN),
        assignments: vec![(0, vec![BrokerId(1), BrokerId(-2)]), (1, vec![])],
        configs: vec![("a".to_owned(), None), ("b".to_owned(), Some("c".to_owned()))],
    };
    let bare = CreateTopic {
        partitions: None,
        replication_factor: None,
        ..topic.clone()
    };
    let all = [
        ConfigOp::Set,
        ConfigOp::Delete,
        ConfigOp::Append,
        ConfigOp::Subtract,
    ];
    let mut requests = vec![
        AdminRequest::CreateTopics(CreateTopics {
            topics: vec![topic, bare],
            validate_only: true,
            default_partitions: 6,
            default_replication_factor: 3,
        }),
        AdminRequest::DeleteTopics(vec![TopicRef::Name("x".to_owned()), TopicRef::Id(topic_id(8))]),
        grow_topics(),
        AdminRequest::AlterConfigs {
            resources: vec![AlterConfig {
                resource: ConfigResource::Broker(None),
                changes: all
                    .iter()
                    .map(|op| ("k".to_owned(), *op, Some("v".to_owned())))
                    .collect(),
                replace_all: true,
            }],
            validate_only: true,
        },
        AdminRequest::AlterPartitionReassignments {
            partitions: [None, Some(vec![]), Some(vec![BrokerId(3), BrokerId(1)])]
                .into_iter()
                .map(|replicas| milena_metadata::request::Reassign {
                    topic: "t".into(),
                    partition: 2,
                    replicas,
                })
                .collect(),
            allow_replication_factor_change: true,
        },
        AdminRequest::UnregisterBroker(BrokerId(4)),
        AdminRequest::AllocateProducerIds {
            broker: BrokerId(4),
            epoch: BrokerEpoch(5),
        },
    ];
    requests.extend(elections());
    requests
}

fn admin_replies() -> Vec<AdminReply> {
    let failed = Outcome::failed(ErrorCode::PolicyViolation, "no");
    vec![
        AdminReply::CreateTopics(vec![CreateTopicResult {
            name: "t".to_owned(),
            outcome: failed.clone(),
            id: topic_id(1),
            partitions: -1,
            replication_factor: -1,
        }]),
        AdminReply::DeleteTopics(vec![DeleteTopicResult {
            name: None,
            id: TopicId::default(),
            outcome: Outcome::OK,
        }]),
        AdminReply::CreatePartitions(vec![("t".to_owned(), failed.clone())]),
        AdminReply::AlterConfigs(vec![AlterConfigResult {
            resource: ConfigResource::Topic(name("t")),
            outcome: failed.clone(),
        }]),
        AdminReply::ElectLeaders(vec![(name("t"), 3, failed.clone())]),
        AdminReply::AlterPartitionReassignments(vec![Outcome::OK, failed.clone()]),
        AdminReply::UnregisterBroker(failed),
        AdminReply::AllocateProducerIds {
            outcome: Outcome::OK,
            first: 1000,
            count: 1000,
        },
    ]
}

#[test]
fn admin_calls_survive() {
    for request in admin_requests() {
        let bytes = proto::AdminRequest::from(&request).encode_to_vec();
        let message = proto::AdminRequest::decode(bytes.as_slice()).unwrap();
        assert_eq!(AdminRequest::try_from(message), Ok(request));
    }
    for reply in admin_replies() {
        let bytes = proto::AdminResponse::from((&reply, MetadataVersion(9))).encode_to_vec();
        let message = proto::AdminResponse::decode(bytes.as_slice()).unwrap();
        assert_eq!(message.version, 9);
        assert_eq!(AdminReply::try_from(message), Ok(reply));
    }
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..256)) {
        let _ = decode_batch(&bytes);
        let _ = decode_image(&bytes);
        if let Ok(message) = proto::AdminRequest::decode(bytes.as_slice()) {
            let _ = AdminRequest::try_from(message);
        }
    }

    #[test]
    fn damaged_batches_never_panic(position in 0usize..400, value in any::<u8>(), image in any::<bool>()) {
        let batch = MetadataBatch { expected_version: MetadataVersion(3), records: records() };
        let mut bytes = if image {
            encode_image(&MetadataImage::default()).to_vec()
        } else {
            encode_batch(&batch).to_vec()
        };
        let position = position % bytes.len();
        bytes[position] = value;
        let _ = decode_batch(&bytes);
        let _ = decode_image(&bytes);
    }
}

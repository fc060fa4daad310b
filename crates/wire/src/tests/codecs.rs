//! Our Produce and Fetch codecs against the message library, in every version.

use super::sample::{Numbers, fetch, produce};
use crate::fetch::{FetchPartitionResponse, FetchRequest, FetchResponse, FetchTopicResponse};
use crate::node_endpoint::NodeEndpoint;
use crate::produce::{
    ProducePartitionResponse, ProduceRequest, ProduceResponse, ProduceTopicResponse, RecordError,
};
use crate::{ResponseFrame, messages, topic_id};
use bytes::{Buf, Bytes, BytesMut};
use kafka_protocol::protocol::{Decodable, Encodable, HeaderVersion, StrBytes};
use milena_types::{ErrorCode, TopicId, Uuid};

#[test]
fn produce_requests_are_read_as_the_library_writes_them() {
    for version in 3..=13 {
        for seed in 1..100 {
            let sent = produce(version, &mut Numbers(seed));
            let mut body = BytesMut::new();
            sent.encode(&mut body, version).unwrap();
            let read = ProduceRequest::decode(version, body).unwrap();
            assert_eq!(
                read.transactional_id.as_deref(),
                sent.transactional_id.as_ref().map(|id| id.as_str())
            );
            assert_eq!((read.acks, read.timeout_ms), (sent.acks, sent.timeout_ms));
            assert_eq!(read.topics.len(), sent.topic_data.len());
            for (read, sent) in read.topics.iter().zip(&sent.topic_data) {
                assert_eq!(
                    (read.name.as_str(), read.id),
                    (sent.name.as_str(), topic_id(sent.topic_id))
                );
                let list: Vec<_> = read
                    .partitions
                    .iter()
                    .map(|p| (p.index, p.records.as_deref()))
                    .collect();
                let expected: Vec<_> = sent
                    .partition_data
                    .iter()
                    .map(|p| (p.index, p.records.as_deref()))
                    .collect();
                assert_eq!(list, expected, "version {version} seed {seed}");
            }
        }
    }
}

#[test]
fn fetch_requests_are_read_as_the_library_writes_them() {
    for version in 4..=18 {
        for seed in 1..100 {
            let sent = fetch(version, &mut Numbers(seed));
            let mut body = BytesMut::new();
            sent.encode(&mut body, version).unwrap();
            let read = FetchRequest::decode(version, body.freeze()).unwrap();
            let replica = if version >= 15 {
                sent.replica_state.replica_id
            } else {
                sent.replica_id
            };
            assert_eq!(read.replica_id, *replica);
            assert_eq!(
                (read.max_wait_ms, read.min_bytes, read.max_bytes),
                (500, 1, sent.max_bytes)
            );
            assert_eq!(
                (read.session_id, read.session_epoch),
                (sent.session_id, sent.session_epoch)
            );
            assert_eq!((&read.rack_id, read.isolation_level), (&sent.rack_id, 1));
            assert_eq!(read.topics.len(), sent.topics.len());
            for (read, sent) in read.topics.iter().zip(&sent.topics) {
                assert_eq!(
                    (read.name.as_str(), read.id),
                    (sent.topic.as_str(), topic_id(sent.topic_id))
                );
                for (read, sent) in read.partitions.iter().zip(&sent.partitions) {
                    assert_eq!(
                        (read.partition, read.fetch_offset),
                        (sent.partition, sent.fetch_offset)
                    );
                    assert_eq!(read.current_leader_epoch, sent.current_leader_epoch);
                    assert_eq!(read.last_fetched_epoch, sent.last_fetched_epoch);
                    assert_eq!(read.max_bytes, sent.partition_max_bytes);
                }
            }
            assert_eq!(read.forgotten.len(), sent.forgotten_topics_data.len());
            for (read, sent) in read.forgotten.iter().zip(&sent.forgotten_topics_data) {
                assert_eq!(
                    (read.name.as_str(), &read.partitions),
                    (sent.topic.as_str(), &sent.partitions)
                );
            }
        }
    }
}

/// Reads a frame as a client does: length, header, body, nothing left.
fn read_frame<R: Decodable + HeaderVersion>(frame: &ResponseFrame, version: i16) -> R {
    let mut bytes = frame.to_bytes();
    assert_eq!(bytes.get_i32() as usize, bytes.len());
    let header = messages::ResponseHeader::decode(&mut bytes, R::header_version(version)).unwrap();
    assert_eq!(header.correlation_id, 77);
    let response = R::decode(&mut bytes, version).unwrap();
    assert!(
        bytes.is_empty(),
        "{} bytes left in version {version}",
        bytes.len()
    );
    response
}

fn endpoint() -> NodeEndpoint {
    NodeEndpoint {
        node_id: 2,
        host: "b.example".into(),
        port: 9093,
        rack: None,
    }
}

#[test]
fn fetch_responses_are_what_the_library_reads() {
    for version in 4..=18 {
        let full = FetchPartitionResponse {
            high_watermark: 11,
            last_stable_offset: 10,
            log_start_offset: 3,
            diverging: Some((4, 9)),
            current_leader: Some((2, 5)),
            aborted: Some(vec![(1000, 7), (1001, 8)]),
            preferred_read_replica: 3,
            records: Bytes::from(vec![7; 300]),
            ..FetchPartitionResponse::failed(1, ErrorCode::NotLeaderOrFollower)
        };
        let topic = FetchTopicResponse {
            name: StrBytes::from_static_str("orders"),
            id: TopicId(Uuid([9; 16])),
            partitions: vec![
                full,
                FetchPartitionResponse::failed(2, ErrorCode::OffsetOutOfRange),
            ],
        };
        let response = FetchResponse {
            throttle_time_ms: 5,
            error: ErrorCode::FetchSessionIdNotFound,
            session_id: 42,
            topics: vec![topic],
            node_endpoints: vec![endpoint()],
        };
        let read: messages::FetchResponse = read_frame(&response.encode(version, 77), version);
        assert_eq!(read.throttle_time_ms, 5);
        assert_eq!(
            (read.error_code, read.session_id),
            if version >= 7 { (70, 42) } else { (0, 0) }
        );
        let topic = &read.responses[0];
        assert_eq!(topic.topic.as_str(), if version <= 12 { "orders" } else { "" });
        assert_eq!(topic.topic_id.is_nil(), version <= 12);
        let first = &topic.partitions[0];
        assert_eq!(
            (first.partition_index, first.error_code, first.high_watermark),
            (1, 6, 11)
        );
        assert_eq!(
            (first.last_stable_offset, first.log_start_offset),
            (10, if version >= 5 { 3 } else { -1 })
        );
        assert_eq!(first.aborted_transactions.as_ref().unwrap()[1].first_offset, 8);
        assert_eq!(*first.preferred_read_replica, if version >= 11 { 3 } else { -1 });
        assert_eq!(first.records.as_deref(), Some(&[7; 300][..]));
        if version >= 12 {
            assert_eq!(
                (first.diverging_epoch.epoch, first.diverging_epoch.end_offset),
                (4, 9)
            );
            assert_eq!(
                (*first.current_leader.leader_id, first.current_leader.leader_epoch),
                (2, 5)
            );
        }
        assert_eq!(
            topic.partitions[1].records.as_deref(),
            Some(&[][..]),
            "empty, never null"
        );
        assert!(topic.partitions[1].aborted_transactions.is_none());
        assert_eq!(read.node_endpoints.len(), usize::from(version >= 16));
    }
}

#[test]
fn produce_responses_are_what_the_library_reads() {
    for version in 3..=13 {
        let partition = ProducePartitionResponse {
            index: 3,
            error: ErrorCode::InvalidRecord,
            base_offset: 900,
            log_append_time_ms: -1,
            log_start_offset: 8,
            record_errors: vec![RecordError {
                batch_index: 4,
                message: Some("no key".into()),
            }],
            error_message: Some("one record was refused".into()),
            current_leader: Some((2, 6)),
        };
        let topic = ProduceTopicResponse {
            name: StrBytes::from_static_str("orders"),
            id: TopicId(Uuid([9; 16])),
            partitions: vec![partition],
        };
        let response = ProduceResponse {
            topics: vec![topic],
            throttle_time_ms: 5,
            node_endpoints: vec![endpoint()],
        };
        let read: messages::ProduceResponse = read_frame(&response.encode(version, 77), version);
        let topic = &read.responses[0];
        assert_eq!(topic.name.as_str(), if version <= 12 { "orders" } else { "" });
        let partition = &topic.partition_responses[0];
        assert_eq!(
            (partition.index, partition.error_code, partition.base_offset),
            (3, 87, 900)
        );
        assert_eq!(partition.log_start_offset, if version >= 5 { 8 } else { -1 });
        assert_eq!(partition.record_errors.len(), usize::from(version >= 8));
        assert_eq!(partition.error_message.is_some(), version >= 8);
        assert_eq!(
            *partition.current_leader.leader_id,
            if version >= 10 { 2 } else { -1 }
        );
        assert_eq!(
            (read.throttle_time_ms, read.node_endpoints.len()),
            (5, usize::from(version >= 10))
        );
    }
}

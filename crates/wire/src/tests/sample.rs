//! Valid bodies made from the schemas, and a small generator of numbers to make them from.

use crate::messages::{FetchRequest, ProduceRequest, fetch_request, produce_request};
use crate::request::schema_of;
use crate::versions::ApiKey;
use bytes::{BufMut, Bytes, BytesMut};
use kafka_protocol::protocol::{Encodable, StrBytes};

/// Xorshift: the same numbers for the same seed.
pub(crate) struct Numbers(pub(crate) u64);

impl Numbers {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound.max(1)
    }

    pub(crate) fn text(&mut self) -> String {
        (0..self.below(9))
            .map(|_| ['a', 'Z', '-', '.', 'é', '日'][self.below(6) as usize])
            .collect()
    }
}

/// A valid body of any API in any version served.
pub(super) fn body(api: ApiKey, version: i16, numbers: &mut Numbers) -> Bytes {
    let mut out = BytesMut::new();
    match (api, schema_of(api)) {
        (_, Some(schema)) => schema.write_sample(version, numbers, &mut out),
        (ApiKey::Produce, _) => produce(version, numbers).encode(&mut out, version).unwrap(),
        (_, _) => fetch(version, numbers).encode(&mut out, version).unwrap(),
    }
    out.freeze()
}

pub(super) fn produce(version: i16, numbers: &mut Numbers) -> ProduceRequest {
    use produce_request::{PartitionProduceData, TopicProduceData};
    let topics = (0..numbers.below(4))
        .map(|_| {
            let partitions = (0..numbers.below(4))
                .map(|_| {
                    let records = (numbers.below(5) > 0).then(|| {
                        Bytes::from(
                            (0..numbers.below(200))
                                .map(|_| numbers.next() as u8)
                                .collect::<Vec<_>>(),
                        )
                    });
                    PartitionProduceData::default()
                        .with_index(numbers.next() as i32)
                        .with_records(records)
                })
                .collect();
            let topic = TopicProduceData::default().with_partition_data(partitions);
            match version {
                13.. => topic.with_topic_id(uuid::Uuid::from_u128(u128::from(numbers.next()))),
                _ => topic.with_name(StrBytes::from_string(numbers.text()).into()),
            }
        })
        .collect();
    ProduceRequest::default()
        .with_transactional_id((numbers.below(2) == 0).then(|| StrBytes::from_string(numbers.text()).into()))
        .with_acks(numbers.next() as i16)
        .with_timeout_ms(numbers.next() as i32)
        .with_topic_data(topics)
}

pub(super) fn fetch(version: i16, numbers: &mut Numbers) -> FetchRequest {
    use fetch_request::{FetchPartition, FetchTopic, ForgottenTopic, ReplicaState};
    let topics = (0..numbers.below(4))
        .map(|_| {
            let partitions = (0..numbers.below(4))
                .map(|_| {
                    let mut partition = FetchPartition::default()
                        .with_partition(numbers.next() as i32)
                        .with_fetch_offset(numbers.next() as i64)
                        .with_partition_max_bytes(numbers.next() as i32);
                    if version >= 9 {
                        partition.current_leader_epoch = numbers.next() as i32;
                    }
                    if version >= 12 {
                        partition.last_fetched_epoch = numbers.next() as i32;
                    }
                    if version >= 17 {
                        partition.replica_directory_id = uuid::Uuid::from_u128(7);
                    }
                    if version >= 18 {
                        partition.high_watermark = 5;
                    }
                    partition
                })
                .collect();
            let topic = FetchTopic::default().with_partitions(partitions);
            match version {
                13.. => topic.with_topic_id(uuid::Uuid::from_u128(u128::from(numbers.next()))),
                _ => topic.with_topic(StrBytes::from_string(numbers.text()).into()),
            }
        })
        .collect();
    let mut request = FetchRequest::default()
        .with_max_wait_ms(500)
        .with_min_bytes(1)
        .with_max_bytes(numbers.next() as i32)
        .with_isolation_level(1)
        .with_topics(topics);
    if version >= 7 {
        request.session_id = numbers.next() as i32;
        request.session_epoch = numbers.next() as i32;
        let gone = ForgottenTopic::default().with_partitions(vec![1, 2, 3]);
        request.forgotten_topics_data = vec![match version {
            13.. => gone.with_topic_id(uuid::Uuid::from_u128(9)),
            _ => gone.with_topic(StrBytes::from_static_str("gone").into()),
        }];
    }
    if version >= 11 {
        request.rack_id = StrBytes::from_static_str("rack");
    }
    if version >= 12 {
        request.cluster_id = Some(StrBytes::from_static_str("cluster"));
    }
    if version >= 15 {
        request.replica_state = ReplicaState::default()
            .with_replica_id(4.into())
            .with_replica_epoch(11);
    }
    request
}

/// Writes a length as the schema's version has it.
pub(crate) fn put_length(out: &mut BytesMut, compact: bool, old_bytes: usize, length: Option<usize>) {
    match (compact, length) {
        (true, length) => crate::writer::put_varint(out, length.map_or(0, |length| length as u32 + 1)),
        (false, None) => out.put_bytes(0xff, old_bytes),
        (false, Some(length)) => out.put_uint(length as u64, old_bytes),
    }
}

/// An array field of the library, nullable or not.
pub(crate) trait Array<T> {
    fn of(elements: Option<Vec<T>>) -> Self;
}

impl<T> Array<T> for Vec<T> {
    fn of(elements: Option<Vec<T>>) -> Self {
        elements.expect("null was refused")
    }
}

impl<T> Array<T> for Option<Vec<T>> {
    fn of(elements: Option<Vec<T>>) -> Self {
        elements
    }
}

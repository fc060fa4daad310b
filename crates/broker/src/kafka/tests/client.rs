//! A client that speaks frames.

use super::broker::TestBroker;
use bytes::{Bytes, BytesMut};
use milena_record::{BatchBuilder, Compression, TimestampType};
use milena_types::{Offset, ProducerEpoch, ProducerId, Timestamp};
use milena_wire::client::{ClientRequest, decode_response, encode_request};
use milena_wire::messages::create_topics_request::CreatableTopic;
use milena_wire::messages::produce_request::{PartitionProduceData, TopicProduceData};
use milena_wire::messages::{CreateTopicsRequest, ProduceRequest};
use milena_wire::{StrBytes, WireUuid};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// No answer may take longer.
const PATIENCE: Duration = Duration::from_secs(20);

pub(super) struct Client {
    pub(super) stream: TcpStream,
    correlation_id: i32,
}

pub(super) fn text(value: &str) -> StrBytes {
    StrBytes::from_string(value.to_owned())
}

impl Client {
    pub(super) async fn connect(broker: &TestBroker) -> Self {
        Self {
            stream: TcpStream::connect(broker.address).await.unwrap(),
            correlation_id: 0,
        }
    }

    pub(super) async fn call<R: ClientRequest>(&mut self, version: i16, request: &R) -> R::Response {
        self.send(version, request).await;
        self.receive::<R>(version).await
    }

    pub(super) async fn send<R: ClientRequest>(&mut self, version: i16, request: &R) {
        self.correlation_id += 1;
        let frame = encode_request(version, self.correlation_id, "test", request).unwrap();
        self.stream.write_all(&frame).await.unwrap();
    }

    pub(super) async fn receive<R: ClientRequest>(&mut self, version: i16) -> R::Response {
        let frame = self.receive_frame().await.expect("an answer");
        decode_response::<R>(version, frame).unwrap().1
    }

    /// One frame, or `None` when the broker closed the connection.
    pub(super) async fn receive_frame(&mut self) -> Option<Bytes> {
        let read = async {
            let length = self.stream.read_i32().await.ok()?;
            let mut frame = vec![0; usize::try_from(length).unwrap()];
            self.stream.read_exact(&mut frame).await.ok()?;
            Some(Bytes::from(frame))
        };
        tokio::time::timeout(PATIENCE, read)
            .await
            .expect("an answer or the end in time")
    }

    pub(super) async fn create_topic(&mut self, name: &str, partitions: i32) {
        let topic = CreatableTopic::default()
            .with_name(text(name).into())
            .with_num_partitions(partitions)
            .with_replication_factor(1);
        let request = CreateTopicsRequest::default()
            .with_topics(vec![topic])
            .with_timeout_ms(10_000);
        let response = self.call(7, &request).await;
        assert_eq!(
            response.topics[0].error_code, 0,
            "{:?}",
            response.topics[0].error_message
        );
    }
}

/// A batch of these values.
pub(super) fn batch(values: &[&str], producer: Option<(ProducerId, ProducerEpoch, i32)>) -> BytesMut {
    let mut builder = BatchBuilder::new(
        Offset(0),
        Compression::None,
        TimestampType::CreateTime,
        producer,
        false,
        false,
    );
    for value in values {
        builder.append(Timestamp(1_700_000_000_000), None, Some(value.as_bytes()), &[]);
    }
    builder.build()
}

/// A Produce request of one batch, by name below version 13, by id from there on.
pub(super) fn produce(
    topic: &str,
    id: WireUuid,
    version: i16,
    partition: i32,
    acks: i16,
    batch: Bytes,
) -> ProduceRequest {
    let data = PartitionProduceData::default()
        .with_index(partition)
        .with_records(Some(batch));
    let topic_data = TopicProduceData::default().with_partition_data(vec![data]);
    let topic_data = match version {
        13.. => topic_data.with_topic_id(id),
        _ => topic_data.with_name(text(topic).into()),
    };
    ProduceRequest::default()
        .with_acks(acks)
        .with_timeout_ms(5000)
        .with_topic_data(vec![topic_data])
}

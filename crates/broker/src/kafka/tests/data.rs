//! Produce, Fetch, ListOffsets and what goes with them, in every version.

use super::broker::TestBroker;
use super::client::{Client, batch, produce, text};
use milena_types::{ProducerEpoch, ProducerId};
use milena_wire::WireUuid;
use milena_wire::messages::fetch_request::{FetchPartition, FetchTopic};
use milena_wire::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use milena_wire::messages::metadata_request::MetadataRequestTopic;
use milena_wire::messages::{
    FetchRequest, FetchResponse, InitProducerIdRequest, ListOffsetsRequest, MetadataRequest, ProduceRequest,
};
use tokio::io::AsyncWriteExt;

async fn topic_id(client: &mut Client, name: &str) -> WireUuid {
    let topic = MetadataRequestTopic::default().with_name(Some(text(name).into()));
    let response = client
        .call(12, &MetadataRequest::default().with_topics(Some(vec![topic])))
        .await;
    response.topics[0].topic_id
}

fn fetch(topic: &str, id: WireUuid, version: i16, offset: i64, session: (i32, i32)) -> FetchRequest {
    let partition = FetchPartition::default()
        .with_fetch_offset(offset)
        .with_partition_max_bytes(1 << 20);
    let topic_data = FetchTopic::default().with_partitions(vec![partition]);
    let topic_data = match version {
        13.. => topic_data.with_topic_id(id),
        _ => topic_data.with_topic(text(topic).into()),
    };
    let mut request = FetchRequest::default()
        .with_max_wait_ms(2000)
        .with_min_bytes(1)
        .with_max_bytes(1 << 20)
        .with_topics(vec![topic_data]);
    if version >= 7 {
        (request.session_id, request.session_epoch) = session;
    }
    request
}

fn records(response: &FetchResponse) -> Vec<u8> {
    response.responses[0].partitions[0]
        .records
        .as_deref()
        .unwrap_or_default()
        .to_vec()
}

#[tokio::test]
async fn every_version_of_produce_and_fetch_works() {
    let broker = TestBroker::start().await;
    let mut client = Client::connect(&broker).await;
    client.create_topic("versions", 1).await;
    let id = topic_id(&mut client, "versions").await;
    for (offset, version) in (3..=13).enumerate() {
        let request = produce("versions", id, version, 0, -1, batch(&["x"], None).freeze());
        let response = client.call(version, &request).await;
        let partition = &response.responses[0].partition_responses[0];
        assert_eq!(
            (partition.error_code, partition.base_offset),
            (0, offset as i64),
            "version {version}"
        );
    }
    for version in 4..=18 {
        let response = client
            .call(version, &fetch("versions", id, version, 4, (0, -1)))
            .await;
        let partition = &response.responses[0].partitions[0];
        assert_eq!(
            (partition.error_code, partition.high_watermark),
            (0, 11),
            "version {version}"
        );
        let first = i64::from_be_bytes(records(&response)[..8].try_into().unwrap());
        assert_eq!(first, 4, "version {version}");
    }
}

#[tokio::test]
async fn acknowledgements_of_every_kind() {
    let broker = TestBroker::start().await;
    let mut client = Client::connect(&broker).await;
    client.create_topic("acks", 1).await;
    let request = |acks| produce("acks", WireUuid::nil(), 9, 0, acks, batch(&["x"], None).freeze());
    // acks=0 is not answered: the next answer is that of the next request.
    client.send(9, &request(0)).await;
    let response = client.call(9, &request(1)).await;
    assert_eq!(response.responses[0].partition_responses[0].base_offset, 1);
    for invalid in [2, -5] {
        let response = client.call(9, &request(invalid)).await;
        assert_eq!(response.responses[0].partition_responses[0].error_code, 21);
    }
    // acks=0 to a topic that does not exist closes the connection.
    client
        .send(
            9,
            &produce("nowhere", WireUuid::nil(), 9, 0, 0, batch(&["x"], None).freeze()),
        )
        .await;
    assert!(client.receive_frame().await.is_none());
}

#[tokio::test]
async fn pipelined_produces_are_answered_in_order() {
    let broker = TestBroker::start().await;
    let mut client = Client::connect(&broker).await;
    client.create_topic("pipeline", 1).await;
    for _ in 0..50 {
        client
            .send(
                9,
                &produce(
                    "pipeline",
                    WireUuid::nil(),
                    9,
                    0,
                    -1,
                    batch(&["a", "b"], None).freeze(),
                ),
            )
            .await;
    }
    for n in 0..50 {
        let response = client.receive::<ProduceRequest>(9).await;
        assert_eq!(response.responses[0].partition_responses[0].base_offset, 2 * n);
    }
}

#[tokio::test]
async fn idempotent_producers_get_an_id_and_duplicates_their_offset() {
    let broker = TestBroker::start().await;
    let mut client = Client::connect(&broker).await;
    client.create_topic("idempotent", 1).await;
    let init = InitProducerIdRequest::default().with_transaction_timeout_ms(60_000);
    let first = client.call(4, &init.clone().with_transactional_id(None)).await;
    let second = client.call(1, &init.clone().with_transactional_id(None)).await;
    assert_eq!(
        (first.error_code, second.error_code, first.producer_epoch),
        (0, 0, 0)
    );
    assert_eq!(second.producer_id.0, first.producer_id.0 + 1);
    let refused = client
        .call(4, &init.with_transactional_id(Some(text("tx").into())))
        .await;
    assert_eq!((refused.error_code, refused.producer_id.0), (35, -1));

    let producer = |sequence| Some((ProducerId(first.producer_id.0), ProducerEpoch(0), sequence));
    let send = |sequence| {
        produce(
            "idempotent",
            WireUuid::nil(),
            9,
            0,
            -1,
            batch(&["x"], producer(sequence)).freeze(),
        )
    };
    for (sequence, code, offset) in [(0, 0, 0), (1, 0, 1), (0, 0, 0), (3, 45, -1), (2, 0, 2)] {
        let response = client.call(9, &send(sequence)).await;
        let partition = &response.responses[0].partition_responses[0];
        assert_eq!(
            (partition.error_code, partition.base_offset),
            (code, offset),
            "sequence {sequence}"
        );
    }
}

#[tokio::test]
async fn bad_batches_are_refused_and_nothing_is_appended() {
    let broker = TestBroker::start().await;
    let mut client = Client::connect(&broker).await;
    client.create_topic("bad", 1).await;
    let good = batch(&["x"], None);
    let changed = |at: usize, value: u8| {
        let mut bytes = good.clone();
        bytes[at] = value;
        bytes.freeze()
    };
    let cases = [
        ("crc", changed(good.len() - 1, 0xee), 2),
        ("magic 1", changed(16, 1), 87),
        ("two batches", [&good[..], &good[..]].concat().into(), 87),
        ("truncated", good.clone().freeze().slice(..good.len() - 1), 87),
        ("empty", bytes::Bytes::new(), 87),
    ];
    for (name, records, code) in cases {
        let response = client
            .call(9, &produce("bad", WireUuid::nil(), 9, 0, -1, records))
            .await;
        assert_eq!(
            response.responses[0].partition_responses[0].error_code, code,
            "{name}"
        );
    }
    let response = client
        .call(9, &produce("bad", WireUuid::nil(), 9, 0, -1, good.freeze()))
        .await;
    assert_eq!(response.responses[0].partition_responses[0].base_offset, 0);
}

#[tokio::test]
async fn a_fetch_session_answers_only_what_changed() {
    let broker = TestBroker::start().await;
    let mut client = Client::connect(&broker).await;
    client.create_topic("session", 1).await;
    let id = topic_id(&mut client, "session").await;
    client
        .call(
            9,
            &produce("session", id, 9, 0, -1, batch(&["one"], None).freeze()),
        )
        .await;
    let opened = client.call(13, &fetch("session", id, 13, 0, (0, 0))).await;
    assert_ne!(opened.session_id, 0);
    assert!(!records(&opened).is_empty());

    let mut next = fetch("session", id, 13, 1, (opened.session_id, 1)).with_max_wait_ms(50);
    let nothing = client.call(13, &next).await;
    assert_eq!(
        (nothing.error_code, nothing.responses.len()),
        (0, 0),
        "{nothing:?}"
    );

    // The long poll ends when something arrives, long before its time.
    next.topics.clear();
    (next.session_epoch, next.max_wait_ms) = (2, 20_000);
    client.send(13, &next).await;
    let mut other = Client::connect(&broker).await;
    other
        .call(
            9,
            &produce("session", id, 9, 0, -1, batch(&["two"], None).freeze()),
        )
        .await;
    let news = client.receive::<FetchRequest>(13).await;
    assert_eq!(i64::from_be_bytes(records(&news)[..8].try_into().unwrap()), 1);

    (next.session_epoch, next.max_wait_ms) = (9, 0);
    assert_eq!(client.call(13, &next).await.error_code, 71);
    next.session_id = next.session_id.wrapping_add(1).max(1);
    assert_eq!(client.call(13, &next).await.error_code, 70);
}

#[tokio::test]
async fn fetch_errors_are_kafkas() {
    let broker = TestBroker::start().await;
    let mut client = Client::connect(&broker).await;
    client.create_topic("errors", 1).await;
    let id = topic_id(&mut client, "errors").await;
    let code = async |client: &mut Client, version, request: FetchRequest| {
        client.call(version, &request).await.responses[0].partitions[0].error_code
    };
    assert_eq!(
        code(&mut client, 13, fetch("", WireUuid::from_u128(5), 13, 0, (0, -1))).await,
        100
    );
    assert_eq!(
        code(&mut client, 12, fetch("nowhere", id, 12, 0, (0, -1))).await,
        3
    );
    for offset in [-5, 1] {
        assert_eq!(
            code(&mut client, 12, fetch("errors", id, 12, offset, (0, -1))).await,
            1,
            "offset {offset}"
        );
    }
    let mut epoch = fetch("errors", id, 12, 0, (0, -1));
    epoch.topics[0].partitions[0].current_leader_epoch = 99;
    assert_eq!(code(&mut client, 12, epoch).await, 75);
    let replica = fetch("errors", id, 12, 0, (0, -1)).with_replica_id(2.into());
    assert_eq!(
        code(&mut client, 12, replica).await,
        31,
        "clients do not replicate"
    );
}

#[tokio::test]
async fn offsets_are_listed_in_every_version() {
    let broker = TestBroker::start().await;
    let mut client = Client::connect(&broker).await;
    client.create_topic("offsets", 1).await;
    client
        .call(
            9,
            &produce(
                "offsets",
                WireUuid::nil(),
                9,
                0,
                -1,
                batch(&["a", "b", "c"], None).freeze(),
            ),
        )
        .await;
    for version in 1..=10 {
        for (timestamp, expected) in [(-1, 3), (-2, 0), (1_700_000_000_000, 0), (1_800_000_000_000, -1)] {
            let partition = ListOffsetsPartition::default().with_timestamp(timestamp);
            let topic = ListOffsetsTopic::default()
                .with_name(text("offsets").into())
                .with_partitions(vec![partition]);
            let mut request = ListOffsetsRequest::default()
                .with_replica_id((-1).into())
                .with_topics(vec![topic]);
            if version >= 10 {
                request.timeout_ms = 1000;
            }
            let response = client.call(version, &request).await;
            let partition = &response.topics[0].partitions[0];
            assert_eq!(
                (partition.error_code, partition.offset),
                (0, expected),
                "version {version} at {timestamp}"
            );
        }
    }
}

/// Version 11 gives the timestamp -6 a meaning, and changes no byte; the message library does not know it yet.
#[tokio::test]
async fn offsets_are_listed_in_the_version_that_the_message_library_lacks() {
    let broker = TestBroker::start().await;
    let mut client = Client::connect(&broker).await;
    client.create_topic("newest", 1).await;
    let records = batch(&["a", "b"], None).freeze();
    client
        .call(9, &produce("newest", WireUuid::nil(), 9, 0, -1, records))
        .await;
    for (timestamp, expected) in [(-1, 2), (-2, 0), (-3, 0), (-4, 0), (-5, -1), (-6, -1)] {
        let partition = ListOffsetsPartition::default().with_timestamp(timestamp);
        let topic = ListOffsetsTopic::default()
            .with_name(text("newest").into())
            .with_partitions(vec![partition]);
        let request = ListOffsetsRequest::default()
            .with_replica_id((-1).into())
            .with_timeout_ms(1000)
            .with_topics(vec![topic]);
        let mut frame = milena_wire::client::encode_request(10, 1, "test", &request)
            .unwrap()
            .to_vec();
        frame[6..8].copy_from_slice(&11_i16.to_be_bytes());
        client.stream.write_all(&frame).await.unwrap();
        let response = client.receive::<ListOffsetsRequest>(10).await;
        let partition = &response.topics[0].partitions[0];
        assert_eq!(
            (partition.error_code, partition.offset),
            (0, expected),
            "{timestamp}"
        );
    }
}

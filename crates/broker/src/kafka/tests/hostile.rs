//! What strangers send: the answers of a broker that nothing can hurt, and a well-behaved client beside them that
//! notices nothing.

use super::broker::TestBroker;
use super::client::{Client, batch, produce, text};
use crate::config::NetworkConfig;
use bytes::Bytes;
use milena_types::{ProducerEpoch, ProducerId};
use milena_wire::WireUuid;
use milena_wire::messages::metadata_request::MetadataRequestTopic;
use milena_wire::messages::{ApiVersionsRequest, ApiVersionsResponse, MetadataRequest};
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

async fn send(broker: &TestBroker, bytes: &[u8]) -> Client {
    let mut client = Client::connect(broker).await;
    client.stream.write_all(bytes).await.unwrap();
    client
}

fn frame(body: &[u8]) -> Vec<u8> {
    [&(body.len() as u32).to_be_bytes()[..], body].concat()
}

async fn still_serves(broker: &TestBroker, bystander: &mut Client) {
    assert_eq!(
        bystander.call(1, &MetadataRequest::default()).await.brokers.len(),
        1
    );
    let mut fresh = Client::connect(broker).await;
    assert_eq!(fresh.call(1, &MetadataRequest::default()).await.brokers.len(), 1);
}

#[tokio::test]
async fn whatever_breaks_the_protocol_is_closed_and_nobody_else_notices() {
    let broker = TestBroker::start().await;
    let mut bystander = Client::connect(&broker).await;
    let mut crasher = b"\x00\x01\x00\x04\x00\x00\x00\x01\x00\x00".to_vec();
    crasher.extend([
        0xff, 0xff, 0xff, 0xff, 0, 0, 1, 0xf4, 0, 0, 0, 1, 0, 0x10, 0, 0, 0,
    ]);
    crasher.extend([0x00, 0x40, 0x00, 0x00]);
    let cases: Vec<(&str, Vec<u8>)> = vec![
        ("negative length", (-1_i32).to_be_bytes().to_vec()),
        ("length of 2 GiB", i32::MAX.to_be_bytes().to_vec()),
        ("length above the limit", 104_857_601_i32.to_be_bytes().to_vec()),
        ("length below a header", 3_i32.to_be_bytes().to_vec()),
        ("length zero", 0_i32.to_be_bytes().to_vec()),
        ("HTTP", b"GET / HTTP/1.1\r\n\r\n".to_vec()),
        ("TLS", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".to_vec()),
        ("unknown api", frame(b"\x27\x0f\x00\x00\x00\x00\x00\x01\x00\x00")),
        (
            "unsupported version",
            frame(b"\x00\x03\x00\x63\x00\x00\x00\x01\x00\x00\x00"),
        ),
        (
            "produce 2",
            frame(b"\x00\x00\x00\x02\x00\x00\x00\x01\x00\x00\xff\xff\x00\x00\x00\x00\x00\x00\x00\x00"),
        ),
        (
            "truncated body",
            frame(b"\x00\x03\x00\x01\x00\x00\x00\x01\x00\x00\x00\x00\x00\x05\x00\x03ab"),
        ),
        (
            "trailing garbage",
            frame(b"\x00\x03\x00\x01\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\xff"),
        ),
        ("count of the measured crasher", frame(&crasher)),
        (
            "2^31 tagged fields",
            frame(b"\x00\x03\x00\x09\x00\x00\x00\x01\x00\x00\xff\xff\xff\xff\x0f"),
        ),
        (
            "client id that is no text",
            frame(b"\x00\x03\x00\x01\x00\x00\x00\x01\x00\x01\xff\xff\xff\xff\xff"),
        ),
        (
            "client id longer than the frame",
            frame(b"\x00\x03\x00\x01\x00\x00\x00\x01\x7f\xff\xff\xff\xff\xff"),
        ),
    ];
    for (name, bytes) in cases {
        let mut client = send(&broker, &bytes).await;
        assert!(
            client.receive_frame().await.is_none(),
            "{name}: the connection is closed"
        );
        still_serves(&broker, &mut bystander).await;
    }
}

#[tokio::test]
async fn an_unknown_version_of_api_versions_is_answered_in_version_0() {
    let broker = TestBroker::start().await;
    let mut client = send(
        &broker,
        &frame(b"\x00\x12\x00\x63\x00\x00\x00\x09\xff\xff\x00\x01\x02"),
    )
    .await;
    let answer = client.receive_frame().await.unwrap();
    let (correlation, response): (i32, ApiVersionsResponse) =
        milena_wire::client::decode_response::<ApiVersionsRequest>(0, answer).unwrap();
    assert_eq!((correlation, response.error_code), (9, 35));
    assert!(
        response
            .api_keys
            .iter()
            .any(|api| api.api_key == 18 && api.max_version == 4)
    );
    // The connection is as good as new.
    assert_eq!(client.call(1, &MetadataRequest::default()).await.brokers.len(), 1);
}

#[tokio::test]
async fn frames_that_arrive_byte_by_byte_or_all_at_once_are_served() {
    let broker = TestBroker::start().await;
    let request = milena_wire::client::encode_request(1, 1, "slow", &MetadataRequest::default()).unwrap();
    let mut client = Client::connect(&broker).await;
    client.stream.set_nodelay(true).unwrap();
    for byte in request.iter() {
        client.stream.write_all(&[*byte]).await.unwrap();
        tokio::task::yield_now().await;
    }
    assert_eq!(client.receive::<MetadataRequest>(1).await.brokers.len(), 1);
    client.stream.write_all(&request.repeat(200)).await.unwrap();
    for _ in 0..200 {
        assert_eq!(client.receive::<MetadataRequest>(1).await.brokers.len(), 1);
    }
}

#[tokio::test]
async fn grpc_connections_are_handed_over_untouched() {
    let broker = TestBroker::start().await;
    let mut stream = TcpStream::connect(broker.address).await.unwrap();
    stream
        .write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
        .await
        .unwrap();
    // The test's taker drops it.
    let mut rest = Vec::new();
    let ended = tokio::time::timeout(Duration::from_secs(10), stream.read_to_end(&mut rest)).await;
    assert!(ended.is_ok() && rest.is_empty());
    assert_eq!(broker.http2.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn idle_connections_are_closed_and_their_slots_are_free_again() {
    let network = NetworkConfig {
        max_idle: Duration::from_millis(100),
        max_connections: 2,
        ..NetworkConfig::default()
    };
    let broker = TestBroker::start_with(network, true).await;
    for _ in 0..3 {
        let mut silent = Client::connect(&broker).await;
        let mut four_bytes = send(&broker, &[0, 0, 0, 100]).await;
        assert!(silent.receive_frame().await.is_none());
        assert!(four_bytes.receive_frame().await.is_none());
    }
}

/// The first 28 bytes of a request that says nothing but its API and version.
fn bare(api: i16, version: i16) -> Vec<u8> {
    let header = [
        &api.to_be_bytes()[..],
        &version.to_be_bytes(),
        &[0, 0, 0, 7, 0xff, 0xff],
    ]
    .concat();
    frame(&[header, vec![0; 18]].concat())
}

#[tokio::test]
async fn versions_that_no_api_has_are_closed_and_those_of_api_versions_answered() {
    let broker = TestBroker::start().await;
    let mut bystander = Client::connect(&broker).await;
    for api in milena_wire::ApiKey::ALL {
        for version in [
            i16::MIN,
            -1,
            api.version_min() - 1,
            api.version_max() + 1,
            i16::MAX,
        ] {
            let mut client = send(&broker, &bare(api.code(), version)).await;
            let answer = client.receive_frame().await;
            if *api == milena_wire::ApiKey::ApiVersions {
                // Correlation id, UNSUPPORTED_VERSION, in version 0.
                assert_eq!(answer.unwrap()[..6], [0, 0, 0, 7, 0, 35], "version {version}");
            } else {
                assert!(answer.is_none(), "{api} {version}");
            }
        }
    }
    for unknown in [-1, 4, 5, 6, 7, 67, 9999, i16::MAX] {
        let mut client = send(&broker, &bare(unknown, 0)).await;
        assert!(client.receive_frame().await.is_none(), "api {unknown}");
    }
    still_serves(&broker, &mut bystander).await;
}

#[tokio::test]
async fn bodies_cut_short_or_too_long_are_closed_in_every_version() {
    let broker = TestBroker::start().await;
    let mut bystander = Client::connect(&broker).await;
    let whole = |version| {
        let topic = MetadataRequestTopic::default().with_name(Some(text("not-created").into()));
        let request = MetadataRequest::default()
            .with_topics(Some(vec![topic]))
            .with_allow_auto_topic_creation(true);
        milena_wire::client::encode_request(version, 1, "cut", &request).unwrap()[4..].to_vec()
    };
    for version in 4..=9 {
        let body = whole(version);
        let longer = [&body[..], &[0]].concat();
        for bytes in [&body[..body.len() - 1], &body[..body.len() - 5], &longer] {
            let mut client = send(&broker, &frame(bytes)).await;
            assert!(client.receive_frame().await.is_none(), "version {version}");
        }
    }
    still_serves(&broker, &mut bystander).await;
    let all = bystander
        .call(9, &MetadataRequest::default().with_topics(None))
        .await;
    assert!(all.topics.is_empty(), "nothing was applied");
}

/// A batch of one record with other bytes at some place, and a CRC that is right.
fn altered(at: usize, bytes: &[u8]) -> Bytes {
    let mut batch = batch(&["x"], None);
    batch[at..at + bytes.len()].copy_from_slice(bytes);
    let crc = milena_record::crc32c(&batch[21..]);
    batch[17..21].copy_from_slice(&crc.to_be_bytes());
    batch.freeze()
}

async fn produced(client: &mut Client, topic: &str, acks: i16, records: Bytes) -> (i16, i64) {
    let request = produce(topic, WireUuid::nil(), 9, 0, acks, records);
    let response = client.call(9, &request).await;
    let partition = &response.responses[0].partition_responses[0];
    (partition.error_code, partition.base_offset)
}

#[tokio::test]
async fn batches_that_lie_about_themselves_are_refused_and_leave_nothing() {
    let broker = TestBroker::start().await;
    let mut client = Client::connect(&broker).await;
    client.create_topic("liars", 1).await;
    let length = batch(&["x"], None).len() as i32 - 12;
    let int = |value: i32| value.to_be_bytes();
    let cases: [(&str, Bytes, i16); 14] = [
        ("base offset", altered(0, &7_i64.to_be_bytes()), 87),
        ("length one less", altered(8, &int(length - 1)), 87),
        ("length one more", altered(8, &int(length + 1)), 87),
        ("length negative", altered(8, &int(-1)), 2),
        ("length below a header", altered(8, &int(20)), 2),
        ("length of 2 GiB", altered(8, &int(i32::MAX)), 87),
        ("magic 0", altered(16, &[0]), 87),
        ("magic 3", altered(16, &[3]), 2),
        ("control batch", altered(22, &[0x20]), 87),
        ("unknown codec", altered(22, &[0x07]), 76),
        ("negative last offset delta", altered(23, &int(-1)), 87),
        ("last offset delta of more records", altered(23, &int(5)), 87),
        ("2^31-1 records", altered(57, &int(i32::MAX)), 87),
        ("no records", altered(57, &int(0)), 87),
    ];
    for (name, records, code) in cases {
        assert_eq!(
            produced(&mut client, "liars", -1, records).await,
            (code, -1),
            "{name}"
        );
    }
    let mut wrong_crc = batch(&["x"], None);
    wrong_crc[17] ^= 1;
    assert_eq!(
        produced(&mut client, "liars", -1, wrong_crc.clone().freeze()).await,
        (2, -1)
    );
    let good = batch(&["x"], None).freeze();
    assert_eq!(
        produced(&mut client, "liars", -1, good).await,
        (0, 0),
        "the log is as before"
    );
    // Nobody waits for an answer with acks=0: the connection tells that something is wrong.
    let request = produce("liars", WireUuid::nil(), 9, 0, 0, wrong_crc.freeze());
    client.send(9, &request).await;
    assert!(client.receive_frame().await.is_none());
    let mut other = Client::connect(&broker).await;
    assert_eq!(produced(&mut other, "liars", -1, altered(0, &[0])).await, (0, 1));
}

#[tokio::test]
async fn a_batch_above_the_limit_is_refused_by_name_and_the_connection_stays() {
    let broker = TestBroker::start().await;
    let mut client = Client::connect(&broker).await;
    client.create_topic("limited", 1).await;
    let large = "x".repeat(1_048_588);
    let request = produce(
        "limited",
        WireUuid::nil(),
        9,
        0,
        -1,
        batch(&[&large], None).freeze(),
    );
    let response = client.call(9, &request).await;
    let partition = &response.responses[0].partition_responses[0];
    assert_eq!((partition.error_code, partition.base_offset), (10, -1));
    let message = partition.error_message.as_ref().map_or("", |text| text.as_str());
    assert!(message.contains("1048588"), "it names the limit: {message}");
    assert_eq!(
        produced(&mut client, "limited", -1, batch(&["x"], None).freeze()).await,
        (0, 0)
    );
    for acks in [2, -2, i16::MIN] {
        assert_eq!(
            produced(&mut client, "limited", acks, batch(&["x"], None).freeze()).await,
            (21, -1)
        );
    }
}

#[tokio::test]
async fn producers_that_repeat_skip_or_are_fenced_never_append_twice() {
    let broker = TestBroker::start().await;
    let mut client = Client::connect(&broker).await;
    client.create_topic("sequences", 1).await;
    let from = |epoch: i16, sequence: i32| {
        let producer = (ProducerId(5), ProducerEpoch(epoch), sequence);
        batch(&["x"], Some(producer)).freeze()
    };
    for sequence in 0..8 {
        let answer = produced(&mut client, "sequences", -1, from(1, sequence)).await;
        assert_eq!(answer, (0, i64::from(sequence)));
    }
    let cases = [
        ("the last one again", (1, 7), 0, 7),
        ("the fifth to last again", (1, 3), 0, 3),
        ("older than five batches", (1, 0), 45, -1),
        ("a gap", (1, 9), 45, -1),
        ("an older epoch", (0, 8), 47, -1),
        ("a new epoch that does not begin at 0", (2, 3), 45, -1),
        ("a new epoch", (2, 0), 0, 8),
        ("the epoch before it", (1, 8), 47, -1),
    ];
    for (name, (epoch, sequence), code, offset) in cases {
        let answer = produced(&mut client, "sequences", -1, from(epoch, sequence)).await;
        assert_eq!(answer, (code, offset), "{name}");
    }
}

//! What strangers send: the answers of a broker that nothing can hurt, and a well-behaved client beside them that
//! notices nothing.

use super::broker::TestBroker;
use super::client::Client;
use crate::config::NetworkConfig;
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
    let broker = TestBroker::start_with(network, "127.0.0.1:0").await;
    for _ in 0..3 {
        let mut silent = Client::connect(&broker).await;
        let mut four_bytes = send(&broker, &[0, 0, 0, 100]).await;
        assert!(silent.receive_frame().await.is_none());
        assert!(four_bytes.receive_frame().await.is_none());
    }
}

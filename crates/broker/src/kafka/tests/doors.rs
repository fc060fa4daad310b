//! INV-START-2: what clients say before the broker is unfenced waits; other brokers are heard at once.

use super::broker::TestBroker;
use super::client::Client;
use crate::config::NetworkConfig;
use milena_wire::messages::MetadataRequest;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

#[tokio::test]
async fn clients_wait_until_the_doors_open() {
    let broker = TestBroker::start_with(NetworkConfig::default(), false).await;
    let mut client = Client::connect(&broker).await;
    let request = MetadataRequest::default().with_topics(None);
    client.send(9, &request).await;
    // Brokers that came later have been served on every thread: the client would have been, too.
    for _ in 0..8 {
        let mut peer = TcpStream::connect(broker.address).await.unwrap();
        peer.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await.unwrap();
        // The test's taker drops it.
        assert_eq!(peer.read(&mut [0; 1]).await.unwrap_or(0), 0);
    }
    let early = client.stream.try_read(&mut [0; 1]);
    assert_eq!(early.unwrap_err().kind(), std::io::ErrorKind::WouldBlock);
    broker.doors.send_replace(true);
    let answer = client.receive::<MetadataRequest>(9).await;
    assert_eq!(answer.brokers.len(), 1);
}

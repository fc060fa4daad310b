//! One connection of a follower to a leader: the request body speaks for the follower, the response body feeds it.

use super::body::{BodySignal, PullBody};
use super::follower_side::LinkKey;
use super::framing::{FramingError, LEADER_MESSAGE_BYTES_MAX, MessageReader, encode_message};
use super::serve::LocalExecutor;
use super::{FRAME_BYTES, KEEP_ALIVE_INTERVAL, KEEP_ALIVE_TIMEOUT, REPLICATE_PATH, WINDOW_BYTES};
use crate::shard::mailbox::with_local;
use http::{Request, StatusCode};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper_util::rt::{TokioIo, TokioTimer};
use milena_rpc::proto::{FollowerMessage, LeaderMessage};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;

/// How long a connection may take to come about.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// Why a connection ended or did not begin.
#[derive(Debug, thiserror::Error)]
pub(super) enum SessionError {
    /// Nobody listens there, or the network is broken.
    #[error("connect to {address}")]
    Connect {
        /// `host:port`.
        address: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The peer does not speak HTTP/2, or the connection broke.
    #[error("http/2 connection broke")]
    Http(#[from] hyper::Error),
    /// This broker has no registration any more.
    #[error("this broker is not registered")]
    NotRegistered,
    /// The leader refused the stream.
    #[error("the leader refused the stream: {0}")]
    Refused(String),
    /// The leader's bytes make no sense.
    #[error("unreadable stream")]
    Framing(#[from] FramingError),
    /// The leader ended the stream.
    #[error("the leader ended the stream")]
    Ended,
}

/// Connects, follows, and returns when the connection is over.
pub(super) async fn run(key: LinkKey, address: &str) -> SessionError {
    match connect(key, address).await {
        Ok(body) => match receive(key, body).await {
            Ok(()) => SessionError::Ended,
            Err(error) => error,
        },
        Err(error) => error,
    }
}

async fn connect(key: LinkKey, address: &str) -> Result<Incoming, SessionError> {
    let failed = |source| SessionError::Connect {
        address: address.to_owned(),
        source,
    };
    let timed_out = |_| failed(std::io::ErrorKind::TimedOut.into());
    let stream = tokio::time::timeout(CONNECT_TIMEOUT, TcpStream::connect(address))
        .await
        .map_err(timed_out)?
        .map_err(failed)?;
    stream.set_nodelay(true).map_err(failed)?;
    let (mut sender, connection) = hyper::client::conn::http2::Builder::new(LocalExecutor)
        .timer(TokioTimer::new())
        .initial_stream_window_size(WINDOW_BYTES)
        .initial_connection_window_size(WINDOW_BYTES)
        .max_frame_size(FRAME_BYTES)
        .keep_alive_interval(KEEP_ALIVE_INTERVAL)
        .keep_alive_timeout(KEEP_ALIVE_TIMEOUT)
        .handshake(TokioIo::new(stream))
        .await?;
    tokio::task::spawn_local(async move {
        // The response body reports the same end.
        let _ = connection.await;
    });
    let signal = Arc::new(BodySignal::default());
    let first = with_local(|shard| shard.on_connected(key, &signal)).flatten();
    let first = first.ok_or(SessionError::NotRegistered)?;
    let response = sender
        .send_request(request(key, address, &first, &signal))
        .await?;
    let grpc_message = response
        .headers()
        .get("grpc-message")
        .and_then(|value| value.to_str().ok());
    if response.status() != StatusCode::OK || response.headers().contains_key("grpc-status") {
        return Err(SessionError::Refused(
            grpc_message.unwrap_or("no reason given").to_owned(),
        ));
    }
    Ok(response.into_body())
}

fn request(
    key: LinkKey,
    address: &str,
    first: &FollowerMessage,
    signal: &Arc<BodySignal>,
) -> Request<PullBody> {
    let mut first = Some(vec![encode_message(first)]);
    let source = move || {
        first
            .take()
            .or_else(|| with_local(|shard| shard.next_follower_message(key)).flatten())
    };
    let mut request = Request::new(PullBody::new(Box::new(source), Arc::clone(signal), None));
    *request.method_mut() = http::Method::POST;
    let uri = http::Uri::builder()
        .scheme("http")
        .authority(address)
        .path_and_query(REPLICATE_PATH);
    // A host that cannot be an authority could not be connected to either.
    *request.uri_mut() = uri
        .build()
        .unwrap_or_else(|_| http::Uri::from_static(REPLICATE_PATH));
    let headers = request.headers_mut();
    headers.insert("content-type", http::HeaderValue::from_static("application/grpc"));
    headers.insert("te", http::HeaderValue::from_static("trailers"));
    request
}

async fn receive(key: LinkKey, mut body: Incoming) -> Result<(), SessionError> {
    let mut reader = MessageReader::new(LEADER_MESSAGE_BYTES_MAX);
    while let Some(frame) = body.frame().await {
        if let Ok(chunk) = frame?.into_data() {
            reader.push(chunk);
        }
        while let Some(message) = reader.next::<LeaderMessage>()? {
            if with_local(|shard| shard.on_leader_message(key, message)).is_none() {
                return Ok(());
            }
        }
    }
    Ok(())
}

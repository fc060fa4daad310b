//! Client channels and server settings with explicit limits: every gRPC connection between nodes is made here.
//!
//! A dead peer whose kernel still answers (a stopped process, a cut network) is noticed by HTTP/2 keep-alive within
//! [`KEEP_ALIVE_INTERVAL`] + [`KEEP_ALIVE_TIMEOUT`]; a dead process by its closed socket, at once.

use std::time::Duration;
use tonic::transport::{Channel, Endpoint, Server};

/// The longest message that a node takes, in bytes: larger ones are refused before they are read.
pub const MESSAGE_BYTES_MAX: usize = 64 * 1024 * 1024;
/// How long a connection attempt may take.
pub const CONNECT_TIMEOUT: Duration = Duration::from_millis(1000);
/// A connection with calls in flight on which nothing was heard for this long is pinged.
pub const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(5);
/// An unanswered ping closes the connection after this long.
pub const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(2);
/// HTTP/2 window of one stream, in bytes.
pub const STREAM_WINDOW: u32 = 1024 * 1024;
/// HTTP/2 window of one connection, in bytes.
pub const CONNECTION_WINDOW: u32 = 4 * 1024 * 1024;
/// The largest HTTP/2 frame, in bytes.
pub const FRAME_BYTES_MAX: u32 = 64 * 1024;

/// An address that is no URI authority.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' is not an address of the form host:port")]
pub struct AddressError(pub String);

/// An endpoint for `host:port` (IPv6 hosts in brackets) with this project's limits.
///
/// # Errors
/// The address does not parse.
pub fn endpoint(address: &str) -> Result<Endpoint, AddressError> {
    let endpoint =
        Endpoint::from_shared(format!("http://{address}")).map_err(|_| AddressError(address.to_owned()))?;
    Ok(endpoint
        .connect_timeout(CONNECT_TIMEOUT)
        .tcp_nodelay(true)
        .http2_keep_alive_interval(KEEP_ALIVE_INTERVAL)
        .keep_alive_timeout(KEEP_ALIVE_TIMEOUT)
        .keep_alive_while_idle(false)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_frame_size(FRAME_BYTES_MAX))
}

/// A channel that connects at its first call and again whenever its connection has broken.
///
/// # Errors
/// The address does not parse.
pub fn connect_lazy(address: &str) -> Result<Channel, AddressError> {
    Ok(endpoint(address)?.connect_lazy())
}

/// A server with this project's limits; the caller adds services and serves its own listener.
#[must_use]
pub fn server() -> Server {
    Server::builder()
        .tcp_nodelay(true)
        .http2_keepalive_interval(Some(KEEP_ALIVE_INTERVAL))
        .http2_keepalive_timeout(Some(KEEP_ALIVE_TIMEOUT))
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_frame_size(FRAME_BYTES_MAX)
}

/// `host:port`, with brackets around an IPv6 host.
#[must_use]
pub fn authority(host: &str, port: u16) -> String {
    if host.contains(':') && !host.starts_with('[') {
        format!("[{host}]:{port}")
    } else {
        format!("{host}:{port}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn addresses_are_checked() {
        for good in ["localhost:9093", "127.0.0.1:1", "[::1]:9093"] {
            assert!(connect_lazy(good).is_ok(), "{good}");
        }
        for bad in ["", "a b:1", "host:port:1:2 ", "[::1"] {
            assert!(connect_lazy(bad).is_err(), "{bad:?}");
        }
        assert_eq!(authority("::1", 9093), "[::1]:9093");
        assert_eq!(authority("kafka-1", 9093), "kafka-1:9093");
    }
}

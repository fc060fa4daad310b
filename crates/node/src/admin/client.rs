//! Asks a node's admin endpoint whether it is ready: what a container's health check runs.

use crate::config::Address;
use crate::roles::resolve;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

/// How long connecting and answering may each take.
const TIMEOUT: Duration = Duration::from_secs(2);
/// The longest answer that is read.
const ANSWER_BYTES_MAX: u64 = 64 * 1024;

/// Why the question was not answered.
#[derive(Debug, thiserror::Error)]
pub enum HealthError {
    /// The address is none.
    #[error("'{0}' is not an address of the form host:port")]
    Address(String),
    /// Nobody answers there.
    #[error("no answer from the admin endpoint at {address}: {source}")]
    Unreachable {
        /// Where.
        address: String,
        /// Why.
        source: std::io::Error,
    },
}

/// `Ok(Ok(()))` when the node is ready, else `Ok(Err(what it waits for))`.
///
/// # Errors
/// When the endpoint cannot be asked.
pub fn is_ready(address: &str) -> Result<Result<(), String>, HealthError> {
    let parsed = Address::parse(address).ok_or_else(|| HealthError::Address(address.to_owned()))?;
    let unreachable = |source| HealthError::Unreachable {
        address: address.to_owned(),
        source,
    };
    let socket = resolve(&parsed).map_err(unreachable)?;
    let answer = ask(socket).map_err(unreachable)?;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((answer.as_str(), ""));
    let is_ok = head.split_whitespace().nth(1) == Some("200");
    Ok(if is_ok {
        Ok(())
    } else {
        Err(body.trim().to_owned())
    })
}

fn ask(socket: std::net::SocketAddr) -> std::io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&socket, TIMEOUT)?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    stream.set_write_timeout(Some(TIMEOUT))?;
    stream.write_all(b"GET /ready HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.take(ANSWER_BYTES_MAX).read_to_string(&mut answer)?;
    Ok(answer)
}

//! A node's admin endpoint, as whoever asks or scrapes it sees it.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// Longer than a node that lives takes to answer.
const PATIENCE: Duration = Duration::from_secs(2);

/// What the endpoint at `host:port` answers; `None` when it does not, or not with 200.
#[must_use]
pub fn ask(address: &str, path: &str) -> Option<String> {
    let address: SocketAddr = address.parse().ok()?;
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE).ok()?;
    stream.set_read_timeout(Some(PATIENCE)).ok()?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: node\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    let (head, body) = answer.split_once("\r\n\r\n")?;
    head.starts_with("HTTP/1.1 200").then(|| body.to_owned())
}

/// The value of a row, named with its labels, of `/metrics` there; `None` when there is no such row, or no answer.
#[must_use]
pub fn metric(address: &str, row: &str) -> Option<f64> {
    value_of(&ask(address, "/metrics")?, row)
}

/// Likewise, of a page that was answered.
pub(crate) fn value_of(page: &str, row: &str) -> Option<f64> {
    let mut rows = page.lines().filter_map(|line| line.rsplit_once(' '));
    let (_, value) = rows.find(|(name, _)| *name == row)?;
    value.parse().ok()
}

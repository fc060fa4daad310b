//! A node's figures, as whoever scrapes it sees them.

use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::TcpStream;

/// Every row of `/metrics` of the admin endpoint at that port, by name and labels.
///
/// # Panics
/// When the endpoint does not answer, or not in Prometheus' text format.
#[must_use]
pub fn metrics(admin_port: u16) -> HashMap<String, f64> {
    let mut stream = TcpStream::connect(("127.0.0.1", admin_port)).expect("admin endpoint");
    stream
        .write_all(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        .expect("ask");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("answer");
    let (head, body) = answer.split_once("\r\n\r\n").expect("a body");
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    let rows = body.lines().filter(|line| !line.starts_with('#'));
    let row = |line: &str| {
        let (name, value) = line.rsplit_once(' ').expect("a value");
        (name.to_owned(), value.parse().expect("a number"))
    };
    rows.map(row).collect()
}

//! One connection to a broker: a request, its response, and so on.

use super::ElectionError;
use bytes::Bytes;
use milena_wire::client::{ClientRequest, decode_response, encode_request};
use std::io::{self, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::Duration;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Longer than a broker lets the controller think about an election.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(70);
/// No response is longer.
const RESPONSE_BYTES_MAX: usize = 100 << 20;

/// A connection.
pub(super) struct Connection {
    address: String,
    stream: TcpStream,
    correlation: i32,
}

impl Connection {
    /// Connects to `host:port`.
    pub(super) fn open(address: &str) -> Result<Self, ElectionError> {
        let unreachable = || ElectionError::Unreachable(address.to_owned());
        let resolved = address.to_socket_addrs().map_err(|_| unreachable())?;
        let mut streams = resolved.filter_map(|to| TcpStream::connect_timeout(&to, CONNECT_TIMEOUT).ok());
        let stream = streams.next().ok_or_else(unreachable)?;
        stream
            .set_read_timeout(Some(ANSWER_TIMEOUT))
            .and_then(|()| stream.set_nodelay(true))
            .map_err(|_| unreachable())?;
        Ok(Self {
            address: address.to_owned(),
            stream,
            correlation: 0,
        })
    }

    /// Asks in that version of the request.
    pub(super) fn call<R: ClientRequest>(
        &mut self,
        version: i16,
        request: &R,
    ) -> Result<R::Response, ElectionError> {
        self.correlation = self.correlation.wrapping_add(1);
        let wrong = |reason: String| ElectionError::Answer {
            address: self.address.clone(),
            reason,
        };
        let frame = encode_request(version, self.correlation, "leader-election", request)
            .map_err(|error| wrong(error.to_string()))?;
        let answer = exchange(&mut self.stream, &frame).map_err(|error| wrong(error.to_string()))?;
        let (correlation, response) =
            decode_response::<R>(version, answer).map_err(|error| wrong(error.to_string()))?;
        match correlation == self.correlation {
            true => Ok(response),
            false => Err(wrong("an answer to another question".to_owned())),
        }
    }

    /// An answer that says no.
    pub(super) fn refused(&self, reason: impl ToString) -> ElectionError {
        ElectionError::Answer {
            address: self.address.clone(),
            reason: reason.to_string(),
        }
    }
}

fn exchange(stream: &mut TcpStream, frame: &[u8]) -> io::Result<Bytes> {
    stream.write_all(frame)?;
    let mut length = [0; 4];
    stream.read_exact(&mut length)?;
    let length = usize::try_from(i32::from_be_bytes(length)).unwrap_or(usize::MAX);
    if length > RESPONSE_BYTES_MAX {
        return Err(io::Error::other("the answer is too long"));
    }
    let mut answer = vec![0; length];
    stream.read_exact(&mut answer)?;
    Ok(answer.into())
}

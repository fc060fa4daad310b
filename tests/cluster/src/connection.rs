//! One connection to one broker, for requests that a client library does not send, or would send elsewhere.

use bytes::Bytes;
use milena_wire::client::{ClientRequest, decode_response, encode_request};
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// More than any answer in a test.
const ANSWER_BYTES_MAX: usize = 16 << 20;

/// A connection.
pub struct Connection {
    stream: TcpStream,
}

impl Connection {
    /// Connects; `patience` bounds this and each later answer.
    ///
    /// # Errors
    /// When the broker is not there, in the system's words.
    pub fn new(address: &str, patience: Duration) -> Result<Self, String> {
        let parsed: SocketAddr = address.parse().map_err(|error| format!("{address}: {error}"))?;
        let open = || {
            let stream = TcpStream::connect_timeout(&parsed, patience)?;
            stream.set_nodelay(true)?;
            stream.set_read_timeout(Some(patience))?;
            stream.set_write_timeout(Some(patience))?;
            Ok(stream)
        };
        let stream = open().map_err(|error: std::io::Error| error.to_string())?;
        Ok(Self { stream })
    }

    /// One request, one answer. After an error the connection is of no use any more.
    ///
    /// # Errors
    /// When no answer comes in time, or none that can be read.
    pub fn call<R: ClientRequest>(&mut self, version: i16, request: &R) -> Result<R::Response, String> {
        let frame = encode_request(version, 1, "test", request).map_err(|error| error.to_string())?;
        let mut exchange = || {
            self.stream.write_all(&frame)?;
            let mut length = [0; 4];
            self.stream.read_exact(&mut length)?;
            let length = usize::try_from(i32::from_be_bytes(length)).unwrap_or(usize::MAX);
            if length > ANSWER_BYTES_MAX {
                return Err(std::io::ErrorKind::InvalidData.into());
            }
            let mut answer = vec![0; length];
            self.stream.read_exact(&mut answer)?;
            Ok(answer)
        };
        let answer = exchange().map_err(|error: std::io::Error| error.to_string())?;
        let (_, response) =
            decode_response::<R>(version, Bytes::from(answer)).map_err(|error| error.to_string())?;
        Ok(response)
    }
}

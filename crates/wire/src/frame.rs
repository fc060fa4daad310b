//! Frames: a big-endian 32-bit length, then that many bytes. Source: `NetworkReceive`.

use bytes::{BufMut, Bytes, BytesMut};

/// Bytes of the length that precedes each frame.
pub const LENGTH_BYTES: usize = 4;

/// The smallest frame that can hold a request header: API key, version, correlation id.
pub const FRAME_BYTES_MIN: usize = 8;

/// A length that no frame has; the connection cannot be resynchronised and is closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// Below what a request header takes, or negative.
    #[error("invalid frame size {0}: a request takes at least {FRAME_BYTES_MIN} bytes")]
    TooSmall(i32),
    /// Above `socket.request.max.bytes`.
    #[error("invalid frame size {size}: socket.request.max.bytes is {limit}")]
    TooLarge {
        /// As announced.
        size: i32,
        /// The limit, in bytes.
        limit: usize,
    },
}

/// Reads a request frame's length.
///
/// # Errors
/// [`FrameError`] when it is below [`FRAME_BYTES_MIN`] or above `limit` bytes.
pub fn request_frame_bytes(prefix: [u8; LENGTH_BYTES], limit: usize) -> Result<usize, FrameError> {
    let size = i32::from_be_bytes(prefix);
    match usize::try_from(size) {
        Ok(bytes) if bytes > limit => Err(FrameError::TooLarge { size, limit }),
        Ok(bytes) if bytes >= FRAME_BYTES_MIN => Ok(bytes),
        _ => Err(FrameError::TooSmall(size)),
    }
}

/// What the first four bytes of a connection say about who is speaking.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opening {
    /// The length of a Kafka frame, as far as one can tell.
    Kafka,
    /// The HTTP/2 preface: another broker's gRPC.
    Http2,
    /// An HTTP/1 request: a browser or a probe on the wrong port.
    Http1,
    /// A TLS handshake on a listener that speaks plaintext.
    Tls,
}

/// Recognises a connection by its first four bytes.
#[must_use]
pub fn opening(first: [u8; LENGTH_BYTES]) -> Opening {
    match &first {
        b"PRI " => Opening::Http2,
        b"GET " | b"POST" | b"PUT " | b"HEAD" | b"DELE" | b"OPTI" | b"CONN" | b"PATC" => Opening::Http1,
        // A TLS record: handshake (22), version 3.x. As a length it would be 352 MB and more.
        [22, 3, 0..=4, _] => Opening::Tls,
        _ => Opening::Kafka,
    }
}

/// One response, ready to be written: the frame's length and header, then the body, as a chain of buffers so that
/// records are never copied. Invariant: the chain holds exactly one frame.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ResponseFrame {
    parts: Vec<Bytes>,
    bytes: usize,
}

impl ResponseFrame {
    /// Takes a whole frame whose first [`LENGTH_BYTES`] were left free, and fills them in.
    pub(crate) fn from_buffer(mut buffer: BytesMut) -> Self {
        let length = u32::try_from(buffer.len() - LENGTH_BYTES).unwrap_or(u32::MAX);
        buffer[..LENGTH_BYTES].copy_from_slice(&length.to_be_bytes());
        let bytes = buffer.len();
        Self {
            parts: vec![buffer.freeze()],
            bytes,
        }
    }

    /// Takes the buffers of one frame, without its length.
    pub(crate) fn from_chain(chain: Vec<Bytes>) -> Self {
        let body: usize = chain.iter().map(Bytes::len).sum();
        let mut prefix = BytesMut::with_capacity(LENGTH_BYTES);
        prefix.put_u32(u32::try_from(body).unwrap_or(u32::MAX));
        let mut parts = Vec::with_capacity(chain.len() + 1);
        parts.push(prefix.freeze());
        parts.extend(chain.into_iter().filter(|part| !part.is_empty()));
        Self {
            parts,
            bytes: body + LENGTH_BYTES,
        }
    }

    /// How many bytes go over the wire, the length included.
    #[must_use]
    pub fn size_bytes(&self) -> usize {
        self.bytes
    }

    /// The buffers in the order in which they are written.
    #[must_use]
    pub fn into_parts(self) -> Vec<Bytes> {
        self.parts
    }

    /// The frame as one buffer; copies. For tests and tools.
    #[must_use]
    pub fn to_bytes(&self) -> Bytes {
        let mut out = BytesMut::with_capacity(self.bytes);
        self.parts.iter().for_each(|part| out.put_slice(part));
        out.freeze()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_outside_the_limits_are_refused() {
        let limit = 104_857_600;
        let parse = |size: i32| request_frame_bytes(size.to_be_bytes(), limit);
        assert_eq!(parse(8), Ok(8));
        assert_eq!(parse(104_857_600), Ok(limit));
        for size in [-1, i32::MIN, 0, 7] {
            assert_eq!(parse(size), Err(FrameError::TooSmall(size)));
        }
        for size in [104_857_601, i32::MAX] {
            assert_eq!(parse(size), Err(FrameError::TooLarge { size, limit }));
        }
    }

    #[test]
    fn strangers_are_recognised_by_their_first_bytes() {
        assert_eq!(opening(*b"PRI "), Opening::Http2);
        assert_eq!(opening(*b"GET "), Opening::Http1);
        assert_eq!(opening([22, 3, 1, 2]), Opening::Tls);
        assert_eq!(opening(100_i32.to_be_bytes()), Opening::Kafka);
    }

    #[test]
    fn a_chain_is_one_frame() {
        let frame = ResponseFrame::from_chain(vec![
            Bytes::from_static(b"ab"),
            Bytes::new(),
            Bytes::from_static(b"c"),
        ]);
        assert_eq!(frame.size_bytes(), 7);
        assert_eq!(&frame.to_bytes()[..], b"\0\0\0\x03abc");
        assert_eq!(frame.into_parts().len(), 3);
    }
}

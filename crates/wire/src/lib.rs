//! Kafka bytes to typed requests and typed responses to Kafka bytes: the only crate that names kafka-protocol.
//!
//! Pure: bytes in, bytes out. What is read here comes from strangers, so every length is checked before it is
//! believed, and no request makes the decoder allocate more than four times its frame plus 64 KiB.

pub mod client;
mod error;
pub mod fetch;
mod frame;
mod header;
mod log_dirs;
mod node_endpoint;
pub mod offset_fetch;
pub mod produce;
mod quirk;
mod reader;
mod request;
mod schema;
pub mod split;
mod versions;
mod writer;

#[cfg(test)]
mod tests;

pub use error::{DecodeError, EncodeError};
pub use frame::{
    FRAME_BYTES_MIN, FrameError, LENGTH_BYTES, Opening, ResponseFrame, opening, request_frame_bytes,
};
pub use header::{HeaderStart, RequestHeader};
pub use node_endpoint::NodeEndpoint;
pub use request::{Request, encode_unsupported_api_versions};
pub use versions::ApiKey;

/// The message structs of the library, for handlers.
pub use kafka_protocol::messages;
/// Text in a message: a slice of the frame that it came in.
pub use kafka_protocol::protocol::StrBytes;
/// The library's 128-bit ids; see [`topic_id`] and [`uuid()`].
pub type WireUuid = uuid::Uuid;

fn text(bytes: bytes::Bytes, field: &'static str) -> Result<StrBytes, DecodeError> {
    StrBytes::from_utf8(bytes).map_err(|_| DecodeError::Utf8 { field })
}

/// A topic id as the messages carry it.
#[must_use]
pub fn uuid(id: milena_types::TopicId) -> WireUuid {
    WireUuid::from_bytes(id.0.0)
}

/// A topic id out of a message.
#[must_use]
pub fn topic_id(id: WireUuid) -> milena_types::TopicId {
    milena_types::TopicId(milena_types::Uuid(*id.as_bytes()))
}

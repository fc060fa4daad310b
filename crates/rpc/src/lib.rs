//! gRPC between nodes: the generated code of `proto/`, and its conversions from and to the domain types.
//!
//! Messages that arrive are data from outside: every conversion into a domain type validates and returns
//! [`ConvertError`], none panics. Conversions out of domain types cannot fail.
//!
//! [`encode_batch`] and [`encode_image`] are the versioned encoding of metadata on disk and on the wire.

pub mod channel;
pub mod convert;
pub mod dial;
mod encoding;
mod not_leader;
mod pieces;
pub mod proto;

pub use convert::ConvertError;
pub use encoding::{
    BATCH_FORMAT, EncodingError, IMAGE_FORMAT, decode_batch, decode_image, encode_batch, encode_image,
    record_bytes,
};
pub use not_leader::NotLeader;
pub use pieces::{IMAGE_BYTES_MAX, ImageAssembly, PIECE_BYTES, Pieces};

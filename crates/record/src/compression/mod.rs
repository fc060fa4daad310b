//! The codecs of record batches, with a bound on what they may produce.
//!
//! No function here allocates more than a small factor of `limit` or of its input, whatever the input claims.

mod codec;
mod gzip;
mod lz4;
mod snappy;
mod zstd;

pub(crate) use codec::body;
pub use codec::{compress, decompress};
use codec::{failed, read_bounded};

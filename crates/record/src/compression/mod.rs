//! The codecs of record batches, with bounds on what they may produce and on what they take to do so.
//!
//! No claim in a body is believed before it was compared with the bytes that are there. [`decompress`] takes a small
//! factor of what it returns. Walking records ([`crate::walk_records`], [`crate::validate_records`]) keeps nothing; beside a
//! buffer of 16 KiB it takes, whatever the body is:
//!
//! | codec | takes at most |
//! |---|---|
//! | gzip | its window and tables (some 50 KiB), and the names in a member's header, as long as they are there |
//! | snappy | the largest block: 32 KiB as Java writes it; a raw body is one block, at most 22 times its input, and the limit |
//! | lz4 | two buffers of the block size of the format (64 KiB, 256 KiB, 1 MiB or 4 MiB) into which the largest block fits |
//! | zstd | its tables (some 160 KiB) and the window that the frame names, of which only what was decompressed is touched: 2 MiB at Kafka's default level, 128 MiB at most |

mod codec;
mod gzip;
mod lz4;
mod lz4_fit;
mod lz4_frame;
mod lz4_high;
mod snappy;
mod stream;
mod zstd;

pub(crate) use codec::body;
pub use codec::{compress, decompress};
use codec::{failed, reader};
pub(crate) use stream::Stream;

//! Record batches (magic 2) as bytes: the only crate that knows their layout.
//!
//! The hot path never decodes records: it reads the 61-byte [`BatchHeader`], checks the CRC ([`check_crc`]) and writes
//! base offset and leader epoch in place ([`stamp()`]). Everything that reads records ([`records`], [`validate_records`],
//! [`walk_records`]) decompresses at most the number of bytes that the caller allows; the walks keep none of them.
//!
//! Pure: bytes in, bytes out; no clock, no IO, no panic on any input.
//!
//! Source: `clients/src/main/java/org/apache/kafka/common/record/DefaultRecordBatch.java`, KIP-98.

mod attributes;
mod batches;
mod builder;
pub mod compression;
pub mod control;
mod error;
mod header;
mod iter;
mod rebuild;
mod source;
mod stamp;
mod unpacked;
mod validate;
pub mod varint;
mod view;

pub use attributes::{Attributes, Compression, TimestampType};
pub use batches::{Batches, batches, check_crc, crc_is_valid, crc32c};
pub use builder::BatchBuilder;
pub use compression::{compress, decompress};
pub use error::BatchError;
pub use header::{BATCH_OVERHEAD, BatchHeader, HEADER_BYTES, MAGIC, increment_sequence};
pub use iter::{Record, Records, record_iter, records};
pub use rebuild::{rebuild_batch, rebuild_empty_batch};
pub use stamp::{stamp, stamp_log_append_time, stamp_max_timestamp};
pub use unpacked::{RecordViews, Unpacked, unpack};
pub use validate::{RecordStats, validate_records, walk_records};
pub use view::RecordView;

//! Zstandard; windows up to the library's default of 128 MiB are accepted.

use super::{failed, read_bounded};
use crate::BatchError;
use zstd::stream::read::Decoder;

pub(super) fn compress(level: Option<i32>, bytes: &[u8]) -> Result<Vec<u8>, BatchError> {
    // 0 is the library's default (3), as in Kafka.
    zstd::bulk::compress(bytes, level.unwrap_or(0)).map_err(failed)
}

pub(super) fn decompress(bytes: &[u8], limit: usize) -> Result<Vec<u8>, BatchError> {
    if bytes.is_empty() {
        return Err(failed("no frame"));
    }
    let decoder = Decoder::with_buffer(bytes).map_err(failed)?;
    read_bounded(decoder, bytes.len(), limit)
}

//! gzip, several members in a row allowed, as `GZIPInputStream` does.

use super::failed;
use crate::BatchError;
use flate2::Compression;
use flate2::bufread::MultiGzDecoder;
use flate2::write::GzEncoder;
use std::io::Write;

pub(super) fn compress(level: Option<i32>, bytes: &[u8]) -> Result<Vec<u8>, BatchError> {
    // Kafka's range is 1 to 9; -1 is the default.
    let level = level
        .and_then(|l| u32::try_from(l).ok())
        .map_or(Compression::default(), |l| Compression::new(l.min(9)));
    let mut encoder = GzEncoder::new(Vec::with_capacity(bytes.len() / 2), level);
    encoder.write_all(bytes).map_err(failed)?;
    encoder.finish().map_err(failed)
}

/// Without a buffer of its own: the input is in memory.
pub(super) fn reader(bytes: &[u8]) -> MultiGzDecoder<&[u8]> {
    MultiGzDecoder::new(bytes)
}

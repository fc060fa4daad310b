//! The choice of a codec, and what all of them share.

use super::{gzip, lz4, snappy, zstd};
use crate::{BatchError, Compression, HEADER_BYTES};
use std::io::Read;

/// Compresses `bytes`; without `level` at the codec's default.
///
/// # Errors
/// `Decompress` carries the codec's text; only Zstandard can fail, on a level that it does not know.
pub fn compress(codec: Compression, level: Option<i32>, bytes: &[u8]) -> Result<Vec<u8>, BatchError> {
    match codec {
        Compression::None => Ok(bytes.to_vec()),
        Compression::Gzip => gzip::compress(level, bytes),
        Compression::Snappy => snappy::compress(bytes),
        Compression::Lz4 => lz4::compress(level, bytes),
        Compression::Zstd => zstd::compress(level, bytes),
    }
}

/// Decompresses `bytes` to at most `limit` bytes.
///
/// # Errors
/// `TooLarge` beyond the limit, `Decompress` for bytes that are not of this codec.
pub fn decompress(codec: Compression, bytes: &[u8], limit: usize) -> Result<Vec<u8>, BatchError> {
    if codec == Compression::None {
        return match bytes.len() {
            length if length > limit => Err(BatchError::TooLarge { limit }),
            _ => Ok(bytes.to_vec()),
        };
    }
    read_bounded(reader(codec, bytes, limit)?, bytes.len(), limit)
}

/// Decompresses `bytes` piece by piece. It may give more than `limit` bytes: the caller counts; but needs no memory for
/// them at once.
pub(super) fn reader(
    codec: Compression,
    bytes: &[u8],
    limit: usize,
) -> Result<Box<dyn Read + '_>, BatchError> {
    if bytes.is_empty() && matches!(codec, Compression::Lz4 | Compression::Zstd) {
        return Err(failed("no frame"));
    }
    Ok(match codec {
        Compression::None => Box::new(bytes),
        Compression::Gzip => Box::new(gzip::reader(bytes)),
        Compression::Snappy => Box::new(snappy::reader(bytes, limit)?),
        Compression::Lz4 => Box::new(lz4::reader(bytes)?),
        Compression::Zstd => Box::new(zstd::reader(bytes)?),
    })
}

/// The records of a batch, as they are after the header.
pub(crate) fn body(batch: &[u8]) -> &[u8] {
    batch.get(HEADER_BYTES..).unwrap_or_default()
}

/// What a decoder's error is: one of ours that it carries, or its text.
pub(super) fn from_io(error: std::io::Error) -> BatchError {
    error.downcast::<BatchError>().unwrap_or_else(failed)
}

pub(super) fn failed(error: impl std::fmt::Display) -> BatchError {
    BatchError::Decompress(error.to_string())
}

/// Reads a decoder to its end, or to one byte past the limit.
fn read_bounded(decoder: impl Read, input_bytes: usize, limit: usize) -> Result<Vec<u8>, BatchError> {
    let allowed = limit.saturating_add(1);
    let mut out = Vec::with_capacity(input_bytes.saturating_mul(4).min(allowed));
    let mut bounded = decoder.take(u64::try_from(allowed).unwrap_or(u64::MAX));
    bounded.read_to_end(&mut out).map_err(from_io)?;
    if out.len() > limit {
        return Err(BatchError::TooLarge { limit });
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn bombs_stop_at_the_limit() {
        let zeroes = vec![0u8; 8 << 20];
        for codec in Compression::ALL {
            let packed = compress(codec, None, &zeroes).unwrap();
            assert_eq!(
                decompress(codec, &packed, zeroes.len()).unwrap().len(),
                zeroes.len(),
                "{codec:?}"
            );
            let limit = 1 << 20;
            assert_eq!(
                decompress(codec, &packed, limit),
                Err(BatchError::TooLarge { limit }),
                "{codec:?}"
            );
            let limit = zeroes.len() - 1;
            assert_eq!(
                decompress(codec, &packed, limit),
                Err(BatchError::TooLarge { limit }),
                "{codec:?}"
            );
        }
    }

    #[test]
    fn cut_bytes_do_not_decompress() {
        let text = b"some text that is long enough to be compressed, compressed, compressed".repeat(50);
        for codec in [
            Compression::Gzip,
            Compression::Snappy,
            Compression::Lz4,
            Compression::Zstd,
        ] {
            let packed = compress(codec, None, &text).unwrap();
            let cut = &packed[..packed.len() - packed.len() / 4];
            assert!(decompress(codec, cut, 1 << 20).is_err(), "{codec:?}");
        }
    }

    proptest! {
        #[test]
        fn every_codec_gives_back_what_it_took(bytes in proptest::collection::vec(0u8..4, 0..200_000)) {
            for codec in Compression::ALL {
                let packed = compress(codec, None, &bytes).unwrap();
                prop_assert_eq!(&decompress(codec, &packed, bytes.len()).unwrap(), &bytes);
            }
        }

        #[test]
        fn garbage_never_panics_or_passes_the_limit(bytes in proptest::collection::vec(any::<u8>(), 0..2_000)) {
            for codec in Compression::ALL {
                if let Ok(out) = decompress(codec, &bytes, 4_096) {
                    prop_assert!(out.len() <= 4_096);
                }
            }
        }
    }
}

//! Snappy in the framing of xerial's snappy-java, and raw.
//!
//! ```text
//! 0x82 "SNAPPY" 0x00 | version i32 | compatible version i32 | then chunks: length i32, raw snappy block
//! ```
//!
//! Java producers write the framing, librdkafka writes one raw block; a body without the magic is raw.

use super::failed;
use crate::BatchError;

const MAGIC: [u8; 8] = [0x82, b'S', b'N', b'A', b'P', b'P', b'Y', 0];
const VERSION: [u8; 4] = 1i32.to_be_bytes();
/// What snappy-java compresses at a time.
const BLOCK_BYTES: usize = 32 * 1024;
/// No element of the format expands further: a copy of 64 bytes takes 3.
const RATIO_MAX: usize = 22;

pub(super) fn compress(bytes: &[u8]) -> Result<Vec<u8>, BatchError> {
    let mut out = Vec::with_capacity(bytes.len() / 2 + 16);
    out.extend_from_slice(&MAGIC);
    out.extend_from_slice(&VERSION);
    out.extend_from_slice(&VERSION);
    let mut encoder = snap::raw::Encoder::new();
    for block in bytes.chunks(BLOCK_BYTES) {
        let packed = encoder.compress_vec(block).map_err(failed)?;
        let length = i32::try_from(packed.len()).map_err(failed)?;
        out.extend_from_slice(&length.to_be_bytes());
        out.extend_from_slice(&packed);
    }
    Ok(out)
}

pub(super) fn decompress(bytes: &[u8], limit: usize) -> Result<Vec<u8>, BatchError> {
    let mut out = Vec::new();
    let Some(framed) = bytes.strip_prefix(&MAGIC) else {
        block(bytes, limit, &mut out)?;
        return Ok(out);
    };
    // Both versions are skipped: there has only been 1.
    let mut rest = framed.get(8..).ok_or_else(|| failed("snappy header is cut"))?;
    while !rest.is_empty() {
        let (length, after) = rest
            .split_first_chunk::<4>()
            .ok_or_else(|| failed("snappy chunk is cut"))?;
        let length = usize::try_from(i32::from_be_bytes(*length)).map_err(failed)?;
        let (packed, after) = after
            .split_at_checked(length)
            .ok_or_else(|| failed("snappy chunk is longer than the batch"))?;
        block(packed, limit, &mut out)?;
        rest = after;
    }
    Ok(out)
}

/// Decompresses one raw block to the end of `out`.
fn block(packed: &[u8], limit: usize, out: &mut Vec<u8>) -> Result<(), BatchError> {
    let length = snap::raw::decompress_len(packed).map_err(failed)?;
    if length > packed.len().saturating_mul(RATIO_MAX) {
        return Err(failed("snappy block claims a length that it cannot have"));
    }
    let at = out.len();
    if length > limit.saturating_sub(at) {
        return Err(BatchError::TooLarge { limit });
    }
    out.resize(at + length, 0);
    let written = snap::raw::Decoder::new()
        .decompress(packed, &mut out[at..])
        .map_err(failed)?;
    out.truncate(at + written);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn raw_blocks_are_read_too() {
        let text = b"raw snappy, as librdkafka writes it".repeat(100);
        let raw = snap::raw::Encoder::new().compress_vec(&text).unwrap();
        assert_eq!(decompress(&raw, 1 << 20), Ok(text.clone()));
        assert_eq!(
            decompress(&raw, text.len() - 1),
            Err(BatchError::TooLarge {
                limit: text.len() - 1
            })
        );
    }

    #[test]
    fn claimed_lengths_are_not_believed() {
        // A raw block that claims 64 MiB and has 4 bytes; CVE-2023-34455: a chunk of -1 or of 2 GiB.
        let mut claims = vec![0x80, 0x80, 0x80, 0x20, 0, 0, 0, 0];
        assert!(matches!(
            decompress(&claims, usize::MAX),
            Err(BatchError::Decompress(_))
        ));
        for length in [-1i32, i32::MAX, 5] {
            claims = [&MAGIC[..], &VERSION, &VERSION, &length.to_be_bytes(), &[1, 2, 3]].concat();
            assert!(
                matches!(decompress(&claims, usize::MAX), Err(BatchError::Decompress(_))),
                "{length}"
            );
        }
        assert!(decompress(&MAGIC, 100).is_err());
        assert!(decompress(&[], 100).is_err());
    }
}

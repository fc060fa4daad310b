//! Snappy in the framing of xerial's snappy-java, and raw.
//!
//! ```text
//! 0x82 "SNAPPY" 0x00 | version i32 | compatible version i32 | then chunks: length i32, raw snappy block
//! ```
//!
//! Java producers write the framing, librdkafka writes one raw block; a body without the magic is raw.

use super::failed;
use crate::BatchError;
use std::io::{self, Read};

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

pub(super) fn reader(bytes: &[u8], limit: usize) -> Result<Blocks<'_>, BatchError> {
    let Some(framed) = bytes.strip_prefix(&MAGIC) else {
        return Ok(Blocks::new(bytes, false, limit));
    };
    // Both versions are skipped: there has only been 1.
    let chunks = framed.get(8..).ok_or_else(|| failed("snappy header is cut"))?;
    Ok(Blocks::new(chunks, true, limit))
}

/// Decompresses block by block.
///
/// A block comes out as a whole: the format lets it refer to anything before in it, and the codec decodes no other way. So
/// a raw body, which is one block, is held uncompressed: at most [`RATIO_MAX`] times its input, and the limit.
#[derive(Debug)]
pub(super) struct Blocks<'a> {
    rest: &'a [u8],
    framed: bool,
    /// Everything has been decompressed.
    ended: bool,
    limit: usize,
    /// Bytes in all blocks so far.
    total: usize,
    /// The current block, and what of it has been read; the buffer keeps the size of the largest one.
    block: Vec<u8>,
    filled: usize,
    at: usize,
}

impl<'a> Blocks<'a> {
    fn new(rest: &'a [u8], framed: bool, limit: usize) -> Self {
        Self {
            rest,
            framed,
            ended: framed && rest.is_empty(),
            limit,
            total: 0,
            block: Vec::new(),
            filled: 0,
            at: 0,
        }
    }

    /// The next block, compressed.
    fn next_packed(&mut self) -> Result<&'a [u8], BatchError> {
        if !self.framed {
            self.ended = true;
            return Ok(std::mem::take(&mut self.rest));
        }
        let (length, after) = self
            .rest
            .split_first_chunk::<4>()
            .ok_or_else(|| failed("snappy chunk is cut"))?;
        let length = usize::try_from(i32::from_be_bytes(*length)).map_err(failed)?;
        let (packed, after) = after
            .split_at_checked(length)
            .ok_or_else(|| failed("snappy chunk is longer than the batch"))?;
        self.rest = after;
        self.ended = after.is_empty();
        Ok(packed)
    }

    /// Replaces the block by the next one.
    fn next_block(&mut self) -> Result<(), BatchError> {
        let packed = self.next_packed()?;
        let length = snap::raw::decompress_len(packed).map_err(failed)?;
        if length > packed.len().saturating_mul(RATIO_MAX) {
            return Err(failed("snappy block claims a length that it cannot have"));
        }
        if length > self.limit.saturating_sub(self.total) {
            return Err(BatchError::TooLarge { limit: self.limit });
        }
        if length > self.block.len() {
            // The old one goes first.
            self.block = Vec::new();
            self.block.resize(length, 0);
        }
        self.at = 0;
        self.filled = snap::raw::Decoder::new()
            .decompress(packed, &mut self.block[..length])
            .map_err(failed)?;
        self.total += self.filled;
        Ok(())
    }
}

impl Read for Blocks<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.at == self.filled && !self.ended {
            self.next_block().map_err(io::Error::other)?;
        }
        let taken = buffer.len().min(self.filled - self.at);
        buffer[..taken].copy_from_slice(&self.block[self.at..self.at + taken]);
        self.at += taken;
        Ok(taken)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Compression;

    fn decompress(bytes: &[u8], limit: usize) -> Result<Vec<u8>, BatchError> {
        crate::decompress(Compression::Snappy, bytes, limit)
    }

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

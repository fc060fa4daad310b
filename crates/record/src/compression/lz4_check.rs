//! Which LZ4 frames are accepted: those that every client reads.
//!
//! One frame of independent blocks, with its end mark and nothing behind it. Java refuses dependent blocks and frames that
//! end early, librdkafka whatever follows the frame; the decoder here would take all three. Nothing is decompressed.
//! Source: `Lz4BlockInputStream.java`, `lz4_Frame_format.md`.

use super::failed;
use crate::BatchError;

const MAGIC: [u8; 4] = 0x184D_2204_u32.to_le_bytes();
const VERSION_BITS: u8 = 0xC0;
const VERSION: u8 = 0x40;
const INDEPENDENT_BLOCKS: u8 = 0x20;
const BLOCK_CHECKSUMS: u8 = 0x10;
const CONTENT_SIZE: u8 = 0x08;
const CONTENT_CHECKSUM: u8 = 0x04;
const RESERVED_OR_DICTIONARY: u8 = 0x03;
const STORED: u32 = 1 << 31;

/// Walks the frame's structure.
///
/// # Errors
/// [`BatchError::Decompress`].
pub(super) fn check(frame: &[u8]) -> Result<(), BatchError> {
    walk(frame).map_err(failed)
}

fn walk(frame: &[u8]) -> Result<(), &'static str> {
    const SHORT: &str = "the LZ4 frame is cut off";
    let rest = frame.strip_prefix(&MAGIC).ok_or("not an LZ4 frame")?;
    let flags = *rest.first().ok_or(SHORT)?;
    if flags & VERSION_BITS != VERSION || flags & RESERVED_OR_DICTIONARY != 0 {
        return Err("the LZ4 frame is of a kind that Kafka does not use");
    }
    if flags & INDEPENDENT_BLOCKS == 0 {
        return Err("the blocks of the LZ4 frame depend on each other");
    }
    let checksum = |flag: u8| if flags & flag != 0 { 4 } else { 0 };
    // Flags, block size and header checksum, and between them perhaps the size of the content.
    let descriptor = 3 + 2 * checksum(CONTENT_SIZE);
    let mut blocks = rest.get(descriptor..).ok_or(SHORT)?;
    loop {
        let (word, rest) = blocks.split_first_chunk::<4>().ok_or(SHORT)?;
        let word = u32::from_le_bytes(*word);
        if word == 0 {
            let behind = rest.get(checksum(CONTENT_CHECKSUM)..).ok_or(SHORT)?;
            return if behind.is_empty() {
                Ok(())
            } else {
                Err("bytes follow the LZ4 frame")
            };
        }
        let length = usize::try_from(word & !STORED).map_err(|_| SHORT)?;
        blocks = rest.get(length..).ok_or(SHORT)?;
        blocks = blocks.get(checksum(BLOCK_CHECKSUMS)..).ok_or(SHORT)?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lz4_flex::frame::{BlockMode, FrameEncoder, FrameInfo};
    use std::io::Write;

    fn frame(mode: BlockMode, bits: u8, content: &[u8]) -> Vec<u8> {
        let info = FrameInfo::new()
            .block_mode(mode)
            .block_checksums(bits & 1 != 0)
            .content_checksum(bits & 2 != 0)
            .content_size((bits & 4 != 0).then_some(content.len() as u64));
        let mut encoder = FrameEncoder::with_frame_info(info, Vec::new());
        encoder.write_all(content).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn whole_frames_of_independent_blocks_are_good_and_nothing_else() {
        let content: Vec<u8> = (0..200_000u32).map(|n| n.to_le_bytes()[n as usize % 2]).collect();
        for bits in 0..8 {
            let good = frame(BlockMode::Independent, bits, &content);
            assert_eq!(walk(&good), Ok(()), "{bits}");
            for cut in [1, 2, 4, 5, 8, 9, good.len() / 2, good.len() - 5, good.len()] {
                assert!(
                    walk(&good[..good.len() - cut]).is_err(),
                    "{bits}: {cut} bytes less"
                );
            }
            let two = [&good[..], &good[..]].concat();
            assert_eq!(walk(&two), Err("bytes follow the LZ4 frame"));
            assert_eq!(
                walk(&[&good[..], b"x"].concat()),
                Err("bytes follow the LZ4 frame")
            );
            assert!(
                walk(&frame(BlockMode::Linked, bits, &content))
                    .unwrap_err()
                    .contains("depend")
            );
        }
        assert!(walk(b"").is_err());
    }

    #[test]
    fn what_the_encoder_here_writes_is_good() {
        for content in [&b""[..], b"x", &[7; 100_000]] {
            let written = crate::compress(crate::Compression::Lz4, None, content).unwrap();
            assert_eq!(walk(&written), Ok(()));
        }
    }
}

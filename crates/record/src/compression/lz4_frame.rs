//! The structure of an LZ4 frame, and which frames are accepted: those that every client reads.
//!
//! ```text
//! magic u32 | flags u8 | block size u8 | content size u64, if flagged | header checksum u8
//! then blocks: length u32, top bit set when stored | bytes | checksum u32, if flagged
//! then the end mark, 0 u32 | checksum u32 of the content, if flagged
//! ```
//!
//! One frame of independent blocks, with its end mark and nothing behind it. Java refuses dependent blocks and frames that
//! end early, librdkafka whatever follows the frame; the decoder here would take all three. Nothing is decompressed.
//! Source: `Lz4BlockInputStream.java`, `lz4_Frame_format.md`.

const MAGIC: [u8; 4] = 0x184D_2204_u32.to_le_bytes();
const VERSION_BITS: u8 = 0xC0;
const VERSION: u8 = 0x40;
const INDEPENDENT_BLOCKS: u8 = 0x20;
const BLOCK_CHECKSUMS: u8 = 0x10;
const CONTENT_SIZE: u8 = 0x08;
const CONTENT_CHECKSUM: u8 = 0x04;
const RESERVED_OR_DICTIONARY: u8 = 0x03;
const STORED: u32 = 1 << 31;

const SHORT: &str = "the LZ4 frame is cut off";

/// A frame whose structure is sound; what its blocks and checksums hold is the decoder's business.
pub(super) struct Frame<'a> {
    /// From the magic to the header checksum.
    pub(super) header: &'a [u8],
    /// The first block and all that follows.
    rest: &'a [u8],
    block_checksum: usize,
}

/// One block, still compressed unless it is stored.
pub(super) struct Block<'a> {
    pub(super) bytes: &'a [u8],
    pub(super) is_stored: bool,
}

impl<'a> Frame<'a> {
    /// The blocks in order.
    pub(super) fn blocks(&self) -> impl Iterator<Item = Block<'a>> + use<'a> {
        let (mut rest, checksum) = (self.rest, self.block_checksum);
        // `parse` has walked them once, so none can fail here.
        std::iter::from_fn(move || next_block(&mut rest, checksum).ok().flatten())
    }
}

/// Reads a frame; the error says why it is not accepted.
pub(super) fn parse(bytes: &[u8]) -> Result<Frame<'_>, &'static str> {
    let after_magic = bytes.strip_prefix(&MAGIC).ok_or("not an LZ4 frame")?;
    let flags = *after_magic.first().ok_or(SHORT)?;
    if flags & VERSION_BITS != VERSION || flags & RESERVED_OR_DICTIONARY != 0 {
        return Err("the LZ4 frame is of a kind that Kafka does not use");
    }
    if flags & INDEPENDENT_BLOCKS == 0 {
        return Err("the blocks of the LZ4 frame depend on each other");
    }
    let flagged = |flag: u8, bytes: usize| if flags & flag != 0 { bytes } else { 0 };
    let header_bytes = MAGIC.len() + 3 + flagged(CONTENT_SIZE, 8);
    let (header, rest) = bytes.split_at_checked(header_bytes).ok_or(SHORT)?;
    let block_checksum = flagged(BLOCK_CHECKSUMS, 4);
    let mut behind = rest;
    while next_block(&mut behind, block_checksum)?.is_some() {}
    match behind.get(flagged(CONTENT_CHECKSUM, 4)..) {
        Some([]) => Ok(Frame {
            header,
            rest,
            block_checksum,
        }),
        Some(_) => Err("bytes follow the LZ4 frame"),
        None => Err(SHORT),
    }
}

/// Takes the block at the front; `None` at the end mark, which is taken, too.
fn next_block<'a>(rest: &mut &'a [u8], checksum: usize) -> Result<Option<Block<'a>>, &'static str> {
    let (word, after) = rest.split_first_chunk::<4>().ok_or(SHORT)?;
    let word = u32::from_le_bytes(*word);
    if word == 0 {
        *rest = after;
        return Ok(None);
    }
    let length = usize::try_from(word & !STORED).map_err(|_| SHORT)?;
    let (bytes, after) = after.split_at_checked(length).ok_or(SHORT)?;
    *rest = after.get(checksum..).ok_or(SHORT)?;
    Ok(Some(Block {
        bytes,
        is_stored: word & STORED != 0,
    }))
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
            assert!(parse(&good).is_ok(), "{bits}");
            for cut in [1, 2, 4, 5, 8, 9, good.len() / 2, good.len() - 5, good.len()] {
                assert!(
                    parse(&good[..good.len() - cut]).is_err(),
                    "{bits}: {cut} bytes less"
                );
            }
            let two = [&good[..], &good[..]].concat();
            assert_eq!(parse(&two).err(), Some("bytes follow the LZ4 frame"));
            assert_eq!(
                parse(&[&good[..], b"x"].concat()).err(),
                Some("bytes follow the LZ4 frame")
            );
            let linked = frame(BlockMode::Linked, bits, &content);
            assert!(parse(&linked).err().is_some_and(|why| why.contains("depend")));
        }
        assert!(parse(b"").is_err());
    }

    #[test]
    fn what_the_encoder_here_writes_is_good() {
        for content in [&b""[..], b"x", &[7; 100_000]] {
            let written = crate::compress(crate::Compression::Lz4, None, content).unwrap();
            assert!(parse(&written).is_ok());
        }
    }
}

//! The block size that an LZ4 frame names, brought down to what its blocks really take.
//!
//! Go's encoder names 4 MiB in front of any batch, and a decoder keeps and clears two buffers of that size. So the lengths
//! in the blocks are added up first, without decompressing anything, and the decoder gets the smallest size of the format
//! into which the largest block fits. Whatever looks odd here stays as it is: it is the decoder that judges.
//!
//! Source: `lz4_Frame_format.md`, `lz4_Block_format.md`.

use super::lz4_frame::Frame;

/// Ids of block sizes: 4 is 64 KiB, each further one four times as much, up to 7.
const SIZE_IDS: std::ops::RangeInclusive<u8> = 4..=7;

/// The header to read instead of that of `frame`, equally long; `None` when it is good as it is.
pub(super) fn fitted_header(frame: &Frame<'_>) -> Option<Vec<u8>> {
    let checksum_at = frame.header.len() - 1;
    let id = frame.header[5] >> 4;
    // Nothing is smaller than 64 KiB, which Java writes.
    let may_shrink = SIZE_IDS.contains(&id) && id > *SIZE_IDS.start();
    if !may_shrink || frame.header[checksum_at] != checksum(&frame.header[4..checksum_at]) {
        return None;
    }
    let largest = largest_block(frame, id)?;
    let fitting = SIZE_IDS.into_iter().find(|id| largest <= size_of(*id))?;
    if fitting >= id {
        return None;
    }
    let mut header = frame.header.to_vec();
    header[5] = fitting << 4;
    header[checksum_at] = checksum(&header[4..checksum_at]);
    Some(header)
}

fn size_of(id: u8) -> usize {
    (64 << 10) << (2 * (id - SIZE_IDS.start()))
}

/// Bytes of the largest block, compressed or not; `None` when a smaller size than `id` will not do.
fn largest_block(frame: &Frame<'_>, id: u8) -> Option<usize> {
    let mut largest = 0;
    for block in frame.blocks() {
        let unpacked = match block.is_stored {
            true => block.bytes.len(),
            false => unpacked_bytes(block.bytes)?,
        };
        largest = largest.max(block.bytes.len()).max(unpacked);
        if largest.saturating_mul(4) > size_of(id) {
            return None;
        }
    }
    Some(largest)
}

/// The length of a block's content: literals and copies are added up.
fn unpacked_bytes(mut block: &[u8]) -> Option<usize> {
    let mut total = 0usize;
    loop {
        let (token, rest) = block.split_first()?;
        block = rest;
        let literals = run_length(usize::from(token >> 4), &mut block)?;
        total = total.checked_add(literals)?;
        block = block.get(literals..)?;
        if block.is_empty() {
            return Some(total);
        }
        block = block.get(2..)?;
        let copied = run_length(usize::from(token & 15), &mut block)?;
        total = total.checked_add(copied)?.checked_add(4)?;
    }
}

/// A length that goes on behind the token when its four bits are full.
fn run_length(bits: usize, block: &mut &[u8]) -> Option<usize> {
    let mut length = bits;
    let mut more = bits == 15;
    while more {
        let (byte, rest) = block.split_first()?;
        *block = rest;
        length = length.checked_add(usize::from(*byte))?;
        more = *byte == 255;
    }
    Some(length)
}

/// The checksum of a frame's descriptor: the second byte of its xxHash32. For fewer than 16 bytes, as all are.
fn checksum(descriptor: &[u8]) -> u8 {
    const PRIMES: [u32; 5] = [0x9E37_79B1, 0x85EB_CA77, 0xC2B2_AE3D, 0x27D4_EB2F, 0x1656_67B1];
    let length = u32::try_from(descriptor.len()).unwrap_or(u32::MAX);
    let mut hash = PRIMES[4].wrapping_add(length);
    let (words, bytes) = descriptor.as_chunks::<4>();
    for word in words {
        hash = hash.wrapping_add(u32::from_le_bytes(*word).wrapping_mul(PRIMES[2]));
        hash = hash.rotate_left(17).wrapping_mul(PRIMES[3]);
    }
    for byte in bytes {
        hash = hash.wrapping_add(u32::from(*byte).wrapping_mul(PRIMES[4]));
        hash = hash.rotate_left(11).wrapping_mul(PRIMES[0]);
    }
    hash = (hash ^ hash >> 15).wrapping_mul(PRIMES[1]);
    hash = (hash ^ hash >> 13).wrapping_mul(PRIMES[2]);
    hash ^= hash >> 16;
    hash.to_le_bytes()[1]
}

#[cfg(test)]
mod tests {
    use super::super::lz4_frame::parse;
    use super::*;
    use lz4_flex::frame::{BlockMode, BlockSize, FrameEncoder, FrameInfo};
    use proptest::prelude::*;
    use std::io::Write;

    fn frame(info: FrameInfo, content: &[u8]) -> Vec<u8> {
        let mut encoder = FrameEncoder::with_frame_info(info, Vec::new());
        encoder.write_all(content).unwrap();
        encoder.finish().unwrap()
    }

    fn read(frame: &[u8]) -> Result<Vec<u8>, crate::BatchError> {
        crate::decompress(crate::Compression::Lz4, frame, 32 << 20)
    }

    fn header_of(frame: &[u8]) -> Option<Vec<u8>> {
        fitted_header(&parse(frame).ok()?)
    }

    /// The size that is read instead of 4 MiB.
    fn fitted(content: &[u8]) -> Option<u8> {
        let frame = frame(FrameInfo::new().block_size(BlockSize::Max4MB), content);
        assert_eq!(read(&frame).as_deref(), Ok(content));
        header_of(&frame).map(|header| header[5] >> 4)
    }

    #[test]
    fn the_smallest_size_that_fits_is_read() {
        for (bytes, id) in [
            (1, Some(4)),
            (65_536, Some(4)),
            (65_537, Some(5)),
            (1 << 18, Some(5)),
            ((1 << 18) + 1, Some(6)),
            (1 << 20, Some(6)),
            ((1 << 20) + 1, None),
            (9 << 20, None),
        ] {
            assert_eq!(fitted(&vec![b'x'; bytes]), id, "{bytes}");
        }
    }

    #[test]
    fn a_damaged_header_is_not_mended() {
        let good = frame(FrameInfo::new().block_size(BlockSize::Max4MB), b"some text");
        for at in 4..7 {
            let mut bad = good.clone();
            bad[at] ^= 0x10;
            assert_eq!(header_of(&bad), None, "{at}");
            assert!(read(&bad).is_err(), "{at}");
        }
    }

    proptest! {
        #[test]
        fn every_kind_of_frame_reads_the_same(
            content in proptest::collection::vec(0u8..3, 0..300_000), size in 4usize..8, bits in 0u8..16,
        ) {
            let sizes = [BlockSize::Max64KB, BlockSize::Max256KB, BlockSize::Max1MB, BlockSize::Max4MB];
            let info = FrameInfo::new()
                .block_size(sizes[size - 4])
                .block_mode(BlockMode::Independent)
                .block_checksums(bits & 2 != 0)
                .content_checksum(bits & 4 != 0)
                .content_size((bits & 8 != 0).then_some(content.len() as u64));
            let frame = frame(info, &content);
            prop_assert_eq!(read(&frame).unwrap(), content);
            prop_assert!(read(&frame[..frame.len() / 2]).is_err());
        }

        #[test]
        fn garbage_is_survived(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = unpacked_bytes(&bytes);
            let _ = parse(&bytes);
        }
    }
}

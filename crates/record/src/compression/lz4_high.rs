//! LZ4 at a level: slower than the fast encoder, and smaller. What `compression.lz4.level` asks for.
//!
//! A frame of independent 64 KiB blocks, as Java's producer makes them. A block is searched through chains of earlier places
//! with the same first four bytes, as deep as the level says, and a match waits for a longer one that begins a byte later.
//! Level n looks at 2^(n-1) places, at 2048 from level 12 on, where lz4's own levels end. Source: the LZ4 block format, `lz4hc.c`.

/// Magic number; version 1, independent blocks; at most 64 KiB each; checksum of the two bytes before.
const FRAME_HEADER: [u8; 7] = [0x04, 0x22, 0x4d, 0x18, 0x60, 0x40, 0x82];
const BLOCK_BYTES: usize = 64 << 10;
const MATCH_MIN: usize = 4;
/// A block ends with this many literals at least.
const LITERALS_LAST: usize = 5;
/// No match begins in this many last bytes of a block.
const TAIL: usize = 12;
const HASH_BITS: u32 = 15;
const LEVEL_MAX: i32 = 12;
/// This bit of a block's size says that it is stored as it is.
const STORED: u32 = 1 << 31;
const NOWHERE: u32 = u32::MAX;

/// Compresses `bytes` into one frame.
pub(super) fn compress(level: i32, bytes: &[u8]) -> Vec<u8> {
    let depth = 1_usize << (level.clamp(1, LEVEL_MAX) - 1);
    let mut out = Vec::with_capacity(bytes.len() / 2 + FRAME_HEADER.len() + 8);
    out.extend_from_slice(&FRAME_HEADER);
    let mut block = Vec::with_capacity(BLOCK_BYTES);
    for part in bytes.chunks(BLOCK_BYTES) {
        block.clear();
        compress_block(part, depth, &mut block);
        let stored = block.len() >= part.len();
        let content = if stored { part } else { block.as_slice() };
        // A block has at most 64 KiB.
        let size = u32::try_from(content.len()).unwrap_or(0) | if stored { STORED } else { 0 };
        out.extend_from_slice(&size.to_le_bytes());
        out.extend_from_slice(content);
    }
    out.extend_from_slice(&[0; 4]);
    out
}

/// Where the same four bytes were before.
struct Chains {
    heads: Vec<u32>,
    previous: Vec<u32>,
    /// Places below it are in the chains.
    next: usize,
}

impl Chains {
    fn new(len: usize) -> Self {
        Self {
            heads: vec![NOWHERE; 1 << HASH_BITS],
            previous: vec![NOWHERE; len],
            next: 0,
        }
    }

    fn hash(bytes: &[u8], at: usize) -> Option<usize> {
        let four: [u8; 4] = bytes.get(at..at + MATCH_MIN)?.try_into().ok()?;
        let hash = u32::from_le_bytes(four).wrapping_mul(2_654_435_761) >> (32 - HASH_BITS);
        usize::try_from(hash).ok()
    }

    /// The longest match for what begins at `at`, as (length, place), the nearest of equal ones.
    fn longest(&mut self, bytes: &[u8], at: usize, depth: usize) -> Option<(usize, usize)> {
        while self.next < at {
            if let Some(hash) = Self::hash(bytes, self.next) {
                let here = u32::try_from(self.next).unwrap_or(NOWHERE);
                self.previous[self.next] = std::mem::replace(&mut self.heads[hash], here);
            }
            self.next += 1;
        }
        let end = bytes.len() - LITERALS_LAST;
        let mut place = self.heads[Self::hash(bytes, at)?];
        let mut best: Option<(usize, usize)> = None;
        for _ in 0..depth {
            let Some(found) = usize::try_from(place).ok().filter(|_| place != NOWHERE) else {
                break;
            };
            // Only one that agrees where the best one ends can be longer.
            let reach = best.map_or(0, |(length, _)| length);
            if at + reach < end && bytes[found + reach] == bytes[at + reach] {
                let same = |(a, b): &(&u8, &u8)| a == b;
                let length = bytes[found..]
                    .iter()
                    .zip(&bytes[at..end])
                    .take_while(same)
                    .count();
                if length >= MATCH_MIN && length > reach {
                    best = Some((length, found));
                }
            }
            place = self.previous[found];
        }
        best
    }
}

fn compress_block(bytes: &[u8], depth: usize, out: &mut Vec<u8>) {
    let mut chains = Chains::new(bytes.len());
    let (mut literals, mut at) = (0, 0);
    while at + TAIL <= bytes.len() {
        let Some((mut length, mut place)) = chains.longest(bytes, at, depth) else {
            at += 1;
            continue;
        };
        // Wait for a longer one.
        while at + 1 + TAIL <= bytes.len() {
            match chains.longest(bytes, at + 1, depth) {
                Some(later) if later.0 > length => {
                    at += 1;
                    (length, place) = later;
                }
                _ => break,
            }
        }
        put_sequence(out, &bytes[literals..at], Some((length, at - place)));
        at += length;
        literals = at;
    }
    put_sequence(out, &bytes[literals..], None);
}

/// Literals, and the match (length, distance) that follows them.
fn put_sequence(out: &mut Vec<u8>, literals: &[u8], matched: Option<(usize, usize)>) {
    let nibble = |n: usize| u8::try_from(n.min(15)).unwrap_or(15);
    let match_code = matched.map_or(0, |(length, _)| length - MATCH_MIN);
    out.push(nibble(literals.len()) << 4 | nibble(match_code));
    put_length(out, literals.len());
    out.extend_from_slice(literals);
    if let Some((_, distance)) = matched {
        // Blocks are no longer than a distance can be.
        out.extend_from_slice(&u16::try_from(distance).unwrap_or(u16::MAX).to_le_bytes());
        put_length(out, match_code);
    }
}

/// What of a length does not fit its four bits.
fn put_length(out: &mut Vec<u8>, length: usize) {
    let Some(mut left) = length.checked_sub(15) else {
        return;
    };
    while left >= 255 {
        out.push(255);
        left -= 255;
    }
    out.push(u8::try_from(left).unwrap_or(255));
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    fn there_and_back(level: i32, bytes: &[u8]) -> usize {
        let compressed = compress(level, bytes);
        let mut back = Vec::new();
        lz4_flex::frame::FrameDecoder::new(&compressed[..])
            .read_to_end(&mut back)
            .unwrap();
        assert!(back == bytes, "level {level}, {} bytes", bytes.len());
        compressed.len()
    }

    /// Repeats of all lengths at all distances, in noise.
    fn content(seed: u64, len: usize) -> Vec<u8> {
        let mut state = seed;
        let mut random = move |below: usize| {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) as usize % below
        };
        let mut bytes = Vec::with_capacity(len);
        while bytes.len() < len {
            if random(3) > 0 && bytes.len() > 20 {
                let from = random(bytes.len());
                let longest = if random(10) == 0 { 700 } else { 40 };
                let run = 1 + random(longest);
                for i in 0..run {
                    bytes.push(bytes[from + i % (bytes.len() - from)]);
                }
            } else {
                bytes.push(random(256) as u8);
            }
        }
        bytes.truncate(len);
        bytes
    }

    #[test]
    fn everything_comes_back_at_every_level() {
        for level in [1, 2, 6, 12, 17] {
            for len in (0..30).chain([255, 270, 300]) {
                there_and_back(level, &content(len as u64 + 1, len));
                there_and_back(level, &vec![7; len]);
            }
        }
        for len in [65_535, 65_537] {
            there_and_back(3, &content(9, len));
        }
        for seed in 0..100 {
            there_and_back(1 + seed as i32 % 12, &content(seed, 50 + seed as usize * 7));
        }
    }

    #[test]
    fn higher_levels_are_smaller() {
        let bytes = content(42, 20_000);
        let sizes: Vec<usize> = [1, 3, 6, 12].map(|level| there_and_back(level, &bytes)).into();
        assert!(sizes.windows(2).all(|pair| pair[1] < pair[0]), "{sizes:?}");
        assert_eq!(there_and_back(17, &bytes), sizes[3], "there is nothing above 12");
    }
}

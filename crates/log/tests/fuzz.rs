//! The fuzz targets, for some thousand inputs of a seeded mutator; libFuzzer goes on in `fuzz/`.
//!
//! And no input takes more of the heap than four times its size and 64 KiB.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod targets;

use milena_counting::peak_bytes;
use milena_record::{BatchBuilder, Compression, TimestampType, crc32c};
use milena_types::{Offset, ProducerEpoch, ProducerId, Timestamp};
use targets::{FILES, batch, checkpoints, recovery, sample, snapshot};

/// A seeded generator (SplitMix64).
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) as usize % bound.max(1)
    }
}

/// Numbers that break things.
const EDGES: [[u8; 8]; 6] = [
    [0; 8],
    [0xff; 8],
    [0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
    [0x80, 0, 0, 0, 0, 0, 0, 0],
    [0, 0, 0, 1, 0, 0, 0, 1],
    *b"99999999",
];

/// A few changes to a good input; `mend` may repair checksums afterwards.
fn mutate(random: &mut Random, good: &[u8], other: &[u8], mend: impl Fn(&mut [u8])) -> Vec<u8> {
    let mut bytes = good.to_vec();
    for _ in 0..=random.below(4) {
        let at = random.below(bytes.len() + 1);
        match random.below(7) {
            0 | 1 if at < bytes.len() => bytes[at] ^= 1 << random.below(8),
            2 => {
                let edge = &EDGES[random.below(EDGES.len())][..[1, 2, 4, 8][random.below(4)]];
                let end = (at + edge.len()).min(bytes.len());
                bytes[at..end].copy_from_slice(&edge[..end - at]);
            }
            3 => bytes.truncate(at),
            4 => bytes
                .splice(at..at, other[random.below(other.len() + 1)..].iter().copied())
                .for_each(drop),
            5 => {
                let end = at + random.below(bytes.len() - at + 1);
                bytes.drain(at..end);
            }
            _ => bytes.extend(std::iter::repeat_n(
                [0, 0xff, b'\n'][random.below(3)],
                random.below(80),
            )),
        }
    }
    if random.below(2) == 0 {
        mend(&mut bytes);
    }
    bytes
}

/// Gives every batch that is whole its checksum.
fn mend_batches(bytes: &mut [u8]) {
    let mut at = 0;
    while let Some(length) = bytes.get(at + 8..at + 12) {
        let length = i32::from_be_bytes(length.try_into().unwrap());
        let end = usize::try_from(length)
            .ok()
            .and_then(|length| at.checked_add(12 + length));
        let Some(end) = end.filter(|end| *end <= bytes.len() && *end > at + 61) else {
            return;
        };
        let crc = crc32c(&bytes[at + 21..end]);
        bytes[at + 17..at + 21].copy_from_slice(&crc.to_be_bytes());
        at = end;
    }
}

fn mend_snapshot(bytes: &mut [u8]) {
    if bytes.len() > 6 {
        let crc = crc32c(&bytes[6..]);
        bytes[2..6].copy_from_slice(&crc.to_be_bytes());
    }
}

fn within_bounds<T>(input: &[u8], slack: usize, work: impl FnOnce() -> T) -> T {
    let (result, peak) = peak_bytes(work);
    let limit = 4 * input.len() + (64 << 10) + slack;
    assert!(
        peak <= limit,
        "{peak} bytes of heap for an input of {}",
        input.len()
    );
    result
}

fn plain(codec: Compression) -> Vec<u8> {
    let producer = Some((ProducerId(3), ProducerEpoch(1), 5));
    let mut builder = BatchBuilder::new(
        Offset(0),
        codec,
        TimestampType::CreateTime,
        producer,
        false,
        false,
    );
    for i in 0..6 {
        builder.append(Timestamp(i), Some(b"key"), Some(&[b'v'; 40]), &[]);
    }
    builder.build().to_vec()
}

#[test]
fn batches_of_any_bytes() {
    let mut random = Random(1);
    let good = [plain(Compression::None), plain(Compression::None)].concat();
    let mut whole = 0;
    for _ in 0..30_000 {
        let input = mutate(&mut random, &good, &good, mend_batches);
        // Records are lists of slices: up to their bytes once more for each that is counted.
        whole += within_bounds(&input, 16 * input.len(), || batch(&input));
    }
    assert!(whole > 10_000, "{whole}");
    for codec in Compression::ALL {
        let good = plain(codec);
        for _ in 0..2_000 {
            batch(&mutate(&mut random, &good, &good, mend_batches));
        }
    }
}

#[test]
fn snapshots_of_any_bytes() {
    let mut random = Random(2);
    let good = sample(4);
    let accepted: usize = (0..50_000)
        .map(|_| {
            let input = mutate(&mut random, &good, &good, mend_snapshot);
            within_bounds(&input, 0, || snapshot(&input))
        })
        .sum();
    assert!(accepted > 1_000, "{accepted}");
}

#[test]
fn checkpoints_of_any_bytes() {
    let mut random = Random(3);
    let goods: [&[u8]; 2] = [
        b"0\n3\n0 0\n1 20\n2 40\n",
        b"0\n2\na-topic 0 12\nanother 7 9999\n",
    ];
    let accepted: usize = (0..50_000)
        .map(|i| {
            let input = mutate(&mut random, goods[i % 2], goods[(i + 1) % 2], |_| ());
            within_bounds(&input, 0, || checkpoints(&input))
        })
        .sum();
    assert!(accepted > 1_000, "{accepted}");
}

#[test]
fn recovery_of_any_bytes() {
    let mut random = Random(4);
    let (mut opened, mut refused) = (0, 0);
    for i in 0..12_000 {
        // Every second one is a log file.
        let file = if i % 2 == 0 { 0 } else { i / 2 % FILES.len() };
        let good = sample(file);
        let mend: fn(&mut [u8]) = match FILES[file] {
            ".log" => mend_batches,
            ".snapshot" => mend_snapshot,
            _ => |_| (),
        };
        let content = mutate(&mut random, &good, &good, mend);
        let how = random.below(64) as u8;
        let input = [&[file as u8, how], &content[..]].concat();
        // The disk is in memory too, twice: what is durable and what is cached.
        let ok = within_bounds(&input, 256 << 10, || recovery(&input));
        opened += usize::from(ok);
        refused += usize::from(!ok);
    }
    assert!(opened > 5_000 && refused > 100, "{opened} {refused}");
}

//! What walking the records of a batch takes from the heap, however far they expand.
//!
//! The codec written in C has its own heap: of that, what the process holds is looked at.

use bytes::Bytes;
use milena_counting::peak_bytes;
use milena_record::{BatchBuilder, BatchError, Compression, TimestampType, validate_records};
use milena_types::{Offset, Timestamp};
const MEBIBYTE: usize = 1 << 20;

/// A batch of records of 1 MiB that compresses to about 1 MiB or less: mostly zeroes, and as much noise as `noise` says.
fn batch(codec: Compression, records: usize, noise: usize) -> Bytes {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut builder = BatchBuilder::new(Offset(0), codec, TimestampType::CreateTime, None, false, false);
    for _ in 0..records {
        let mut value = vec![0u8; MEBIBYTE];
        for byte in &mut value[..noise] {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            *byte = state as u8;
        }
        builder.append(Timestamp(0), None, Some(&value), &[]);
    }
    builder.build().freeze()
}

fn allowed(frame: usize) -> usize {
    4 * frame + 64 * 1024
}

#[test]
fn a_hundred_times_the_frame_is_walked_within_four_times_the_frame() {
    // Snappy does not expand so far: 21 times at most.
    let cases = [
        (Compression::Gzip, 100, 9_400),
        (Compression::Snappy, 18, 1_000),
        (Compression::Lz4, 100, 6_200),
        (Compression::Zstd, 100, 10_300),
    ];
    for (codec, records, noise) in cases {
        let batch = batch(codec, records, noise);
        assert!(
            batch.len() < MEBIBYTE + MEBIBYTE / 8,
            "{codec:?}: a frame of {} bytes",
            batch.len()
        );
        let (stats, peak) = peak_bytes(|| validate_records(&batch, 256 * MEBIBYTE));
        let stats = stats.unwrap();
        assert!(stats.uncompressed_bytes > records * MEBIBYTE, "{codec:?}");
        println!(
            "{codec:?}: frame {} bytes, {} uncompressed, heap {peak}",
            batch.len(),
            stats.uncompressed_bytes
        );
        assert!(
            peak <= allowed(batch.len()),
            "{codec:?}: {peak} bytes of heap for {}",
            batch.len()
        );
    }
}

#[test]
fn a_bomb_is_refused_within_little_more_than_its_size() {
    for codec in [
        Compression::Gzip,
        Compression::Snappy,
        Compression::Lz4,
        Compression::Zstd,
    ] {
        let batch = batch(codec, 24, 0);
        let limit = 8 * MEBIBYTE;
        let (result, peak) = peak_bytes(|| validate_records(&batch, limit));
        assert_eq!(result, Err(BatchError::TooLarge { limit }), "{codec:?}");
        // What a codec takes at the least, whatever is in the body.
        let floor = 192 * 1024;
        assert!(
            peak <= floor,
            "{codec:?}: {peak} bytes of heap for a frame of {}",
            batch.len()
        );
    }
}

#[test]
fn a_raw_snappy_block_takes_no_more_than_it_can_be() {
    // One block of 32 MiB in 1.5 MiB is legitimate; the claim alone is not.
    let batch = batch(Compression::Snappy, 1, 0);
    let mut raw = batch[..61].to_vec();
    raw.extend_from_slice(&[0x80, 0x80, 0x80, 0x20, 0, 0, 0, 0]);
    let length = i32::try_from(raw.len() - 12).unwrap();
    raw[8..12].copy_from_slice(&length.to_be_bytes());
    let (result, peak) = peak_bytes(|| validate_records(&raw, 256 * MEBIBYTE));
    assert!(matches!(result, Err(BatchError::Decompress(_))), "{result:?}");
    assert!(peak <= 64 * 1024, "{peak}");
}

#[test]
fn an_lz4_frame_that_names_large_blocks_takes_what_it_has() {
    use std::io::Write;
    // As Go's encoder writes it, whatever is in the batch.
    let info = lz4_flex::frame::FrameInfo::new().block_size(lz4_flex::frame::BlockSize::Max4MB);
    let mut encoder = lz4_flex::frame::FrameEncoder::with_frame_info(info, Vec::new());
    encoder.write_all(&[12, 0, 0, 0, 1, 1, 0]).unwrap();
    let body = encoder.finish().unwrap();
    let mut named = batch(Compression::Lz4, 1, 0)[..61].to_vec();
    named.extend_from_slice(&body);
    let length = i32::try_from(named.len() - 12).unwrap();
    named[8..12].copy_from_slice(&length.to_be_bytes());
    let (stats, peak) = peak_bytes(|| validate_records(&named, MEBIBYTE));
    assert_eq!(stats.map(|s| s.count), Ok(1));
    assert!(peak <= 192 * 1024, "{peak}");
}

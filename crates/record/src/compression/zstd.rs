//! Zstandard.
//!
//! A decoder keeps the frame's window: what later bytes may refer to. Java's producer and librdkafka compress a stream whose
//! length they do not know, so that each frame, however short, names the whole window of its level: 2 MiB at the default
//! level 3, 8 MiB up to 19, 128 MiB at 22, the highest that `compression.zstd.level` allows. Nothing below 2^27 can be refused
//! without refusing what Kafka takes (zstd-jni has the same limit). The decoder asks for the window at once and touches it
//! only as far as bytes have come out, so that what is claimed costs address space and what is real costs memory.

use super::failed;
use crate::BatchError;
use zstd::stream::read::Decoder;

/// The largest window of Kafka's highest level.
const WINDOW_LOG_MAX: u32 = 27;

pub(super) fn compress(level: Option<i32>, bytes: &[u8]) -> Result<Vec<u8>, BatchError> {
    // 0 is the library's default (3), as in Kafka.
    zstd::bulk::compress(bytes, level.unwrap_or(0)).map_err(failed)
}

pub(super) fn reader(bytes: &[u8]) -> Result<Decoder<'static, &[u8]>, BatchError> {
    let mut decoder = Decoder::with_buffer(bytes).map_err(failed)?;
    decoder.window_log_max(WINDOW_LOG_MAX).map_err(failed)?;
    Ok(decoder)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};

    /// A frame without content size whose window is 2^(10 + exponent) * (1 + eighths / 8), with one raw block.
    fn frame(exponent: u8, eighths: u8) -> Vec<u8> {
        let block = b"hello";
        let mut bytes = vec![0x28, 0xb5, 0x2f, 0xfd, 0, exponent << 3 | eighths];
        bytes.extend_from_slice(&((block.len() as u32) << 3 | 1).to_le_bytes()[..3]);
        bytes.extend_from_slice(block);
        bytes
    }

    fn read(bytes: &[u8]) -> std::io::Result<Vec<u8>> {
        let mut out = Vec::new();
        reader(bytes).unwrap().read_to_end(&mut out).map(|_| out)
    }

    #[test]
    fn windows_of_kafkas_levels_are_read_and_no_larger_ones() {
        for exponent in [11, 13, 17] {
            assert_eq!(
                read(&frame(exponent, 0)).unwrap(),
                b"hello",
                "2^{}",
                10 + exponent
            );
        }
        for (exponent, eighths) in [(17, 1), (18, 0), (31, 7)] {
            assert!(read(&frame(exponent, eighths)).is_err(), "2^{}", 10 + exponent);
        }
    }

    /// What the decoder holds after a frame as a producer writes it, which does not know how long the frame becomes.
    fn state_bytes(level: i32, content: &[u8]) -> (usize, usize) {
        let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), level).unwrap();
        for piece in content.chunks(1 << 14) {
            encoder.write_all(piece).unwrap();
        }
        let frame = encoder.finish().unwrap();
        let mut context = zstd::zstd_safe::DCtx::create();
        let mut decoder = Decoder::with_context(&frame[..], &mut context);
        decoder.window_log_max(WINDOW_LOG_MAX).unwrap();
        assert_eq!(
            std::io::copy(&mut decoder, &mut std::io::sink()).unwrap(),
            content.len() as u64
        );
        drop(decoder);
        (frame.len(), context.sizeof())
    }

    #[test]
    fn the_decoder_holds_the_window_and_not_the_content() {
        let mut content = vec![0u8; 100 << 20];
        let mut state = 1u64;
        for byte in content.iter_mut().step_by(105) {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            *byte = state as u8;
        }
        let (frame, held) = state_bytes(3, &content);
        assert!((800_000..2_000_000).contains(&frame), "{frame}");
        assert!(
            held <= 4 * frame + (64 << 10),
            "{held} bytes for a frame of {frame}"
        );
        // The window of the level, however short the content is.
        let (_, least) = state_bytes(3, b"short");
        let (_, highest) = state_bytes(22, b"short");
        println!("level 3: {held} for a frame of {frame}, at least {least}; level 22: {highest}");
        assert!(least < 3 << 20 && highest < (128 << 20) + (1 << 20));
    }
}

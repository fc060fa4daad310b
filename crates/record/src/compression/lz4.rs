//! The LZ4 frame format. Written with independent blocks of 64 KiB and no checksums, as Kafka's
//! `Lz4BlockOutputStream` does, because Java consumers refuse dependent blocks.

use super::failed;
use super::lz4_fit::fitted_header;
use super::lz4_frame::parse;
use super::lz4_high;
use crate::BatchError;
use lz4_flex::frame::{BlockMode, BlockSize, FrameDecoder, FrameEncoder, FrameInfo};
use std::io::{Cursor, Read, Write};

/// Kafka's default level is the fast encoder. Source: `Lz4BlockOutputStream.java`.
const LEVEL_FAST: i32 = 9;

pub(super) fn compress(level: Option<i32>, bytes: &[u8]) -> Result<Vec<u8>, BatchError> {
    if let Some(level) = level.filter(|level| *level != LEVEL_FAST) {
        return Ok(lz4_high::compress(level, bytes));
    }
    let info = FrameInfo::new()
        .block_mode(BlockMode::Independent)
        .block_size(BlockSize::Max64KB);
    let mut encoder = FrameEncoder::with_frame_info(info, Vec::with_capacity(bytes.len() / 2));
    encoder.write_all(bytes).map_err(failed)?;
    encoder.finish().map_err(failed)
}

pub(super) fn reader(bytes: &[u8]) -> Result<FrameDecoder<impl Read>, BatchError> {
    let frame = parse(bytes).map_err(failed)?;
    let header = fitted_header(&frame).unwrap_or_default();
    let rest = &bytes[header.len()..];
    Ok(FrameDecoder::new(Cursor::new(header).chain(rest)))
}

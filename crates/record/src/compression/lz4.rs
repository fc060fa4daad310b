//! The LZ4 frame format. Written with independent blocks of 64 KiB and no checksums, as Kafka's
//! `Lz4BlockOutputStream` does, because Java consumers refuse dependent blocks.

use super::failed;
use super::lz4_check::check;
use super::lz4_frame::fitted_header;
use crate::BatchError;
use lz4_flex::frame::{BlockMode, BlockSize, FrameDecoder, FrameEncoder, FrameInfo};
use std::io::{Cursor, Read, Write};

pub(super) fn compress(bytes: &[u8]) -> Result<Vec<u8>, BatchError> {
    let info = FrameInfo::new()
        .block_mode(BlockMode::Independent)
        .block_size(BlockSize::Max64KB);
    let mut encoder = FrameEncoder::with_frame_info(info, Vec::with_capacity(bytes.len() / 2));
    encoder.write_all(bytes).map_err(failed)?;
    encoder.finish().map_err(failed)
}

pub(super) fn reader(bytes: &[u8]) -> Result<FrameDecoder<impl Read>, BatchError> {
    check(bytes)?;
    let (header, skipped) = fitted_header(bytes).unwrap_or_default();
    Ok(FrameDecoder::new(Cursor::new(header).chain(&bytes[skipped..])))
}

//! A whole image, or a snapshot of the quorum's log, in pieces: it may be larger than any message.

use crate::encoding::{EncodingError, decode_image};
use crate::proto::SnapshotPiece;
use bytes::Bytes;
use milena_metadata::image::MetadataImage;

/// How large a piece is, in bytes.
pub const PIECE_BYTES: usize = 1024 * 1024;
/// The largest image that is taken, in bytes.
pub const IMAGE_BYTES_MAX: usize = 1024 * 1024 * 1024;

/// Cuts an image in the encoding of [`crate::encode_image`], or whatever else is put together elsewhere.
#[derive(Clone, Debug)]
pub struct Pieces {
    rest: Bytes,
}

impl Pieces {
    /// All of the image; nothing is copied.
    #[must_use]
    pub fn of(image: Bytes) -> Self {
        Self { rest: image }
    }
}

impl Iterator for Pieces {
    type Item = SnapshotPiece;

    fn next(&mut self) -> Option<SnapshotPiece> {
        if self.rest.is_empty() {
            return None;
        }
        let data = self.rest.split_to(self.rest.len().min(PIECE_BYTES));
        Some(SnapshotPiece {
            data,
            last: self.rest.is_empty(),
        })
    }
}

/// Puts the pieces of one image together. Belongs to one stream: what has come of an image is forgotten with it.
#[derive(Debug, Default)]
pub struct ImageAssembly {
    bytes: Vec<u8>,
}

impl ImageAssembly {
    /// True when an image has begun and is not whole.
    #[must_use]
    pub fn is_begun(&self) -> bool {
        !self.bytes.is_empty()
    }

    /// Takes the next piece; the image with the last one.
    ///
    /// # Errors
    /// Whatever is not exactly an image of a known format, or a larger one than [`IMAGE_BYTES_MAX`].
    pub fn take(&mut self, piece: &SnapshotPiece) -> Result<Option<MetadataImage>, EncodingError> {
        if self.bytes.len() + piece.data.len() > IMAGE_BYTES_MAX {
            self.bytes = Vec::new();
            return Err(EncodingError::TooLarge);
        }
        self.bytes.extend_from_slice(&piece.data);
        if !piece.last {
            return Ok(None);
        }
        decode_image(&std::mem::take(&mut self.bytes)).map(Some)
    }
}

//! Records of a compressed body as they come out of its decoder, through one small buffer.

use super::codec::from_io;
use super::reader;
use crate::source::{FIELD_TOO_LONG, Source, used_up};
use crate::{BatchError, Compression};
use std::io::Read;

const BUFFER_BYTES: usize = 16 * 1024;

/// A compressed body that is read once, in order. After an error it is of no more use.
pub(crate) struct Stream<'a> {
    decoder: Box<dyn Read + 'a>,
    buffer: Vec<u8>,
    /// What of the buffer has not been taken.
    at: usize,
    filled: usize,
    /// Bytes that came out of the decoder.
    bytes_read: usize,
    limit: usize,
    /// Bytes until the end that the reader is to see; `usize::MAX` for that of the body.
    left: usize,
}

impl<'a> Stream<'a> {
    /// At most `limit` bytes of the uncompressed `body`.
    pub(crate) fn new(codec: Compression, body: &'a [u8], limit: usize) -> Result<Self, BatchError> {
        Ok(Self {
            decoder: reader(codec, body, limit)?,
            buffer: vec![0; BUFFER_BYTES],
            at: 0,
            filled: 0,
            bytes_read: 0,
            limit,
            left: usize::MAX,
        })
    }

    /// How many bytes have been decompressed.
    pub(crate) fn bytes_read(&self) -> usize {
        self.bytes_read
    }

    /// Fills the used-up buffer; false at the end of the body.
    fn refill(&mut self) -> Result<bool, BatchError> {
        self.at = 0;
        self.filled = 0;
        self.filled = self.decoder.read(&mut self.buffer).map_err(from_io)?;
        self.bytes_read = self.bytes_read.saturating_add(self.filled);
        if self.bytes_read > self.limit {
            return Err(BatchError::TooLarge { limit: self.limit });
        }
        Ok(self.filled > 0)
    }
}

impl Source for Stream<'_> {
    type Taken = usize;

    fn length(taken: &usize) -> usize {
        *taken
    }

    #[inline]
    fn byte(&mut self) -> Result<Option<u8>, BatchError> {
        if self.is_at_end()? {
            return Ok(None);
        }
        let byte = self.buffer[self.at];
        self.at += 1;
        self.left -= 1;
        Ok(Some(byte))
    }

    #[inline]
    fn take(&mut self, length: usize) -> Result<usize, BatchError> {
        if length > self.left {
            return Err(FIELD_TOO_LONG);
        }
        let mut missing = length;
        while missing > self.filled - self.at {
            missing -= self.filled - self.at;
            if !self.refill()? {
                return Err(FIELD_TOO_LONG);
            }
        }
        self.at += missing;
        self.left -= length;
        Ok(length)
    }

    fn left(&self) -> usize {
        self.left
    }

    #[inline]
    fn is_at_end(&mut self) -> Result<bool, BatchError> {
        Ok(self.left == 0 || (self.at == self.filled && !self.refill()?))
    }

    fn within<T>(
        &mut self,
        length: usize,
        read: impl FnOnce(&mut Self) -> Result<T, BatchError>,
    ) -> Result<T, BatchError> {
        let outside = self.left.checked_sub(length).ok_or(FIELD_TOO_LONG)?;
        self.left = length;
        let value = read(self)?;
        used_up(self.left == 0)?;
        self.left = outside;
        Ok(value)
    }
}

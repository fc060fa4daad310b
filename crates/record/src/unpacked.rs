//! The records of a batch read where they lie, without a copy of each.

use crate::compression::body;
use crate::iter::{check_count, read_record, whole};
use crate::{BatchError, BatchHeader, Compression, RecordView};
use milena_types::Offset;
use std::borrow::Cow;

/// One batch whose records can be read; made by [`unpack`].
#[derive(Debug)]
pub struct Unpacked<'a> {
    header: BatchHeader,
    body: Cow<'a, [u8]>,
}

/// Makes the records of `batch` (exactly one batch) readable: they stay where they are unless they are compressed, and are
/// then decompressed at once, to at most `limit_bytes`.
///
/// The checksum is not looked at.
///
/// # Errors
/// Those of [`crate::record_iter`].
pub fn unpack(batch: &[u8], limit_bytes: usize) -> Result<Unpacked<'_>, BatchError> {
    let header = whole(batch)?;
    let body = match header.compression()? {
        Compression::None => Cow::Borrowed(body(batch)),
        codec => Cow::Owned(crate::decompress(codec, body(batch), limit_bytes)?),
    };
    check_count(&header, body.len())?;
    Ok(Unpacked { header, body })
}

impl Unpacked<'_> {
    /// Each record with its offset. It ends at the first error, which is that of [`crate::Records`].
    #[must_use]
    pub fn records(&self) -> RecordViews<'_> {
        RecordViews {
            header: &self.header,
            rest: &self.body,
            left: self.header.records_count,
        }
    }
}

/// Iterates over the records of an [`Unpacked`] batch.
#[derive(Clone, Debug)]
pub struct RecordViews<'a> {
    header: &'a BatchHeader,
    rest: &'a [u8],
    left: i32,
}

impl<'a> Iterator for RecordViews<'a> {
    type Item = Result<(Offset, RecordView<&'a [u8]>), BatchError>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        if self.left <= 0 {
            return None;
        }
        self.left -= 1;
        let record = read_record(self.header, &mut self.rest, self.left);
        if record.is_err() {
            self.left = 0;
        }
        Some(record)
    }
}

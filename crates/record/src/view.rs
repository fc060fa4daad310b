//! One record inside an uncompressed body, borrowed.
//!
//! ```text
//! length varint | attributes i8 | timestamp delta varlong | offset delta varint
//! | key length varint (-1 null), key | value length varint (-1 null), value
//! | header count varint, then per header: key length varint, key | value length varint (-1 null), value
//! ```
//!
//! Source: `DefaultRecord.java`.

use crate::BatchError;
use crate::varint::{get_varint, get_varlong};

/// Fewest bytes that a record takes: seven one-byte fields, the length included.
pub(crate) const RECORD_BYTES_MIN: usize = 7;

/// One record, borrowed from the bytes that hold it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordView<'a> {
    /// Relative to the batch's base timestamp, in milliseconds.
    pub timestamp_delta: i64,
    /// Relative to the batch's base offset.
    pub offset_delta: i32,
    /// The key.
    pub key: Option<&'a [u8]>,
    /// The value; `None` is a tombstone.
    pub value: Option<&'a [u8]>,
    /// The headers, still encoded.
    headers: &'a [u8],
    headers_count: usize,
}

fn get_bytes<'a>(bytes: &mut &'a [u8], length: i32) -> Result<&'a [u8], BatchError> {
    let length = usize::try_from(length).map_err(|_| BatchError::Invalid("a length is negative"))?;
    let (taken, rest) = bytes
        .split_at_checked(length)
        .ok_or(BatchError::Invalid("a field is longer than its record"))?;
    *bytes = rest;
    Ok(taken)
}

fn get_nullable<'a>(bytes: &mut &'a [u8]) -> Result<Option<&'a [u8]>, BatchError> {
    match get_varint(bytes)? {
        -1 => Ok(None),
        length => get_bytes(bytes, length).map(Some),
    }
}

fn get_header<'a>(bytes: &mut &'a [u8]) -> Result<(&'a [u8], Option<&'a [u8]>), BatchError> {
    let length = get_varint(bytes)?;
    if length < 0 {
        return Err(BatchError::Invalid("a header key is null"));
    }
    let key = get_bytes(bytes, length)?;
    Ok((key, get_nullable(bytes)?))
}

impl<'a> RecordView<'a> {
    /// Reads the record at the start of `body`, headers checked, and moves `body` past it.
    ///
    /// # Errors
    /// `Invalid` names the rule that is broken.
    pub fn read(body: &mut &'a [u8]) -> Result<Self, BatchError> {
        let length = get_varint(body)?;
        let mut record = get_bytes(body, length)?;
        // Record attributes: no bit is defined, and Kafka ignores them.
        get_bytes(&mut record, 1)?;
        let timestamp_delta = get_varlong(&mut record)?;
        let offset_delta = get_varint(&mut record)?;
        let key = get_nullable(&mut record)?;
        let value = get_nullable(&mut record)?;
        let headers_count = usize::try_from(get_varint(&mut record)?)
            .map_err(|_| BatchError::Invalid("header count is negative"))?;
        let headers = record;
        for _ in 0..headers_count {
            get_header(&mut record)?;
        }
        if !record.is_empty() {
            return Err(BatchError::Invalid("a record is longer than its fields"));
        }
        Ok(Self {
            timestamp_delta,
            offset_delta,
            key,
            value,
            headers,
            headers_count,
        })
    }

    /// The headers in order, duplicates included; the value may be null.
    pub fn headers(&self) -> impl Iterator<Item = (&'a [u8], Option<&'a [u8]>)> + use<'a> {
        let mut rest = self.headers;
        // `read` has walked them once, so none can fail here.
        (0..self.headers_count).map_while(move |_| get_header(&mut rest).ok())
    }

    /// How many headers there are.
    #[must_use]
    pub fn headers_count(&self) -> usize {
        self.headers_count
    }
}

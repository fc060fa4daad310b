//! One record: the only description of its layout.
//!
//! ```text
//! length varint | attributes i8 | timestamp delta varlong | offset delta varint
//! | key length varint (-1 null), key | value length varint (-1 null), value
//! | header count varint, then per header: key length varint, key | value length varint (-1 null), value
//! ```
//!
//! Source: `DefaultRecord.java`.

use crate::BatchError;
use crate::source::{Source, length_of};
use crate::varint::{varint, varlong};

/// Fewest bytes that a record takes: seven one-byte fields, the length included.
pub(crate) const RECORD_BYTES_MIN: usize = 7;

/// One record: the bytes of its fields, or for `B = usize` (a record that streamed past) only their lengths.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordView<B> {
    /// Relative to the batch's base timestamp, in milliseconds.
    pub timestamp_delta: i64,
    /// Relative to the batch's base offset.
    pub offset_delta: i32,
    /// The key.
    pub key: Option<B>,
    /// The value; `None` is a tombstone.
    pub value: Option<B>,
    /// The headers, still encoded.
    headers: B,
    headers_count: usize,
}

fn nullable<S: Source>(source: &mut S) -> Result<Option<S::Taken>, BatchError> {
    match varint(source)? {
        -1 => Ok(None),
        length => source.take(length_of(length)?).map(Some),
    }
}

fn header<S: Source>(source: &mut S) -> Result<(S::Taken, Option<S::Taken>), BatchError> {
    let length = varint(source)?;
    if length < 0 {
        return Err(BatchError::Invalid("a header key is null"));
    }
    Ok((source.take(length_of(length)?)?, nullable(source)?))
}

impl<B> RecordView<B> {
    /// Takes the next record of `source`, headers checked.
    ///
    /// # Errors
    /// `Invalid` names the rule that is broken; and what the source returns.
    pub(crate) fn read<S: Source<Taken = B>>(source: &mut S) -> Result<Self, BatchError> {
        let length = length_of(varint(source)?)?;
        source.within(length, |record| {
            // Record attributes: no bit is defined, and Kafka ignores them.
            record.take(1)?;
            let timestamp_delta = varlong(record)?;
            let offset_delta = varint(record)?;
            let key = nullable(record)?;
            let value = nullable(record)?;
            let headers_count = usize::try_from(varint(record)?)
                .map_err(|_| BatchError::Invalid("header count is negative"))?;
            let headers = record.left();
            for _ in 0..headers_count {
                header(record)?;
            }
            Ok(Self {
                timestamp_delta,
                offset_delta,
                key,
                value,
                headers,
                headers_count,
            })
        })
    }

    /// The same record without its bytes.
    pub(crate) fn lengths<S: Source<Taken = B>>(&self) -> RecordView<usize> {
        RecordView {
            timestamp_delta: self.timestamp_delta,
            offset_delta: self.offset_delta,
            key: self.key.as_ref().map(S::length),
            value: self.value.as_ref().map(S::length),
            headers: S::length(&self.headers),
            headers_count: self.headers_count,
        }
    }

    /// How many headers there are.
    #[must_use]
    pub fn headers_count(&self) -> usize {
        self.headers_count
    }
}

impl<'a> RecordView<&'a [u8]> {
    /// All headers as they are in the record.
    pub(crate) fn encoded_headers(&self) -> &'a [u8] {
        self.headers
    }

    /// The headers in order, duplicates included; the value may be null.
    pub(crate) fn headers(&self) -> impl Iterator<Item = (&'a [u8], Option<&'a [u8]>)> + use<'a> {
        let mut rest = self.headers;
        // `read` has walked them once, so none can fail here.
        (0..self.headers_count).map_while(move |_| header(&mut rest).ok())
    }
}

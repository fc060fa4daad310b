//! Records as owned values.

use crate::compression::body;
use crate::view::RECORD_BYTES_MIN;
use crate::{BatchError, BatchHeader, HEADER_BYTES, RecordView, TimestampType};
use bytes::Bytes;
use milena_types::{Offset, Timestamp};

pub(crate) const TOO_FEW_RECORDS: BatchError =
    BatchError::Invalid("there are fewer records than the header says");
pub(crate) const BYTES_BEHIND: BatchError = BatchError::Invalid("bytes follow the last record");

/// One record. Key, value and headers share the memory of the batch (or of its decompressed body).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Its offset.
    pub offset: Offset,
    /// Its timestamp; the batch's in a LogAppendTime batch.
    pub timestamp: Timestamp,
    /// The key.
    pub key: Option<Bytes>,
    /// The value; `None` is a tombstone.
    pub value: Option<Bytes>,
    /// The headers in order, duplicates kept.
    pub headers: Vec<(Bytes, Option<Bytes>)>,
}

/// Iterates over the records of one batch; made by [`record_iter`].
#[derive(Debug)]
pub struct Records {
    header: BatchHeader,
    body: Bytes,
    at: usize,
    left: i32,
}

/// The records of `batch` (exactly one batch) one by one; a compressed body is decompressed at once, to at most
/// `limit_bytes`.
///
/// The checksum is not looked at. After the first error the iterator ends.
///
/// # Errors
/// What [`BatchHeader::parse`] and [`crate::decompress`] return, and `Length` when `batch` is not exactly one batch.
pub fn record_iter(batch: &Bytes, limit_bytes: usize) -> Result<Records, BatchError> {
    let header = whole(batch)?;
    let body = match header.compression()? {
        crate::Compression::None => batch.slice(HEADER_BYTES..),
        codec => Bytes::from(crate::decompress(codec, body(batch), limit_bytes)?),
    };
    check_count(&header, body.len())?;
    Ok(Records {
        header,
        body,
        at: 0,
        left: header.records_count,
    })
}

/// All records of `batch`; see [`record_iter`].
///
/// # Errors
/// Those of [`record_iter`], and `Invalid` for a record that breaks the format.
pub fn records(batch: &Bytes, limit_bytes: usize) -> Result<Vec<Record>, BatchError> {
    record_iter(batch, limit_bytes)?.collect()
}

/// The header of a buffer that must hold one whole batch and nothing else.
pub(crate) fn whole(batch: &[u8]) -> Result<BatchHeader, BatchError> {
    let header = BatchHeader::parse(batch)?;
    let needed = header.size_bytes();
    match batch.len() {
        available if available < needed => Err(BatchError::Truncated { needed, available }),
        available if available > needed => Err(BatchError::Length(header.batch_length)),
        _ => Ok(header),
    }
}

/// Refuses a record count that the body cannot hold, before anyone reserves memory for it, and a body of no records.
pub(crate) fn check_count(header: &BatchHeader, body_bytes: usize) -> Result<(), BatchError> {
    let count = usize::try_from(header.records_count).unwrap_or(usize::MAX);
    if count == 0 && body_bytes > 0 {
        return Err(BYTES_BEHIND);
    }
    if count > body_bytes / RECORD_BYTES_MIN {
        return Err(TOO_FEW_RECORDS);
    }
    Ok(())
}

/// The timestamp of a record of this batch.
pub(crate) fn timestamp_of(header: &BatchHeader, delta: i64) -> Timestamp {
    match header.timestamp_type() {
        TimestampType::LogAppendTime => header.max_timestamp,
        TimestampType::CreateTime => Timestamp(header.base_timestamp.0.saturating_add(delta)),
    }
}

/// Takes the next record, and its offset, of a batch from the front of `rest`; `left` come after it.
#[inline]
pub(crate) fn read_record<'a>(
    header: &BatchHeader,
    rest: &mut &'a [u8],
    left: i32,
) -> Result<(Offset, RecordView<&'a [u8]>), BatchError> {
    if rest.is_empty() {
        return Err(TOO_FEW_RECORDS);
    }
    let view = RecordView::read(rest)?;
    if left == 0 && !rest.is_empty() {
        return Err(BYTES_BEHIND);
    }
    let offset = header.base_offset.0.checked_add(i64::from(view.offset_delta));
    let offset = offset.ok_or(BatchError::Invalid("offsets overflow"))?;
    Ok((Offset(offset), view))
}

impl Records {
    /// The header of the batch.
    #[must_use]
    pub fn header(&self) -> &BatchHeader {
        &self.header
    }

    fn step(&mut self) -> Result<Record, BatchError> {
        let mut rest = self.body.get(self.at..).unwrap_or_default();
        let (offset, view) = read_record(&self.header, &mut rest, self.left)?;
        self.at = self.body.len() - rest.len();
        Ok(Record {
            offset,
            timestamp: timestamp_of(&self.header, view.timestamp_delta),
            key: view.key.map(|bytes| self.body.slice_ref(bytes)),
            value: view.value.map(|bytes| self.body.slice_ref(bytes)),
            headers: view
                .headers()
                .map(|(key, value)| (self.body.slice_ref(key), value.map(|v| self.body.slice_ref(v))))
                .collect(),
        })
    }
}

impl Iterator for Records {
    type Item = Result<Record, BatchError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.left <= 0 {
            return None;
        }
        self.left -= 1;
        let record = self.step();
        if record.is_err() {
            self.left = 0;
        }
        Some(record)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (0, usize::try_from(self.left).ok())
    }
}

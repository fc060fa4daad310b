//! Walking the records of a batch without keeping them.

use crate::compression::{Stream, body};
use crate::iter::{BYTES_BEHIND, TOO_FEW_RECORDS, check_count, timestamp_of, whole};
use crate::source::Source;
use crate::{BatchError, BatchHeader, Compression, RecordView};
use milena_types::{Offset, Timestamp};

/// What the records of a batch are like, as [`validate_records`] found them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordStats {
    /// How many there are; equals the header's count.
    pub count: i32,
    /// The smallest timestamp that is not [`Timestamp::NONE`]; `NONE` if there is no such record.
    pub min_timestamp: Timestamp,
    /// The largest timestamp; `NONE` without records.
    pub max_timestamp: Timestamp,
    /// The offset of the first record with the largest timestamp; of the last record in a LogAppendTime batch.
    pub offset_of_max_timestamp: Offset,
    /// Position (from 0) of the first record without a key.
    pub null_key_at: Option<i32>,
    /// Position of the first record with timestamp [`Timestamp::NONE`].
    pub no_timestamp_at: Option<i32>,
    /// The offset deltas are 0, 1, 2 … and end at the header's last delta; otherwise the batch must be rebuilt before
    /// it can be appended.
    pub dense: bool,
    /// Bytes of the uncompressed records.
    pub uncompressed_bytes: usize,
}

/// Calls `visit` with the position (from 0), the timestamp and the lengths of the fields of each record of `batch`, which
/// is exactly one batch.
///
/// A compressed body streams past, at most `limit_bytes` of it, and none of it is kept: what that takes is said in
/// [`crate::compression`]. The checksum is not looked at.
///
/// # Errors
/// `Invalid` for a record that breaks the format, or when header and records disagree about the count; what
/// [`BatchHeader::parse`] and [`crate::decompress`] return. The first broken rule in the order of the bytes counts;
/// records before it have been visited.
pub fn walk_records(
    batch: &[u8],
    limit_bytes: usize,
    visit: impl FnMut(i32, Timestamp, &RecordView<usize>),
) -> Result<BatchHeader, BatchError> {
    walk(batch, limit_bytes, visit).map(|(header, _)| header)
}

fn walk(
    batch: &[u8],
    limit_bytes: usize,
    visit: impl FnMut(i32, Timestamp, &RecordView<usize>),
) -> Result<(BatchHeader, usize), BatchError> {
    let header = whole(batch)?;
    let codec = header.compression()?;
    let mut body = body(batch);
    if codec == Compression::None {
        check_count(&header, body.len())?;
        let bytes = body.len();
        walk_source(&header, &mut body, visit)?;
        return Ok((header, bytes));
    }
    let mut stream = Stream::new(codec, body, limit_bytes)?;
    walk_source(&header, &mut stream, visit)?;
    Ok((header, stream.bytes_read()))
}

fn walk_source<S: Source>(
    header: &BatchHeader,
    source: &mut S,
    mut visit: impl FnMut(i32, Timestamp, &RecordView<usize>),
) -> Result<(), BatchError> {
    for at in 0..header.records_count {
        if source.is_at_end()? {
            return Err(TOO_FEW_RECORDS);
        }
        let record = RecordView::read(source)?.lengths::<S>();
        visit(at, timestamp_of(header, record.timestamp_delta), &record);
    }
    if source.is_at_end()? {
        Ok(())
    } else {
        Err(BYTES_BEHIND)
    }
}

/// Walks every record of `batch` (exactly one batch) and returns what the append rules need to know.
///
/// # Errors
/// Those of [`walk_records`].
pub fn validate_records(batch: &[u8], limit_bytes: usize) -> Result<RecordStats, BatchError> {
    let mut stats = RecordStats {
        count: 0,
        min_timestamp: Timestamp::NONE,
        max_timestamp: Timestamp::NONE,
        offset_of_max_timestamp: Offset::ZERO,
        null_key_at: None,
        no_timestamp_at: None,
        dense: true,
        uncompressed_bytes: 0,
    };
    let mut delta_of_max = 0;
    let (header, bytes) = walk(batch, limit_bytes, |at, timestamp, record| {
        stats.count += 1;
        if timestamp == Timestamp::NONE {
            stats.no_timestamp_at.get_or_insert(at);
        } else if stats.min_timestamp == Timestamp::NONE || timestamp < stats.min_timestamp {
            stats.min_timestamp = timestamp;
        }
        if at == 0 || timestamp > stats.max_timestamp {
            stats.max_timestamp = timestamp;
            delta_of_max = record.offset_delta;
        }
        if record.key.is_none() {
            stats.null_key_at.get_or_insert(at);
        }
        stats.dense &= record.offset_delta == at;
    })?;
    stats.uncompressed_bytes = bytes;
    stats.dense &= i64::from(stats.count) == i64::from(header.last_offset_delta) + 1;
    if header.timestamp_type() == crate::TimestampType::LogAppendTime {
        delta_of_max = header.last_offset_delta;
    }
    let offset = header.base_offset.0.checked_add(i64::from(delta_of_max));
    stats.offset_of_max_timestamp = offset
        .map(Offset)
        .ok_or(BatchError::Invalid("offsets overflow"))?;
    Ok(stats)
}

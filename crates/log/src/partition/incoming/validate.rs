//! May a client's batch enter this topic? Source: `LogValidator.java`, `UnifiedLog.analyzeAndValidateRecords`.
//!
//! Every record of a client's batch is walked, decompressed piece by piece when need be and never kept: a checksum says
//! that a batch is what its sender built, not that anybody can read it. A body that cannot be read, or that holds another
//! number of records than the header claims, would stop every consumer behind it, or make offsets jump.

use crate::config::LogConfig;
use crate::error::{AppendError, RecordErrors};
use crate::partition::append_leader::AppendContext;
use milena_record::{
    BatchHeader, Compression, RecordStats, RecordView, TimestampType, check_crc, validate_records,
    walk_records,
};
use milena_types::{Timestamp, TopicPartition};

/// Offences that are listed one by one; the rest is only refused with them.
const RECORD_ERRORS_MAX: usize = 100;

/// Checks a batch of a coordinator.
pub(in crate::partition) fn of_coordinator(
    header: &BatchHeader,
    batch: &[u8],
    config: &LogConfig,
) -> Result<(), AppendError> {
    check_whole(header, batch, config, false).map(drop)
}

/// Checks a client's batch; gives what a walk over its records found.
///
/// `limit`: bytes of records that may be unpacked for that, at most `decompressed_bytes_max`.
///
/// # Errors
/// Why it is refused; `TooLarge` when there are more than that.
pub(in crate::partition) fn of_client(
    header: &BatchHeader,
    batch: &[u8],
    (config, limit): (&LogConfig, usize),
    ctx: &AppendContext,
    partition: &TopicPartition,
) -> Result<RecordStats, AppendError> {
    if header.base_offset.0 != 0 {
        return Err(AppendError::InvalidRecord(
            "the base offset of a produced batch must be 0",
        ));
    }
    let codec = check_whole(header, batch, config, true)?;
    let stats = validate_records(batch, limit)?;
    if codec == Compression::None && !stats.dense {
        // A compressed batch with gaps is rewritten without them; this one nobody has a reason to send.
        return Err(AppendError::InvalidRecord(
            "the offset deltas of a batch must count from 0 without gaps",
        ));
    }
    let without_key = config.compact && stats.null_key_at.is_some();
    if without_key || timestamps_offend(header, &stats, config, ctx.now) {
        return Err(offences(header, batch, config, ctx.now, partition));
    }
    Ok(stats)
}

/// Checks what can be checked without its records.
fn check_whole(
    header: &BatchHeader,
    batch: &[u8],
    config: &LogConfig,
    client: bool,
) -> Result<Compression, AppendError> {
    if batch.len() > config.max_message_bytes {
        return Err(AppendError::MessageTooLarge {
            size: batch.len(),
            limit: config.max_message_bytes,
        });
    }
    check_crc(batch)?;
    validate_header(header, client)?;
    Ok(header.compression()?)
}

fn validate_header(header: &BatchHeader, client: bool) -> Result<(), AppendError> {
    if header.records_count <= 0 {
        return Err(AppendError::InvalidRecord(
            "a batch must hold at least one record",
        ));
    }
    if i64::from(header.last_offset_delta) + 1 != i64::from(header.records_count) {
        return Err(AppendError::InvalidRecord(
            "last offset delta and record count of a batch disagree",
        ));
    }
    if client && header.is_control() {
        return Err(AppendError::InvalidRecord("clients cannot write control records"));
    }
    if header.is_transactional() && header.producer_id.is_none() {
        return Err(AppendError::InvalidRecord(
            "a transactional batch needs a producer id",
        ));
    }
    let producer_without_sequence = header.producer_id.is_some() && header.base_sequence < 0;
    if client && (producer_without_sequence || (header.producer_id.is_some() && header.producer_epoch.0 < 0))
    {
        return Err(AppendError::InvalidRecord(
            "a batch with a producer id needs a sequence and an epoch",
        ));
    }
    Ok(())
}

fn in_range(timestamp: Timestamp, config: &LogConfig, now: Timestamp) -> bool {
    timestamp >= Timestamp(now.0.saturating_sub(config.timestamp_before_max_ms))
        && timestamp.0 <= now.0.saturating_add(config.timestamp_after_max_ms)
}

fn timestamps_offend(header: &BatchHeader, stats: &RecordStats, config: &LogConfig, now: Timestamp) -> bool {
    let claims_append_time = header.timestamp_type() == TimestampType::LogAppendTime;
    match config.message_timestamp_type {
        TimestampType::LogAppendTime => claims_append_time,
        TimestampType::CreateTime => {
            (claims_append_time && stats.no_timestamp_at.is_some())
                || [stats.min_timestamp, stats.max_timestamp]
                    .into_iter()
                    .any(|timestamp| timestamp != Timestamp::NONE && !in_range(timestamp, config, now))
        }
    }
}

/// Looks for every record that offends. Of a record that breaks both rules, the missing key counts.
fn offences(
    header: &BatchHeader,
    batch: &[u8],
    config: &LogConfig,
    now: Timestamp,
    partition: &TopicPartition,
) -> AppendError {
    let (mut errors, mut of_time) = (RecordErrors::default(), false);
    let walked = walk_records(batch, config.decompressed_bytes_max, |at, timestamp, record| {
        let text = if config.compact && record.key.is_none() {
            format!("Compacted topic cannot accept message without key in topic partition {partition}")
        } else if let Some(text) = time_offence(header, config, now, (at, timestamp, record)) {
            of_time = true;
            text
        } else {
            return;
        };
        errors.total += 1;
        if errors.listed.len() < RECORD_ERRORS_MAX {
            errors.listed.push((at, text));
        }
    });
    match walked {
        Ok(_) if of_time => AppendError::InvalidTimestamps(errors),
        Ok(_) => AppendError::InvalidRecords(errors),
        Err(error) => error.into(),
    }
}

/// What Kafka says about the timestamp of a record, if anything. Source: `LogValidator.validateTimestamp`.
fn time_offence(
    header: &BatchHeader,
    config: &LogConfig,
    now: Timestamp,
    (at, timestamp, record): (i32, Timestamp, &RecordView<usize>),
) -> Option<String> {
    let create_time = config.message_timestamp_type == TimestampType::CreateTime;
    if create_time && timestamp != Timestamp::NONE {
        let (low, high) = (
            now.0.saturating_sub(config.timestamp_before_max_ms),
            now.0.saturating_add(config.timestamp_after_max_ms),
        );
        return (!in_range(timestamp, config, now)).then(|| {
            format!(
                "Timestamp {timestamp} of message with offset {at} is out of range. The timestamp should be within [{low}, {high}]"
            )
        });
    }
    (header.timestamp_type() == TimestampType::LogAppendTime).then(|| {
        let kind = match header.compression() {
            Ok(Compression::None) => "DefaultRecord",
            _ => "PartialDefaultRecord",
        };
        let (key, value) = (record.key.unwrap_or_default(), record.value.unwrap_or_default());
        format!(
            "Invalid timestamp type in message {kind}(offset={at}, timestamp={timestamp}, key={key} bytes, value={value} bytes). Producer should not set timestamp type to LogAppendTime."
        )
    })
}

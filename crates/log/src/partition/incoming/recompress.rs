//! Rewrites a client's batch when the topic wants another codec, or when its offsets are not dense.
//!
//! Copies and compresses, and holds all records uncompressed meanwhile (twice; their size is known to be within bounds from
//! the walk before): only where the topic's `compression.type` is not the producer's, or for compressed batches of old
//! clients whose offsets have gaps. Source: `LogValidator.java`.

use crate::config::LogConfig;
use crate::error::AppendError;
use bytes::BytesMut;
use milena_record::{BatchBuilder, BatchHeader, Compression, RecordStats, TimestampType, record_iter};

/// The codec to store this batch with, when it must be rewritten.
pub(in crate::partition) fn target_codec(
    header: &BatchHeader,
    stats: &RecordStats,
    config: &LogConfig,
) -> Result<Option<Compression>, AppendError> {
    let current = header.compression()?;
    if header.is_control() {
        return Ok(None);
    }
    let target = config.compression.unwrap_or(current);
    let sparse = current != Compression::None && !stats.dense;
    Ok((target != current || sparse).then_some(target))
}

/// The same records with dense offsets, compressed with `codec`.
pub(in crate::partition) fn rewrite(
    batch: BytesMut,
    codec: Compression,
    config: &LogConfig,
) -> Result<BytesMut, AppendError> {
    let batch = batch.freeze();
    let records = record_iter(&batch, config.decompressed_bytes_max)?;
    let header = *records.header();
    let producer = header
        .producer_id
        .map(|id| (id, header.producer_epoch, header.base_sequence));
    let mut builder = BatchBuilder::new(
        header.base_offset,
        codec,
        TimestampType::CreateTime,
        producer,
        header.is_transactional(),
        header.is_control(),
    );
    if let Some(level) = config.compression_level {
        builder = builder.level(level);
    }
    for record in records {
        let record = record?;
        builder.append(
            record.timestamp,
            record.key.as_deref(),
            record.value.as_deref(),
            &record.headers,
        );
    }
    let rewritten = builder.build();
    if rewritten.len() > config.max_message_bytes {
        return Err(AppendError::MessageTooLarge {
            size: rewritten.len(),
            limit: config.max_message_bytes,
        });
    }
    Ok(rewritten)
}

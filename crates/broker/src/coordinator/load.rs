//! Loading a shard: the partition's whole log, replayed. Source: `CoordinatorLoaderImpl.java`.

use super::seam::OffsetsLog;
use bytes::Bytes;
use milena_coordinator::record::{CoordinatorRecord, DecodeError};
use milena_coordinator::{GroupLimits, GroupShard};
use milena_record::control::ControlRecord;
use milena_record::{BatchError, BatchHeader, batches, check_crc, record_iter};
use milena_types::{ErrorCode, Offset, ProducerId, TopicIdPartition};
use std::sync::Arc;
use std::time::Duration;

/// Bytes read at a time: bounds the memory, and how long the host is busy with one piece.
const READ_BYTES: usize = 512 * 1024;

/// Bytes that one compressed batch may grow to.
const DECOMPRESSED_BYTES_MAX: usize = 64 << 20;

/// Pause between looks at the high watermark, and before a read that failed is tried again.
const RETRY_PAUSE: Duration = Duration::from_millis(20);

/// Why a partition cannot be loaded.
#[derive(Debug, thiserror::Error)]
pub(super) enum LoadError {
    /// This broker does not lead it (any more).
    #[error("not the leader: {0}")]
    NotLeader(ErrorCode),
    /// The log cannot be read; worth trying again.
    #[error("read at offset {at}: {error}")]
    Read {
        /// Where.
        at: Offset,
        /// Why.
        error: ErrorCode,
    },
    /// The log holds something that is no batch.
    #[error("batch at offset {at}")]
    Batch {
        /// The first offset of what was read.
        at: Offset,
        /// What is wrong.
        #[source]
        source: BatchError,
    },
}

impl LoadError {
    fn read(at: Offset, error: ErrorCode) -> Self {
        match error {
            ErrorCode::NotLeaderOrFollower
            | ErrorCode::FencedLeaderEpoch
            | ErrorCode::UnknownTopicOrPartition
            | ErrorCode::UnknownTopicId => LoadError::NotLeader(error),
            error => LoadError::Read { at, error },
        }
    }
}

/// Replays the log to its end, then waits until all of it is committed: what a new leader holds beyond the high
/// watermark may still be lost, and nobody may be told about it.
pub(super) async fn load<L: OffsetsLog>(
    log: L,
    id: TopicIdPartition,
    limits: Arc<GroupLimits>,
) -> Result<GroupShard, LoadError> {
    let mut shard = GroupShard::new(limits);
    let mut next = Offset::ZERO;
    loop {
        let read = log
            .read(id, next, READ_BYTES)
            .await
            .map_err(|error| LoadError::read(next, error))?;
        if read.records.is_empty() {
            if next < read.log_end {
                return Err(LoadError::Read {
                    at: next,
                    error: ErrorCode::KafkaStorageError,
                });
            }
            if read.high_watermark >= read.log_end {
                return Ok(shard);
            }
            tokio::time::sleep(RETRY_PAUSE).await;
            continue;
        }
        next = replay(&mut shard, &read.records, next)?;
        // The host serves other partitions between two pieces.
        tokio::task::yield_now().await;
    }
}

/// The same, tried again until it succeeds or this broker is not the leader.
pub(super) async fn load_until_done<L: OffsetsLog>(
    log: L,
    id: TopicIdPartition,
    limits: Arc<GroupLimits>,
) -> Result<GroupShard, LoadError> {
    let mut pause = RETRY_PAUSE;
    loop {
        match load(log.clone(), id, limits.clone()).await {
            Ok(shard) => return Ok(shard),
            Err(error @ LoadError::NotLeader(_)) => return Err(error),
            Err(error) => {
                tracing::error!(partition = %id, error = &error as &dyn std::error::Error, "load of groups failed");
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(Duration::from_secs(5));
            }
        }
    }
}

/// Replays whole batches; returns the offset after the last one.
fn replay(shard: &mut GroupShard, records: &Bytes, from: Offset) -> Result<Offset, LoadError> {
    let mut next = from;
    for batch in batches(records) {
        let (header, bytes) = batch.map_err(|source| LoadError::Batch { at: next, source })?;
        let failed = |source| LoadError::Batch {
            at: header.base_offset,
            source,
        };
        check_crc(bytes).map_err(failed)?;
        replay_batch(shard, &header, &records.slice_ref(bytes), from).map_err(failed)?;
        next = header.next_offset();
    }
    Ok(next)
}

fn replay_batch(
    shard: &mut GroupShard,
    header: &BatchHeader,
    batch: &Bytes,
    from: Offset,
) -> Result<(), BatchError> {
    let producer: Option<ProducerId> = header.producer_id.filter(|_| header.is_transactional());
    for record in record_iter(batch, DECOMPRESSED_BYTES_MAX)? {
        let record = record?;
        let Some(key) = record.key.filter(|_| record.offset >= from) else {
            continue;
        };
        if header.is_control() {
            if let (Some(marker), Some(producer)) = (ControlRecord::decode_key(&key)?, header.producer_id) {
                shard.transaction_ended(producer, marker == ControlRecord::Commit);
            }
            continue;
        }
        match CoordinatorRecord::decode(&key, record.value.as_ref()) {
            Ok(decoded) => shard.replay(record.offset, producer, decoded),
            // Groups of other protocols, or of a newer Kafka.
            Err(DecodeError::UnknownType(kind)) => {
                tracing::debug!(kind, offset = %record.offset, "record is skipped")
            }
            // One odd record, which only an administrator's producer can have written, must not take every group of
            // the partition down.
            Err(error) => tracing::warn!(%error, offset = %record.offset, "record is skipped"),
        }
    }
    Ok(())
}

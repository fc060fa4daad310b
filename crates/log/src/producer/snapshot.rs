//! The `.snapshot` file: Kafka's binary version 1.
//!
//! ```text
//! i16 version = 1 | u32 CRC-32C of the rest | i32 count | count times:
//!   i64 producer id | i16 epoch | i32 last sequence | i64 last offset | i32 offset delta | i64 timestamp
//!   | i32 coordinator epoch | i64 first offset of the open transaction, or -1
//! ```
//! Only the newest batch of each producer is kept, as in Kafka; the log completes it when a snapshot is loaded. Source:
//! `ProducerSnapshot.json`.

use super::entry::{BatchMetadata, ProducerEntry};
use super::state::ProducerState;
use crate::format::be_bytes;
use milena_record::crc32c;
use milena_types::{Offset, ProducerEpoch, ProducerId, Timestamp};

const VERSION: i16 = 1;
const HEAD_BYTES: usize = 6;
const ENTRY_BYTES: usize = 46;

/// What is wrong with a snapshot.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SnapshotError {
    /// Shorter or longer than its count of entries says.
    #[error("producer snapshot has a wrong length of {0} bytes")]
    Length(usize),
    /// Written by another version.
    #[error("producer snapshot has unknown version {0}")]
    Version(i16),
    /// The checksum does not match.
    #[error("producer snapshot is corrupt: its checksum does not match")]
    Checksum,
    /// It knows records that come after it: it belongs to another offset, or another log.
    #[error(
        "producer snapshot of offset {offset} names offsets of producer {producer_id} that are not below it"
    )]
    NotBelow {
        /// Where it was taken.
        offset: Offset,
        /// The producer.
        producer_id: ProducerId,
    },
}

impl ProducerState {
    /// The state, if it can be one of the records below `offset`.
    ///
    /// # Errors
    /// [`SnapshotError::NotBelow`] names the producer that cannot.
    pub fn lies_below(self, offset: Offset) -> Result<Self, SnapshotError> {
        let above = self.entries().find(|(_, entry)| {
            let wrong = |batch: &BatchMetadata| {
                batch.last_offset >= offset || batch.offset_delta < 0 || batch.first_offset() < Offset::ZERO
            };
            entry.batches().iter().any(wrong) || entry.txn_first_offset().is_some_and(|first| first >= offset)
        });
        match above.map(|(id, _)| id) {
            Some(producer_id) => Err(SnapshotError::NotBelow { offset, producer_id }),
            None => Ok(self),
        }
    }
}

/// How many bytes [`encode_snapshot`] gives.
#[must_use]
pub fn encoded_snapshot_bytes(state: &ProducerState) -> usize {
    HEAD_BYTES + 4 + state.len() * ENTRY_BYTES
}

/// The file's bytes, producers in ascending order.
#[must_use]
pub fn encode_snapshot(state: &ProducerState) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(encoded_snapshot_bytes(state));
    bytes.extend_from_slice(&VERSION.to_be_bytes());
    bytes.extend_from_slice(&[0; 4]);
    bytes.extend_from_slice(&i32::try_from(state.len()).unwrap_or(i32::MAX).to_be_bytes());
    for (id, entry) in state.entries() {
        let last = entry.batches().last();
        bytes.extend_from_slice(&id.0.to_be_bytes());
        bytes.extend_from_slice(&entry.epoch.map_or(-1, |epoch| epoch.0).to_be_bytes());
        bytes.extend_from_slice(&last.map_or(-1, |b| b.last_sequence).to_be_bytes());
        bytes.extend_from_slice(&last.map_or(-1, |b| b.last_offset.0).to_be_bytes());
        bytes.extend_from_slice(&last.map_or(0, |b| b.offset_delta).to_be_bytes());
        bytes.extend_from_slice(&entry.last_timestamp.0.to_be_bytes());
        bytes.extend_from_slice(&entry.coordinator_epoch.to_be_bytes());
        bytes.extend_from_slice(
            &entry
                .txn_first_offset()
                .map_or(-1, |offset| offset.0)
                .to_be_bytes(),
        );
    }
    let crc = crc32c(&bytes[HEAD_BYTES..]);
    bytes[2..HEAD_BYTES].copy_from_slice(&crc.to_be_bytes());
    bytes
}

/// Inverse of [`encode_snapshot`], up to the older batches of each producer.
///
/// # Errors
/// [`SnapshotError`] says what is wrong; nothing of a damaged snapshot is used.
pub fn decode_snapshot(bytes: &[u8]) -> Result<ProducerState, SnapshotError> {
    let length = || SnapshotError::Length(bytes.len());
    let version = i16::from_be_bytes(be_bytes(bytes, 0).ok_or_else(length)?);
    if version != VERSION {
        return Err(SnapshotError::Version(version));
    }
    let crc = u32::from_be_bytes(be_bytes(bytes, 2).ok_or_else(length)?);
    if crc32c(&bytes[HEAD_BYTES..]) != crc {
        return Err(SnapshotError::Checksum);
    }
    let count = i32::from_be_bytes(be_bytes(bytes, HEAD_BYTES).ok_or_else(length)?);
    let body = &bytes[HEAD_BYTES + 4..];
    if usize::try_from(count)
        .ok()
        .and_then(|n| n.checked_mul(ENTRY_BYTES))
        != Some(body.len())
    {
        return Err(length());
    }
    let entries: Option<Vec<_>> = body.chunks_exact(ENTRY_BYTES).map(decode_entry).collect();
    Ok(ProducerState::from_entries(entries.ok_or_else(length)?))
}

fn decode_entry(bytes: &[u8]) -> Option<(ProducerId, ProducerEntry)> {
    let i32_at = |at| be_bytes(bytes, at).map(i32::from_be_bytes);
    let i64_at = |at| be_bytes(bytes, at).map(i64::from_be_bytes);
    let epoch = i16::from_be_bytes(be_bytes(bytes, 8)?);
    let last_timestamp = Timestamp(i64_at(26)?);
    let mut entry = ProducerEntry::unknown();
    let last_offset = i64_at(14)?;
    if epoch >= 0 {
        entry.move_to_epoch(ProducerEpoch(epoch));
        if last_offset >= 0 {
            let batch = BatchMetadata {
                last_sequence: i32_at(10)?,
                last_offset: Offset(last_offset),
                offset_delta: i32_at(22)?,
                timestamp: last_timestamp,
            };
            entry.add(ProducerEpoch(epoch), batch);
        }
    }
    entry.last_timestamp = last_timestamp;
    entry.coordinator_epoch = i32_at(34)?;
    let txn_first_offset = i64_at(38)?;
    entry.set_txn_first_offset((txn_first_offset >= 0).then_some(Offset(txn_first_offset)));
    Some((ProducerId(i64_at(0)?), entry))
}

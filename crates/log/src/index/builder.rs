//! Builds the two indexes of a segment batch by batch, by Kafka's rules: append and recovery use the same code.
//!
//! Source: `LogSegment.append`, `LogSegment.recover`, `TimeIndex.maybeAppend`.

use super::{OffsetEntry, OffsetIndex, TimeEntry, TimeIndex};
use crate::format::{OFFSET_INDEX_ENTRY_BYTES, TIME_INDEX_ENTRY_BYTES};
use milena_record::BatchHeader;
use milena_types::{Offset, Timestamp};

/// The indexes of a segment that is being written, as the bytes of their files.
#[derive(Clone, Debug)]
pub(crate) struct IndexBuilder {
    base: Offset,
    interval_bytes: u64,
    offsets: Vec<u8>,
    times: Vec<u8>,
    bytes_since_entry: u64,
    /// The largest timestamp so far and the last offset of the batch that has it.
    max_timestamp: Option<(Timestamp, Offset)>,
}

impl IndexBuilder {
    pub(crate) fn new(base: Offset, interval_bytes: u32) -> Self {
        Self {
            base,
            interval_bytes: u64::from(interval_bytes),
            offsets: Vec::new(),
            times: Vec::new(),
            bytes_since_entry: 0,
            max_timestamp: None,
        }
    }

    /// Goes on with indexes that are on disk; batches after the last entry must be added by [`Self::add`].
    pub(crate) fn resume(base: Offset, interval_bytes: u32, offsets: Vec<u8>, times: Vec<u8>) -> Self {
        let last = TimeIndex(&times).last();
        let max_timestamp = last.map(|entry| (entry.timestamp, base.plus(i64::from(entry.delta))));
        Self {
            offsets,
            times,
            max_timestamp,
            ..Self::new(base, interval_bytes)
        }
    }

    /// Takes note of the batch at `position`.
    pub(crate) fn add(&mut self, header: &BatchHeader, position: u64) {
        let last_offset = header.last_offset();
        let largest = self.max_timestamp.map_or(Timestamp::NONE, |(at, _)| at);
        // One that compaction has left without records keeps its timestamp, and has no record that a search could find.
        if header.max_timestamp > largest && header.records_count > 0 {
            self.max_timestamp = Some((header.max_timestamp, last_offset));
        }
        if self.bytes_since_entry > self.interval_bytes {
            let entry = (self.delta(last_offset), u32::try_from(position));
            if let (Some(delta), Ok(position)) = entry {
                self.offsets
                    .extend_from_slice(&OffsetEntry { delta, position }.encode());
            }
            self.add_time_entry();
            self.bytes_since_entry = 0;
        }
        self.bytes_since_entry += header.size_bytes() as u64;
    }

    fn delta(&self, offset: Offset) -> Option<u32> {
        // Kafka's offsets are signed 32-bit relative to the base; a segment is rolled before they overflow.
        i32::try_from(offset.since(self.base))
            .ok()
            .and_then(|delta| u32::try_from(delta).ok())
    }

    /// Adds the largest timestamp so far, unless the last entry has it: done with each offset entry and at the end.
    pub(crate) fn add_time_entry(&mut self) {
        let Some((timestamp, offset)) = self.max_timestamp else {
            return;
        };
        let last = TimeIndex(&self.times).last();
        let Some(delta) = self.delta(offset) else { return };
        if last.is_none_or(|last| timestamp > last.timestamp && delta >= last.delta) {
            self.times
                .extend_from_slice(&TimeEntry { timestamp, delta }.encode());
        }
    }

    /// Takes a largest timestamp that was found by other means than [`Self::add`].
    pub(crate) fn note_max_timestamp(&mut self, found: Option<(Timestamp, Offset)>) {
        if found.map(|(timestamp, _)| timestamp) > self.max_timestamp.map(|(timestamp, _)| timestamp) {
            self.max_timestamp = found;
        }
    }

    pub(crate) fn max_timestamp(&self) -> Option<(Timestamp, Offset)> {
        self.max_timestamp
    }

    pub(crate) fn offsets(&self) -> OffsetIndex<'_> {
        OffsetIndex(&self.offsets)
    }

    pub(crate) fn times(&self) -> TimeIndex<'_> {
        TimeIndex(&self.times)
    }

    /// True when either file would pass `limit_bytes` with one more entry; of the time index one is kept for the end, as in Kafka.
    pub(crate) fn is_full(&self, limit_bytes: u32) -> bool {
        let limit = limit_bytes as usize;
        self.offsets.len() + OFFSET_INDEX_ENTRY_BYTES > limit
            || self.times.len() + 2 * TIME_INDEX_ENTRY_BYTES > limit
    }

    pub(crate) fn into_bytes(self) -> (Vec<u8>, Vec<u8>) {
        (self.offsets, self.times)
    }
}

//! Time index: `i64 timestamp | i32 offset - base` per entry: no record up to that offset is later than the timestamp.
//!
//! Timestamps strictly increase, offsets never decrease. Source: `TimeIndex.java`.

use super::prefix;
use crate::format::{TIME_INDEX_ENTRY_BYTES as ENTRY, be_bytes};
use milena_record::BatchHeader;
use milena_types::{Offset, Timestamp};

/// One entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TimeEntry {
    /// The largest timestamp so far.
    pub(crate) timestamp: Timestamp,
    /// Last offset of the batch that has it, relative to the segment's base.
    pub(crate) delta: u32,
}

impl TimeEntry {
    pub(crate) fn encode(self) -> [u8; ENTRY] {
        let mut bytes = [0; ENTRY];
        bytes[..8].copy_from_slice(&self.timestamp.0.to_be_bytes());
        bytes[8..].copy_from_slice(&self.delta.to_be_bytes());
        bytes
    }

    /// Is this the batch that has the timestamp? Older releases of Kafka name an offset inside it.
    pub(crate) fn is_of(self, header: &BatchHeader, base: Offset) -> bool {
        let offset = base.plus(i64::from(self.delta));
        (header.base_offset..=header.last_offset()).contains(&offset)
            && header.max_timestamp == self.timestamp
    }
}

/// The bytes of a time index, read as entries; an incomplete last entry is ignored.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TimeIndex<'a>(pub(crate) &'a [u8]);

impl TimeIndex<'_> {
    pub(crate) fn len(&self) -> usize {
        self.0.len() / ENTRY
    }

    pub(crate) fn get(&self, i: usize) -> Option<TimeEntry> {
        let at = i.checked_mul(ENTRY)?;
        Some(TimeEntry {
            timestamp: Timestamp(i64::from_be_bytes(be_bytes(self.0, at)?)),
            delta: u32::from_be_bytes(be_bytes(self.0, at + 8)?),
        })
    }

    pub(crate) fn last(&self) -> Option<TimeEntry> {
        self.len().checked_sub(1).and_then(|i| self.get(i))
    }

    /// How many entries lie at or below `delta`.
    pub(crate) fn up_to(&self, delta: u32) -> usize {
        prefix(self.len(), |i| {
            self.get(i).is_some_and(|entry| entry.delta <= delta)
        })
    }

    /// The last entry whose timestamp is below `timestamp`: every record up to its offset is too early.
    pub(crate) fn last_before(&self, timestamp: Timestamp) -> Option<TimeEntry> {
        let is_early = |entry: TimeEntry| entry.timestamp < timestamp;
        let early = prefix(self.len(), |i| self.get(i).is_some_and(is_early));
        early.checked_sub(1).and_then(|i| self.get(i))
    }

    /// Timestamps strictly increase, offsets never decrease.
    pub(crate) fn is_sane(&self) -> bool {
        let mut previous: Option<TimeEntry> = None;
        (0..self.len()).filter_map(|i| self.get(i)).all(|entry| {
            let grows = previous.is_none_or(|p| p.timestamp < entry.timestamp && p.delta <= entry.delta);
            previous = Some(entry);
            grows
        }) && self.0.len().is_multiple_of(ENTRY)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lookups_give_the_last_entry_that_is_too_early() {
        let entries = [(100, 5), (200, 5), (300, 9)];
        let bytes: Vec<u8> = entries
            .iter()
            .flat_map(|(timestamp, delta)| {
                TimeEntry {
                    timestamp: Timestamp(*timestamp),
                    delta: *delta,
                }
                .encode()
            })
            .collect();
        let index = TimeIndex(&bytes);
        for (timestamp, expected) in [
            (50, None),
            (100, None),
            (101, Some(100)),
            (300, Some(200)),
            (999, Some(300)),
        ] {
            assert_eq!(
                index.last_before(Timestamp(timestamp)).map(|e| e.timestamp.0),
                expected,
                "{timestamp}"
            );
        }
        assert!(index.is_sane());
        assert!(!TimeIndex(&[0; 24]).is_sane());
    }
}

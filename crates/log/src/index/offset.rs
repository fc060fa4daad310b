//! Offset index: `i32 offset - base | i32 position` per entry, both strictly increasing.
//!
//! The offset is the last one of a batch, the position where that batch begins. Source: `OffsetIndex.java`.

use super::prefix;
use crate::format::{OFFSET_INDEX_ENTRY_BYTES as ENTRY, be_bytes};

/// One entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct OffsetEntry {
    /// Last offset of the batch, relative to the segment's base.
    pub(crate) delta: u32,
    /// Where the batch begins in the log file.
    pub(crate) position: u32,
}

impl OffsetEntry {
    pub(crate) fn encode(self) -> [u8; ENTRY] {
        let mut bytes = [0; ENTRY];
        bytes[..4].copy_from_slice(&self.delta.to_be_bytes());
        bytes[4..].copy_from_slice(&self.position.to_be_bytes());
        bytes
    }
}

/// The bytes of an offset index, read as entries; an incomplete last entry is ignored.
#[derive(Clone, Copy, Debug)]
pub(crate) struct OffsetIndex<'a>(pub(crate) &'a [u8]);

impl OffsetIndex<'_> {
    pub(crate) fn len(&self) -> usize {
        self.0.len() / ENTRY
    }

    pub(crate) fn get(&self, i: usize) -> Option<OffsetEntry> {
        let at = i.checked_mul(ENTRY)?;
        Some(OffsetEntry {
            delta: u32::from_be_bytes(be_bytes(self.0, at)?),
            position: u32::from_be_bytes(be_bytes(self.0, at + 4)?),
        })
    }

    pub(crate) fn last(&self) -> Option<OffsetEntry> {
        self.len().checked_sub(1).and_then(|i| self.get(i))
    }

    /// How many entries have a delta below `delta`.
    pub(crate) fn below(&self, delta: u32) -> usize {
        prefix(self.len(), |i| {
            self.get(i).is_some_and(|entry| entry.delta < delta)
        })
    }

    /// The last entry at or below `delta`: the batch that holds `delta` begins at its position or later.
    pub(crate) fn entry_before(&self, delta: u32) -> Option<OffsetEntry> {
        let below_or_at = self.below(delta.saturating_add(1));
        below_or_at.checked_sub(1).and_then(|i| self.get(i))
    }

    /// A position at or before the batch that holds `delta`: that of the last entry at or below it, or 0.
    pub(crate) fn position_before(&self, delta: u32) -> u32 {
        self.entry_before(delta).map_or(0, |entry| entry.position)
    }

    /// A position at or past the end of every batch that ends below `delta`; `None` past the last entry.
    pub(crate) fn position_after(&self, delta: u32) -> Option<u32> {
        self.get(self.below(delta)).map(|entry| entry.position)
    }

    /// The last entry at or before `position`.
    pub(crate) fn entry_at(&self, position: u64) -> Option<OffsetEntry> {
        let is_before = |entry: OffsetEntry| u64::from(entry.position) <= position;
        let before = prefix(self.len(), |i| self.get(i).is_some_and(is_before));
        before.checked_sub(1).and_then(|i| self.get(i))
    }

    /// Both columns strictly increase and stay inside a log of `log_bytes`.
    pub(crate) fn is_sane(&self, log_bytes: u64) -> bool {
        let mut previous: Option<OffsetEntry> = None;
        (0..self.len()).filter_map(|i| self.get(i)).all(|entry| {
            let grows = previous.is_none_or(|p| p.delta < entry.delta && p.position < entry.position);
            previous = Some(entry);
            grows && u64::from(entry.position) < log_bytes
        }) && self.0.len().is_multiple_of(ENTRY)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lookups_bracket_the_batch() {
        let entries = [(9, 100), (19, 200), (29, 300)];
        let bytes: Vec<u8> = entries
            .iter()
            .flat_map(|(delta, position)| {
                OffsetEntry {
                    delta: *delta,
                    position: *position,
                }
                .encode()
            })
            .collect();
        let index = OffsetIndex(&bytes);
        for (delta, before, after) in [
            (0, 0, Some(100)),
            (9, 100, Some(100)),
            (10, 100, Some(200)),
            (29, 300, Some(300)),
            (30, 300, None),
        ] {
            assert_eq!(
                (index.position_before(delta), index.position_after(delta)),
                (before, after),
                "{delta}"
            );
        }
        for (position, delta) in [(99, None), (100, Some(9)), (299, Some(19)), (u64::MAX, Some(29))] {
            assert_eq!(
                index.entry_at(position).map(|entry| entry.delta),
                delta,
                "{position}"
            );
        }
        assert!(index.is_sane(301) && !index.is_sane(300));
        assert!(!OffsetIndex(&bytes[..20]).is_sane(301));
        assert!(!OffsetIndex(&[0; 16]).is_sane(301));
        assert_eq!(OffsetIndex(&[]).position_before(5), 0);
    }
}

//! Recent appends in memory: what followers and tail consumers are served from without touching the file.
//!
//! Each partition holds a run of batches that ends at its log end; all partitions of a data thread share one budget in
//! bytes, and the oldest batch of all goes first.

use bytes::{Bytes, BytesMut};
use milena_types::{Offset, OffsetRange, TopicIdPartition};
use std::collections::VecDeque;

/// What keeping a batch takes beside its records: the entries here, and what else was in its request.
const ENTRY_BYTES: usize = 256;

/// The recent batches of one partition. Boxed, because most partitions have none.
#[derive(Debug, Default)]
pub(crate) struct TailRing(Option<Box<Batches>>);

type Batches = VecDeque<(OffsetRange, Bytes)>;

/// The budget that all tail rings of a data thread share.
#[derive(Debug)]
pub(crate) struct RingBudget {
    bytes_max: usize,
    bytes: usize,
    /// In the order of appends; entries of rings that were cleared are skipped when they come up.
    order: VecDeque<(TopicIdPartition, Offset, usize)>,
}

impl RingBudget {
    pub(crate) fn new(bytes_max: usize) -> Self {
        Self {
            bytes_max,
            bytes: 0,
            order: VecDeque::new(),
        }
    }

    /// Counts a batch that was pushed to a ring.
    pub(crate) fn charge(&mut self, id: TopicIdPartition, from: Offset, batch_bytes: usize) {
        let bytes = batch_bytes + ENTRY_BYTES;
        self.bytes += bytes;
        self.order.push_back((id, from, bytes));
    }

    /// While over budget: the next batch to drop, oldest first.
    pub(crate) fn next_eviction(&mut self) -> Option<(TopicIdPartition, Offset)> {
        if self.bytes <= self.bytes_max {
            return None;
        }
        let (id, from, bytes) = self.order.pop_front()?;
        self.bytes = self.bytes.saturating_sub(bytes);
        Some((id, from))
    }
}

impl TailRing {
    /// Adds what was just appended. A gap (an append that was not kept) empties the ring first.
    pub(crate) fn push(&mut self, range: OffsetRange, bytes: Bytes) {
        let batches = self.0.get_or_insert_default();
        if batches.back().is_some_and(|(last, _)| last.to != range.from) {
            batches.clear();
        }
        batches.push_back((range, bytes));
    }

    /// Drops the batch that begins at `from` if it still is the oldest.
    pub(crate) fn evict(&mut self, from: Offset) {
        let Some(batches) = &mut self.0 else { return };
        if batches.front().is_some_and(|(range, _)| range.from == from) {
            batches.pop_front();
        }
        if batches.is_empty() {
            self.0 = None;
        }
    }

    /// Drops the batches that end at or below `offset`: what the log has there is no longer what was appended.
    pub(crate) fn forget_below(&mut self, offset: Offset) {
        let Some(batches) = &mut self.0 else { return };
        let gone = batches.partition_point(|(range, _)| range.to <= offset);
        batches.drain(..gone);
        if batches.is_empty() {
            self.0 = None;
        }
    }

    /// True when everything from `offset` on is here.
    pub(crate) fn covers(&self, offset: Offset) -> bool {
        self.covering(offset).is_some()
    }

    fn covering(&self, offset: Offset) -> Option<&Batches> {
        let batches = self.0.as_deref()?;
        let (oldest, _) = batches.front()?;
        (oldest.from <= offset).then_some(batches)
    }

    /// Whole batches from the one that holds `from`, up to `upper` (exclusive) and about `bytes_max`; the first one
    /// always. `None`: not here.
    pub(crate) fn read(&self, from: Offset, upper: Offset, bytes_max: usize) -> Option<(Bytes, Offset)> {
        let batches = self.covering(from)?;
        let first = batches.partition_point(|(range, _)| range.to <= from);
        let mut taken = 0;
        let mut bytes = 0;
        let mut next = from;
        for (range, batch) in batches.range(first..) {
            if range.to > upper || (taken > 0 && bytes + batch.len() > bytes_max) {
                break;
            }
            taken += 1;
            bytes += batch.len();
            next = range.to;
        }
        let mut batches = batches.range(first..first + taken).map(|(_, batch)| batch);
        let joined = match (taken, batches.next()) {
            (_, None) => return Some((Bytes::new(), from)),
            (1, Some(only)) => only.clone(),
            (_, Some(head)) => {
                let mut joined = BytesMut::with_capacity(bytes);
                joined.extend_from_slice(head);
                batches.for_each(|batch| joined.extend_from_slice(batch));
                joined.freeze()
            }
        };
        Some((joined, next))
    }

    /// Like [`TailRing::read`], but each batch is handed to `sink` as it is, without being joined. Returns where to go
    /// on; `None`: not here.
    pub(crate) fn read_parts(
        &self,
        from: Offset,
        bytes_max: usize,
        mut sink: impl FnMut(Bytes),
    ) -> Option<(usize, Offset)> {
        let batches = self.covering(from)?;
        let first = batches.partition_point(|(range, _)| range.to <= from);
        let (mut bytes, mut next) = (0, from);
        for (range, batch) in batches.range(first..) {
            if bytes > 0 && bytes + batch.len() > bytes_max {
                break;
            }
            bytes += batch.len();
            next = range.to;
            sink(batch.clone());
        }
        Some((bytes, next))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use milena_types::{PartitionIndex, TopicId};

    fn range(from: i64, to: i64) -> OffsetRange {
        OffsetRange {
            from: Offset(from),
            to: Offset(to),
        }
    }

    fn ring() -> TailRing {
        let mut ring = TailRing::default();
        ring.push(range(10, 12), Bytes::from_static(b"aa"));
        ring.push(range(12, 15), Bytes::from_static(b"bbb"));
        ring.push(range(15, 16), Bytes::from_static(b"c"));
        ring
    }

    #[test]
    fn whole_batches_up_to_the_bound_and_the_budget() {
        let read = |from, upper, max| ring().read(Offset(from), Offset(upper), max);
        assert_eq!(
            read(10, 16, 100),
            Some((Bytes::from_static(b"aabbbc"), Offset(16)))
        );
        assert_eq!(
            read(10, 15, 100),
            Some((Bytes::from_static(b"aabbb"), Offset(15)))
        );
        assert_eq!(read(13, 16, 100), Some((Bytes::from_static(b"bbbc"), Offset(16))));
        assert_eq!(read(10, 16, 4), Some((Bytes::from_static(b"aa"), Offset(12))));
        assert_eq!(read(12, 16, 1), Some((Bytes::from_static(b"bbb"), Offset(15))));
        assert_eq!(read(10, 11, 100), Some((Bytes::new(), Offset(10))));
        assert_eq!(read(9, 16, 100), None);
        assert_eq!(read(16, 16, 100), Some((Bytes::new(), Offset(16))));
    }

    #[test]
    fn what_was_compacted_is_forgotten() {
        let below = |offset| {
            let mut ring = ring();
            ring.forget_below(Offset(offset));
            ring.0.and_then(|batches| Some(batches.front()?.0.from.0))
        };
        assert_eq!(
            [10, 11, 12, 14, 15, 16].map(below),
            [Some(10), Some(10), Some(12), Some(12), Some(15), None]
        );
    }

    #[test]
    fn the_oldest_batch_of_all_partitions_goes_first() {
        let id = |partition| TopicIdPartition {
            topic: TopicId::default(),
            partition: PartitionIndex(partition),
        };
        let mut budget = RingBudget::new(2 * ENTRY_BYTES + 5);
        budget.charge(id(1), Offset(0), 3);
        budget.charge(id(2), Offset(0), 2);
        assert_eq!(budget.next_eviction(), None);
        budget.charge(id(2), Offset(9), 4);
        assert_eq!(budget.next_eviction(), Some((id(1), Offset(0))));
        assert_eq!(budget.next_eviction(), Some((id(2), Offset(0))));
        assert_eq!(budget.next_eviction(), None);
    }

    #[test]
    fn a_gap_empties_the_ring() {
        let mut ring = ring();
        ring.push(range(20, 21), Bytes::from_static(b"d"));
        assert!(!ring.covers(Offset(15)));
        assert!(ring.covers(Offset(20)));
        ring.evict(Offset(20));
        assert!(!ring.covers(Offset(20)));
    }
}

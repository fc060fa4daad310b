//! Segments as the log knows them without opening them, and how one is opened for reading.

use super::PartitionLog;
use super::txn_index::TxnIndexSum;
use crate::env::LogFile;
use crate::error::LogError;
use crate::format::{FileKind, OFFSET_SPAN_MAX};
use crate::index::{OffsetIndex, TimeIndex};
use crate::segment::{ActiveSegment, PoolKey, SealedSegment};
use crate::small::Small;
use milena_types::{Offset, Timestamp};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// What is kept in memory of every segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SegmentMeta {
    pub(super) base: Offset,
    /// Bytes of the log file that are good.
    pub(super) size: u64,
    /// The largest timestamp, once somebody asked; not kept while the segment is open for appends.
    pub(super) max_timestamp: Option<SmallTimestamp>,
    /// What is in the transaction index.
    pub(super) aborted: TxnIndexSum,
    /// When this process created it; `None` for one found on disk.
    pub(super) created: Option<SmallTimestamp>,
}

/// Any timestamp but the smallest, which stands for none: an `Option` of it is no larger.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SmallTimestamp(Small<{ i64::MIN }>);

impl SmallTimestamp {
    /// `None` for `i64::MIN`.
    pub(super) fn new(timestamp: Timestamp) -> Option<Self> {
        Small::new(timestamp.0).map(Self)
    }

    pub(super) fn get(self) -> Timestamp {
        Timestamp(self.0.get())
    }
}

impl SegmentMeta {
    pub(super) fn new(base: Offset, size: u64) -> Self {
        Self {
            base,
            size,
            max_timestamp: None,
            aborted: TxnIndexSum::default(),
            created: None,
        }
    }
}

/// A segment that is open for reading.
pub(super) enum OpenSegment<'a> {
    Active(&'a ActiveSegment),
    Sealed(Arc<SealedSegment>),
}

impl OpenSegment<'_> {
    pub(super) fn offsets(&self) -> OffsetIndex<'_> {
        match self {
            OpenSegment::Active(segment) => segment.offsets(),
            OpenSegment::Sealed(segment) => segment.offsets(),
        }
    }

    pub(super) fn times(&self) -> TimeIndex<'_> {
        match self {
            OpenSegment::Active(segment) => segment.times(),
            OpenSegment::Sealed(segment) => segment.times(),
        }
    }

    /// Set by readers that find an entry of an index which is not right.
    pub(super) fn index_is_wrong(&self) -> &Arc<AtomicBool> {
        match self {
            OpenSegment::Active(segment) => &segment.index_is_wrong,
            OpenSegment::Sealed(segment) => &segment.index_is_wrong,
        }
    }

    pub(super) fn file(&self) -> &Arc<dyn LogFile> {
        match self {
            OpenSegment::Active(segment) => &segment.file,
            OpenSegment::Sealed(segment) => &segment.file,
        }
    }
}

impl PartitionLog {
    pub(super) fn path(&self, base: Offset, kind: FileKind) -> PathBuf {
        self.home.file(&self.partition, base, kind)
    }

    pub(super) fn pool_key(&self, base: Offset) -> PoolKey {
        PoolKey {
            log_id: self.log_id,
            base,
        }
    }

    /// Opens segment number `at` for reading; the last one through the pool as well while the log is idle.
    pub(super) fn open_segment(&self, at: usize) -> Result<OpenSegment<'_>, LogError> {
        if let (Some(active), true) = (&self.active, at + 1 == self.segments.len()) {
            return Ok(OpenSegment::Active(active));
        }
        self.verify()?;
        let meta = &self.segments[at];
        let key = self.pool_key(meta.base);
        let pooled = self.env.sealed.get(key);
        let wrong = pooled
            .as_ref()
            .is_some_and(|open| open.index_is_wrong.load(Ordering::Relaxed));
        if let Some(open) = pooled.filter(|_| !wrong) {
            return Ok(OpenSegment::Sealed(open));
        }
        self.refuse_if_half_swapped()
            .map_err(LogError::new("open segment", self.path(meta.base, FileKind::Log)))?;
        let interval = self.config.index_interval_bytes;
        let open = if wrong {
            SealedSegment::rebuild
        } else {
            SealedSegment::open
        };
        let opened = open(&*self.env.fs, &self.dir(), meta.base, meta.size, interval)
            .map_err(LogError::new("open segment", self.path(meta.base, FileKind::Log)))
            .inspect_err(|error| self.make_room(error))?;
        let opened = Arc::new(opened);
        self.env.sealed.insert(key, opened.clone());
        Ok(OpenSegment::Sealed(opened))
    }

    /// After a shortage: closes segments that are open only in case they are read again, so that what failed can be tried again.
    pub(super) fn make_room(&self, error: &LogError) {
        if error.is_shortage() {
            self.env.sealed.give_way();
        }
    }

    /// Number of the segment that holds `offset`, or the first one for an offset below all.
    pub(super) fn segment_of(&self, offset: Offset) -> Option<usize> {
        let above = self.segments.partition_point(|segment| segment.base <= offset);
        if self.segments.is_empty() {
            None
        } else {
            Some(above.saturating_sub(1))
        }
    }

    /// May offsets be missing between batches? Else a gap is damage.
    #[must_use]
    pub fn may_have_holes(&self) -> bool {
        self.has_holes || self.config.compact
    }

    /// May a segment that begins at `base` end before the next one, at `next`, begins? Kafka's compaction leaves that. Milena's leaves
    /// a batch at the end; only where the leader had a hole that no index can span, a follower begins a segment behind it.
    pub(super) fn may_part(&self, base: Offset, next: Offset) -> bool {
        self.parted || (self.has_holes && next.since(base) > OFFSET_SPAN_MAX)
    }

    /// The offset after segment number `at`.
    pub(super) fn segment_end(&self, at: usize) -> Offset {
        self.segments.get(at + 1).map_or(self.log_end, |next| next.base)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_small_timestamp_is_any_but_the_smallest() {
        for timestamp in [i64::MIN + 1, -2, -1, 0, 1, i64::MAX].map(Timestamp) {
            assert_eq!(
                SmallTimestamp::new(timestamp).map(SmallTimestamp::get),
                Some(timestamp)
            );
        }
        assert_eq!(SmallTimestamp::new(Timestamp(i64::MIN)), None);
        assert_eq!(size_of::<Option<SmallTimestamp>>(), 8);
    }
}

//! Where each leader epoch begins in a log.
//!
//! Invariant: epochs and start offsets both strictly increase, but two epochs may share a start only when the older
//! has no record, and then the older is dropped. Kept in memory; the owner writes it with the next flush, before the
//! records themselves, and recovery rebuilds what is missing from the batch headers.
//! Source: `LeaderEpochFileCache.java`, KIP-101, KIP-279.

use crate::few::Few;
use milena_types::{LeaderEpoch, Offset};

/// Leader epochs and their start offsets, oldest first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EpochCache {
    entries: Few<(LeaderEpoch, Offset)>,
}

impl EpochCache {
    /// Takes entries in file order; entries that break the order are dropped, as if never written.
    #[must_use]
    pub fn from_entries(entries: Vec<(LeaderEpoch, Offset)>) -> Self {
        let mut cache = Self::default();
        for (epoch, start) in entries {
            cache.assign(epoch, start);
        }
        cache
    }

    /// The entries, oldest first.
    #[must_use]
    pub fn entries(&self) -> &[(LeaderEpoch, Offset)] {
        &self.entries
    }

    /// The newest epoch.
    #[must_use]
    pub fn latest(&self) -> Option<LeaderEpoch> {
        self.entries.last().map(|(epoch, _)| *epoch)
    }

    /// Notes that `epoch` begins at `start`; returns true when anything changed.
    ///
    /// Newer knowledge wins: entries with a higher epoch or a start at or past `start` are dropped, as in Kafka. An epoch
    /// that is already the newest keeps its start.
    pub fn assign(&mut self, epoch: LeaderEpoch, start: Offset) -> bool {
        if epoch.0 < 0 || start.0 < 0 {
            return false;
        }
        if self
            .entries
            .last()
            .is_some_and(|(last, at)| *last == epoch && *at <= start)
        {
            return false;
        }
        self.entries.retain(|(e, s)| *e < epoch && *s < start);
        self.entries.push((epoch, start));
        true
    }

    /// Takes note that the record at `offset` has this epoch: what contradicts it goes, and nothing else. True when anything
    /// changed.
    pub fn observe(&mut self, epoch: LeaderEpoch, offset: Offset) -> bool {
        if self.epoch_for_offset(offset) == Some(epoch) {
            return false;
        }
        let agrees = |(e, s): &(LeaderEpoch, Offset)| {
            if *s < offset || (*s == offset && *e == epoch) {
                *e <= epoch
            } else {
                *s > offset && *e > epoch
            }
        };
        self.entries.retain(agrees);
        if self.epoch_for_offset(offset) != Some(epoch) {
            let at = self.entries.partition_point(|(_, s)| *s < offset);
            self.entries.insert(at, (epoch, offset));
        }
        true
    }

    /// The largest known epoch at or below `epoch`, and where it ends: the start of the next one, or `log_end`.
    ///
    /// `None` for an epoch above all known ones, or when nothing is known: the asker knows more than this log. For an epoch
    /// below all known ones the answer is (that epoch, the first start). Source: `LeaderEpochFileCache.endOffsetFor`.
    #[must_use]
    pub fn end_offset_for(&self, epoch: LeaderEpoch, log_end: Offset) -> Option<(LeaderEpoch, Offset)> {
        let (latest, _) = *self.entries.last()?;
        if epoch > latest {
            return None;
        }
        if epoch == latest {
            return Some((epoch, log_end));
        }
        let above = self.entries.partition_point(|(e, _)| *e <= epoch);
        let end = self.entries[above].1;
        match above.checked_sub(1) {
            Some(floor) => Some((self.entries[floor].0, end)),
            None => Some((epoch, end)),
        }
    }

    /// The epoch of the record at `offset`.
    #[must_use]
    pub fn epoch_for_offset(&self, offset: Offset) -> Option<LeaderEpoch> {
        let above = self.entries.partition_point(|(_, start)| *start <= offset);
        above.checked_sub(1).map(|i| self.entries[i].0)
    }

    /// Forgets epochs that begin at or past `end`; returns true when anything changed.
    pub fn truncate_from_end(&mut self, end: Offset) -> bool {
        let before = self.entries.len();
        self.entries.retain(|(_, start)| *start < end);
        before != self.entries.len()
    }

    /// Forgets epochs that end at or below `start`; the one that holds `start` begins there now. True when changed.
    pub fn truncate_from_start(&mut self, start: Offset) -> bool {
        let below = self.entries.partition_point(|(_, s)| *s <= start);
        let Some(keep) = below.checked_sub(1) else {
            return false;
        };
        if keep == 0 && self.entries[0].1 == start {
            return false;
        }
        self.entries.drop_first(keep);
        self.entries[0].1 = start;
        true
    }

    /// The first epoch of `seen`, with its start, of whose offset this cache says a newer one.
    #[must_use]
    pub fn first_below(&self, seen: &Self) -> Option<(LeaderEpoch, Offset)> {
        let mut entries = seen.entries.iter().copied();
        entries.find(|(epoch, start)| self.epoch_for_offset(*start) > Some(*epoch))
    }

    /// Gives back spare memory.
    pub fn shrink(&mut self) {
        self.entries.shrink();
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        self.entries = Few::default();
    }
}

/// What the headers of a log's batches say, first to last.
#[derive(Debug, Default)]
pub(crate) struct HeaderEpochs {
    pub(crate) cache: EpochCache,
    /// An epoch fell: some batch is damaged.
    pub(crate) falls: bool,
    /// Epochs that one batch has alone.
    pub(crate) lone: Vec<LeaderEpoch>,
    last: Option<LeaderEpoch>,
}

impl HeaderEpochs {
    /// The next batch has this epoch and begins at that offset.
    pub(crate) fn add(&mut self, epoch: LeaderEpoch, start: Offset) {
        self.falls |= self.last > Some(epoch);
        if self.last != Some(epoch) {
            self.cache.assign(epoch, start);
            self.lone.push(epoch);
        } else if self.lone.last() == Some(&epoch) {
            self.lone.pop();
        }
        self.last = Some(epoch);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cache(entries: &[(i32, i64)]) -> EpochCache {
        EpochCache::from_entries(
            entries
                .iter()
                .map(|(e, s)| (LeaderEpoch(*e), Offset(*s)))
                .collect(),
        )
    }

    #[test]
    fn end_offsets_are_kafkas() {
        let cache = cache(&[(2, 10), (4, 20), (5, 30)]);
        let ask = |epoch| {
            cache
                .end_offset_for(LeaderEpoch(epoch), Offset(50))
                .map(|(e, o)| (e.0, o.0))
        };
        let cases = [
            (6, None),
            (5, Some((5, 50))),
            (4, Some((4, 30))),
            (3, Some((2, 20))),
            (2, Some((2, 20))),
            (1, Some((1, 10))),
            (0, Some((0, 10))),
        ];
        for (epoch, expected) in cases {
            assert_eq!(ask(epoch), expected, "epoch {epoch}");
        }
        assert_eq!(
            EpochCache::default().end_offset_for(LeaderEpoch(0), Offset(0)),
            None
        );
    }

    #[test]
    fn assigning_keeps_both_columns_increasing() {
        let mut c = cache(&[(0, 0), (1, 10)]);
        assert!(
            !c.assign(LeaderEpoch(1), Offset(12)),
            "a known epoch keeps its start"
        );
        assert!(
            c.assign(LeaderEpoch(2), Offset(10)),
            "an epoch without records gives way"
        );
        assert_eq!(c, cache(&[(0, 0), (2, 10)]));
        assert!(
            c.assign(LeaderEpoch(1), Offset(5)),
            "newer knowledge drops what contradicts it"
        );
        assert_eq!(c, cache(&[(0, 0), (1, 5)]));
        assert!(!c.assign(LeaderEpoch(-1), Offset(9)));
    }

    #[test]
    fn what_was_seen_drops_what_contradicts_it_only() {
        let observed = |entries: &[(i32, i64)], epoch, at| {
            let mut c = cache(entries);
            let changed = c.observe(LeaderEpoch(epoch), Offset(at));
            assert_eq!(changed, c != cache(entries));
            c
        };
        let known = [(1, 10), (3, 20), (5, 30)];
        assert_eq!(observed(&known, 3, 25), cache(&known));
        assert_eq!(
            observed(&known, 0, 5),
            cache(&[(0, 5), (1, 10), (3, 20), (5, 30)])
        );
        assert_eq!(
            observed(&known, 4, 25),
            cache(&[(1, 10), (3, 20), (4, 25), (5, 30)])
        );
        assert_eq!(observed(&known, 4, 20), cache(&[(1, 10), (4, 20), (5, 30)]));
        assert_eq!(observed(&known, 3, 15), cache(&[(1, 10), (3, 15), (5, 30)]));
        assert_eq!(observed(&known, 6, 15), cache(&[(1, 10), (6, 15)]));
        assert_eq!(observed(&known, 1, 25), cache(&[(1, 10), (5, 30)]));
        assert_eq!(observed(&known, 2, 35), cache(&[(1, 10), (2, 35)]));
    }

    #[test]
    fn truncation_at_either_end() {
        let mut c = cache(&[(0, 0), (1, 10), (2, 20)]);
        assert!(c.truncate_from_end(Offset(20)));
        assert!(!c.truncate_from_end(Offset(15)));
        assert_eq!(c, cache(&[(0, 0), (1, 10)]));
        assert!(c.truncate_from_start(Offset(5)));
        assert_eq!(c, cache(&[(0, 5), (1, 10)]));
        assert!(c.truncate_from_start(Offset(10)));
        assert!(!c.truncate_from_start(Offset(10)));
        assert_eq!(c, cache(&[(1, 10)]));
        assert!(c.truncate_from_start(Offset(99)));
        assert_eq!(c, cache(&[(1, 99)]));
        assert_eq!(
            cache(&[(0, 0), (3, 7)]).epoch_for_offset(Offset(6)),
            Some(LeaderEpoch(0))
        );
        assert_eq!(cache(&[(3, 7)]).epoch_for_offset(Offset(6)), None);
    }
}

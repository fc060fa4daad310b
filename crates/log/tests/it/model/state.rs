//! The model of a log: a vector of batches, and everything else by looking through all of it.

use super::entry::Entry;
use std::collections::BTreeMap;

/// The log as it should be.
#[derive(Clone, Debug, Default)]
pub(crate) struct Model {
    /// Every batch from the first to the last, those among them that retention has deleted.
    pub(crate) lineage: Vec<Entry>,
    /// Where the lineage begins.
    pub(crate) begin: i64,
    pub(crate) start: i64,
    /// There were more segments than those that producers are looked up in.
    pub(crate) long: bool,
    /// Where it has ever been.
    pub(crate) start_max: i64,
    pub(crate) epochs: Vec<(i32, i64)>,
    pub(crate) high_watermark: i64,
    /// Flushed for certain.
    pub(crate) flushed: i64,
    /// The checkpoints of the directory.
    pub(crate) recovery_point: i64,
    pub(crate) start_checkpoint: i64,
    /// How far a compaction has come that returned; not known after a crash.
    pub(crate) mark: Option<i64>,
    /// How far any has ever come.
    pub(crate) compacted: i64,
    /// The cleaner's clock.
    pub(crate) cleaner_ms: i64,
}

/// One producer, as the batches tell.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Producer {
    pub(crate) epoch: Option<i16>,
    /// Last sequence, base and last offset of its batches of this epoch; and is the batch still there?
    pub(crate) batches: Vec<(i32, i64, i64, bool)>,
    pub(crate) coordinator: i32,
    pub(crate) open_since: Option<i64>,
    /// Its newest data batch ends here, whatever its epoch.
    pub(crate) newest: i64,
}

/// A transaction that ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ended {
    pub(crate) id: i64,
    pub(crate) first: i64,
    pub(crate) marker: i64,
    pub(crate) aborted: bool,
}

impl Model {
    pub(crate) fn end(&self) -> i64 {
        self.lineage
            .last()
            .map_or(self.begin, |last| last.last + 1)
            .max(self.begin)
    }

    /// Batches that hold an offset that may be read.
    pub(crate) fn visible(&self) -> impl Iterator<Item = &Entry> {
        let from = self.lineage.partition_point(|entry| entry.last < self.start);
        self.lineage[from..].iter().filter(|entry| !entry.is_gone())
    }

    pub(crate) fn push(&mut self, entry: Entry) {
        assert_eq!(entry.base, self.end(), "no hole but by compaction");
        self.assign(entry.epoch, entry.base);
        self.lineage.push(entry);
    }

    pub(crate) fn assign(&mut self, epoch: i32, at: i64) {
        if self.epochs.last().is_some_and(|(last, _)| *last == epoch) {
            return;
        }
        self.epochs.retain(|(e, s)| *e < epoch && *s < at);
        self.epochs.push((epoch, at));
    }

    /// Keeps whole batches below `to`.
    pub(crate) fn truncate(&mut self, to: i64) {
        self.lineage.retain(|entry| entry.last < to);
        // Not inside a hole.
        while self.lineage.last().is_some_and(Entry::is_gone) {
            self.lineage.pop();
        }
        let end = self.end();
        self.mark = self.mark.map(|mark| if mark > end { 0 } else { mark });
        self.epochs.retain(|(_, start)| *start < end);
        self.high_watermark = self.high_watermark.min(end);
        self.flushed = self.flushed.min(end);
    }

    pub(crate) fn begin_again(&mut self, at: i64) {
        self.lineage.clear();
        self.epochs.clear();
        (self.begin, self.start, self.flushed) = (at, at, at);
        (self.high_watermark, self.start_max) = (at, at);
        (self.mark, self.compacted) = (None, 0);
    }

    pub(crate) fn set_start(&mut self, start: i64) {
        self.start = self.start.max(start);
        self.start_max = self.start_max.max(start);
        let below = self.epochs.partition_point(|(_, s)| *s <= self.start);
        if let Some(keep) = below.checked_sub(1) {
            self.epochs.drain(..keep);
            self.epochs[0].1 = self.start;
        }
    }

    /// What is known of epochs after a restart: those that have records.
    pub(crate) fn restart(&mut self) {
        let (end, start) = (self.end(), self.start);
        self.epochs.clear();
        let seen: Vec<(i32, i64)> = self
            .lineage
            .iter()
            .map(|entry| (entry.epoch, entry.base))
            .collect();
        for (epoch, base) in seen {
            self.assign(epoch, base);
        }
        self.epochs.retain(|(_, s)| *s < end);
        self.set_start(start);
    }

    /// Every producer and every transaction that ended.
    pub(crate) fn producers(&self) -> (BTreeMap<i64, Producer>, Vec<Ended>) {
        let mut producers: BTreeMap<i64, Producer> = BTreeMap::new();
        let mut ended = Vec::new();
        for entry in &self.lineage {
            let Some((id, epoch, sequence)) = entry.producer else {
                continue;
            };
            let producer = producers.entry(id).or_insert_with(|| Producer {
                coordinator: -1,
                newest: -1,
                ..Producer::default()
            });
            if producer.epoch != Some(epoch) {
                producer.batches.clear();
                producer.epoch = Some(epoch);
            }
            if let Some((commit, coordinator)) = entry.marker {
                producer.coordinator = coordinator;
                if let Some(first) = producer.open_since.take() {
                    ended.push(Ended {
                        id,
                        first,
                        marker: entry.base,
                        aborted: !commit,
                    });
                }
                continue;
            }
            producer.newest = entry.last;
            producer.batches.push((
                sequence + (entry.last - entry.base) as i32,
                entry.base,
                entry.last,
                !entry.is_gone(),
            ));
            if entry.transactional && producer.open_since.is_none() {
                producer.open_since = Some(entry.base);
            }
        }
        (producers, ended)
    }

    /// Offset of the first record of a transaction that is open, or ended at or above the high watermark.
    pub(crate) fn first_unstable(&self) -> Option<i64> {
        let (producers, ended) = self.producers();
        let open = producers.values().filter_map(|producer| producer.open_since);
        let fresh = ended
            .iter()
            .filter(|txn| txn.marker >= self.high_watermark)
            .map(|txn| txn.first);
        open.chain(fresh).min().map(|first| first.max(self.start))
    }

    /// Aborted transactions with data at or past the log start that touch `[from, upper)`, each from its first such record on.
    pub(crate) fn aborted(&self, from: i64, upper: i64) -> Vec<(i64, i64, i64)> {
        let (_, ended) = self.producers();
        ended
            .iter()
            .filter(|txn| txn.aborted && txn.marker >= from && txn.first < upper)
            .filter_map(|txn| self.readable(txn.id, txn.first, txn.marker))
            .collect()
    }

    /// The part of a transaction that can be read: a restart may have forgotten the rest.
    pub(crate) fn readable(&self, id: i64, first: i64, marker: i64) -> Option<(i64, i64, i64)> {
        let data = self.visible().find(|entry| {
            entry.base >= first.max(self.start)
                && entry.base < marker
                && entry.marker.is_none()
                && !entry.items.is_empty()
                && entry.producer.is_some_and(|(owner, _, _)| owner == id)
        });
        data.map(|entry| (id, entry.base, marker))
    }

    /// The first record that may be read with this timestamp or a later one.
    pub(crate) fn at_time(&self, timestamp: i64) -> Option<(i64, i64)> {
        let items = self.visible().flat_map(|entry| &entry.items);
        let records = items.map(|item| (item.offset, item.time));
        records
            .filter(|(offset, _)| *offset >= self.start)
            .find(|(_, time)| *time >= timestamp)
    }
}

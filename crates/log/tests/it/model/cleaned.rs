//! What a compaction may and must leave, by looking at all of the model. Source: reference of `Cleaner.cleanInto`, and the
//! two rules beyond Kafka that `compaction/mod.rs` names.

use super::entry::{Entry, Item};
use super::state::{Ended, Model};
use std::collections::BTreeMap;

/// A segment that is closed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Closed {
    pub(crate) base: i64,
    pub(crate) size: u64,
    /// Base of the next one.
    pub(crate) end: i64,
}

/// What the log knows last of a producer.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Last {
    Data(i64),
    Marker(i16),
}

/// What one pass depends on besides the batches.
#[derive(Debug)]
pub(crate) struct Pass {
    pub(crate) now: i64,
    pub(crate) delete_retention_ms: i64,
    pub(crate) replicated: i64,
    /// Keys that the map takes.
    pub(crate) keys_max: usize,
    pub(crate) first_dirty: i64,
    /// All of them that may be touched.
    pub(crate) segments: Vec<Closed>,
    pub(crate) segment_bytes: u64,
    /// High watermark and log end.
    pub(crate) kept_ends: [i64; 2],
    pub(crate) producers: BTreeMap<i64, Last>,
}

/// What becomes of a group of segments.
#[derive(Debug)]
pub(crate) struct Group {
    /// Batches that are not as they were.
    pub(crate) changes: Vec<Entry>,
    /// It is written again.
    pub(crate) written: bool,
    pub(crate) deletes_below: Option<i64>,
}

/// What becomes of the log.
#[derive(Debug)]
pub(crate) struct Plan {
    /// Up to where it will be clean.
    pub(crate) end: i64,
    pub(crate) groups: Vec<Group>,
}

/// The key map of a pass.
#[derive(Default)]
struct Seen {
    keys: BTreeMap<Vec<u8>, i64>,
    /// Everything below is in it.
    upto: i64,
}

impl Seen {
    fn has_seen(&self, last: i64) -> bool {
        last < self.upto
    }
}

/// The data of a transaction that was aborted, as far as the whole history tells.
fn is_aborted(entry: &Entry, ended: &[Ended]) -> bool {
    let of = |txn: &Ended| {
        let own = entry.producer.is_some_and(|(id, _, _)| id == txn.id);
        own && txn.aborted && (txn.first..txn.marker).contains(&entry.base)
    };
    entry.transactional && entry.marker.is_none() && ended.iter().any(of)
}

impl Pass {
    pub(crate) fn plan(&self, model: &Model) -> Plan {
        let (_, ended) = model.producers();
        let seen = self.map(model, &ended);
        let mut groups: Vec<Vec<Closed>> = Vec::new();
        for segment in self.segments.iter().filter(|segment| segment.base < seen.upto) {
            let bytes = |group: &[Closed]| group.iter().map(|s| s.size).sum::<u64>();
            match groups.last_mut() {
                Some(group) if bytes(group) + segment.size <= self.segment_bytes => group.push(*segment),
                _ => groups.push(vec![*segment]),
            }
        }
        let groups = groups.iter().map(|group| self.group(model, &ended, &seen, group));
        Plan {
            groups: groups.collect(),
            end: seen.upto,
        }
    }

    fn held<'a>(&self, model: &'a Model, segment: &Closed) -> impl Iterator<Item = &'a Entry> {
        let (base, end) = (segment.base, segment.end);
        let held = move |entry: &&Entry| (base..end).contains(&entry.base) && !entry.is_gone();
        model.lineage.iter().filter(held)
    }

    fn map(&self, model: &Model, ended: &[Ended]) -> Seen {
        let mut seen = Seen {
            upto: self.first_dirty,
            ..Seen::default()
        };
        for segment in self
            .segments
            .iter()
            .filter(|segment| segment.end > self.first_dirty)
        {
            for entry in self.held(model, segment) {
                let counts = entry.marker.is_none() && !is_aborted(entry, ended);
                for item in entry
                    .items
                    .iter()
                    .filter(|item| counts && item.offset >= self.first_dirty)
                {
                    let key = item.key.clone().unwrap().to_vec();
                    if !seen.keys.contains_key(&key) && seen.keys.len() == self.keys_max {
                        return seen;
                    }
                    seen.keys.insert(key, item.offset);
                    seen.upto = item.offset + 1;
                }
                seen.upto = seen.upto.max(entry.last + 1);
            }
            seen.upto = segment.end;
        }
        seen
    }

    fn group(&self, model: &Model, ended: &[Ended], seen: &Seen, group: &[Closed]) -> Group {
        let end = group[group.len() - 1].end;
        let mut deletes_below = None;
        let mut changes = Vec::new();
        for entry in group.iter().flat_map(|segment| self.held(model, segment)) {
            let (mut kept, mut horizon) = (entry.items.clone(), entry.horizon);
            let due = horizon.is_some_and(|horizon| horizon <= self.now);
            let mut deletes = false;
            if entry.marker.is_some() {
                if self.is_empty(model, entry) {
                    deletes = !kept.is_empty();
                    if due && entry.last < self.replicated && deletes {
                        kept.clear();
                        deletes_below = Some(entry.last + 1);
                    }
                }
            } else if is_aborted(entry, ended) {
                kept.clear();
            } else {
                kept.retain(|item| {
                    let stays = is_newest(item, seen);
                    let goes = stays && item.value.is_none() && self.may_go(item, due, seen);
                    if goes {
                        deletes_below = Some(item.offset + 1);
                    }
                    deletes |= stays && !goes && item.value.is_none();
                    stays && !goes
                });
            }
            if deletes && horizon.is_none() && seen.has_seen(entry.last) {
                horizon = Some(self.now + self.delete_retention_ms);
            }
            let stays = !kept.is_empty() || self.is_kept_empty(entry, end);
            if !stays {
                changes.push(entry.gone());
            } else if kept != entry.items || (horizon != entry.horizon && !kept.is_empty()) {
                changes.push(entry.left(kept, horizon));
            }
        }
        Group {
            written: group.len() > 1 || !changes.is_empty(),
            changes,
            deletes_below,
        }
    }

    fn may_go(&self, item: &Item, due: bool, seen: &Seen) -> bool {
        due && item.offset < self.replicated && seen.has_seen(item.offset)
    }

    /// Nothing of its transaction is in the log.
    fn is_empty(&self, model: &Model, marker: &Entry) -> bool {
        let id = |entry: &Entry| entry.producer.map(|(id, _, _)| id);
        let own = |entry: &&Entry| id(entry) == id(marker) && entry.base < marker.base;
        let former = model
            .lineage
            .iter()
            .rfind(|entry| own(entry) && entry.marker.is_some())
            .map_or(-1, |former| former.base);
        let first = self.segments.first().map_or(0, |segment| segment.base);
        !model.lineage.iter().any(|entry| {
            own(&entry)
                && entry.base > former
                && entry.base >= first
                && entry.transactional
                && !entry.is_gone()
        })
    }

    /// Without records it says where a segment ends, or what a producer sent last.
    fn is_kept_empty(&self, entry: &Entry, group_end: i64) -> bool {
        let of_producer = entry
            .producer
            .is_some_and(|(id, epoch, _)| match self.producers.get(&id) {
                Some(Last::Data(last)) => *last == entry.last,
                Some(Last::Marker(last)) => entry.marker.is_some() && *last == epoch,
                None => false,
            });
        of_producer || self.kept_ends.contains(&(entry.last + 1)) || entry.last + 1 == group_end
    }
}

fn is_newest(item: &Item, seen: &Seen) -> bool {
    let last = item.key.as_ref().and_then(|key| seen.keys.get(&key.to_vec()));
    !seen.has_seen(item.offset) || last.is_none_or(|last| item.offset >= *last)
}

impl Model {
    pub(crate) fn replace(&mut self, changes: &[Entry]) {
        for change in changes {
            let at = self.lineage.iter().position(|entry| entry.base == change.base);
            self.lineage[at.unwrap()] = change.clone();
        }
    }

    /// What a consumer that reads only what is committed knows of every key, having read all of it.
    pub(crate) fn table(&self) -> BTreeMap<Vec<u8>, Vec<u8>> {
        let (_, ended) = self.producers();
        let mut table = BTreeMap::new();
        let data = self
            .visible()
            .filter(|entry| entry.marker.is_none() && !is_aborted(entry, &ended));
        for item in data
            .flat_map(|entry| &entry.items)
            .filter(|item| item.offset >= self.start)
        {
            let key = item.key.clone().unwrap().to_vec();
            match &item.value {
                Some(value) => table.insert(key, value.to_vec()),
                None => table.remove(&key),
            };
        }
        table
    }

    /// A key that two records below `end` have: then the log is not compacted up to there.
    pub(crate) fn repeated_below(&self, end: i64) -> Option<Item> {
        let (_, ended) = self.producers();
        let mut keys = BTreeMap::new();
        let data = self
            .visible()
            .filter(|entry| entry.marker.is_none() && !is_aborted(entry, &ended));
        let mut items = data.flat_map(|entry| &entry.items);
        let below = |item: &&Item| (self.start_max..end).contains(&item.offset);
        items
            .find(|item| below(item) && keys.insert(item.key.clone(), item.offset).is_some())
            .cloned()
    }
}

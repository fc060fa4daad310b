//! What changed from one image to a later one, for those who follow: partition owners, caches, coordinators.
//!
//! A delta names what changed and is only read beside the new image. Entries are unique and in no promised order.

use crate::chunk_map::ChunkMap;
use crate::image::{MetadataImage, TopicImage};
use crate::record::ConfigResource;
use milena_types::{BrokerId, PartitionIndex, TopicId, TopicIdPartition};
use std::collections::HashSet;
use std::sync::Arc;

/// What a batch (or the step from one image to a newer one) touched.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct MetadataDelta {
    /// Partitions whose registration is new or changed.
    pub partitions: Vec<TopicIdPartition>,
    /// Topics that are gone, with their last image.
    pub topics_removed: Vec<Arc<TopicImage>>,
    /// Brokers that registered, changed or left.
    pub brokers: Vec<BrokerId>,
    /// Resources whose configuration changed (a removed topic's included).
    pub configs: Vec<ConfigResource>,
}

impl MetadataDelta {
    /// The step from `old` to `new`, found by comparison: for a snapshot that replaces an image.
    ///
    /// Costs one walk over both; parts that are shared between the two are skipped by pointer.
    #[must_use]
    pub fn between(old: &MetadataImage, new: &MetadataImage) -> Self {
        let mut delta = Self::default();
        diff(&old.brokers, &new.brokers, |id, _, _| delta.brokers.push(*id));
        diff(&old.configs, &new.configs, |resource, _, _| {
            delta.configs.push(resource.clone())
        });
        diff(&old.topics, &new.topics, |id, before, after| {
            match (before, after) {
                (Some(gone), None) => delta.topics_removed.push(Arc::clone(gone)),
                (before, Some(after)) => delta.changed_partitions(*id, before, after),
                (None, None) => {}
            }
        });
        delta
    }

    fn changed_partitions(&mut self, topic: TopicId, before: Option<&Arc<TopicImage>>, after: &TopicImage) {
        let none = ChunkMap::new();
        let before = before.map_or(&none, |t| &t.partitions);
        diff(before, &after.partitions, |index: &PartitionIndex, _, after| {
            if after.is_some() {
                self.partitions.push(TopicIdPartition {
                    topic,
                    partition: *index,
                });
            }
        });
    }

    /// Adds what a later step touched, so that several batches are followed as one.
    pub fn absorb(&mut self, later: MetadataDelta) {
        let gone: HashSet<TopicId> = later.topics_removed.iter().map(|t| t.id).collect();
        self.partitions.retain(|p| !gone.contains(&p.topic));
        add_new(&mut self.partitions, later.partitions);
        add_new(&mut self.brokers, later.brokers);
        add_new(&mut self.configs, later.configs);
        self.topics_removed.extend(later.topics_removed);
    }

    /// True when nothing that is followed changed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.partitions.is_empty()
            && self.topics_removed.is_empty()
            && self.brokers.is_empty()
            && self.configs.is_empty()
    }

    /// Makes every list free of repetitions; `apply` calls it once a batch.
    pub(crate) fn dedup(&mut self) {
        self.partitions.sort_unstable();
        self.partitions.dedup();
        self.brokers.sort_unstable();
        self.brokers.dedup();
        self.configs.sort_unstable();
        self.configs.dedup();
    }
}

fn add_new<T: Ord + Clone>(to: &mut Vec<T>, from: Vec<T>) {
    to.extend(from);
    to.sort_unstable();
    to.dedup();
}

/// Calls `changed` for each key whose value differs, with the old and the new value.
fn diff<'a, K: Ord, V: PartialEq>(
    old: &'a ChunkMap<K, Arc<V>>,
    new: &'a ChunkMap<K, Arc<V>>,
    mut changed: impl FnMut(&'a K, Option<&'a Arc<V>>, Option<&'a Arc<V>>),
) {
    if old.ptr_eq(new) {
        return;
    }
    let (mut before, mut after) = (old.iter().peekable(), new.iter().peekable());
    loop {
        let order = match (before.peek(), after.peek()) {
            (None, None) => return,
            (Some(_), None) => std::cmp::Ordering::Less,
            (None, Some(_)) => std::cmp::Ordering::Greater,
            (Some((b, _)), Some((a, _))) => b.cmp(a),
        };
        let gone = if order.is_le() { before.next() } else { None };
        let come = if order.is_ge() { after.next() } else { None };
        match (gone, come) {
            (Some((_, b)), Some((_, a))) if Arc::ptr_eq(b, a) || b == a => {}
            (Some((key, b)), a) => changed(key, Some(b), a.map(|(_, v)| v)),
            (None, Some((key, a))) => changed(key, None, Some(a)),
            (None, None) => return,
        }
    }
}

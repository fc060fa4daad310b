//! All offsets of one shard. Holds committed state only: what is being appended is not in here.
//!
//! Source: `OffsetMetadataManager.java` (`Offsets`, `OpenTransactions`, `replay`, `replayEndTransactionMarker`).

use crate::record::{OffsetCommitValue, OffsetKey};
use milena_types::{Offset, PartitionIndex, ProducerId};
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// A committed offset and where in the log its record is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CommittedOffset {
    pub(crate) value: OffsetCommitValue,
    /// Of a transactional and a plain commit, the later record wins, whenever the transaction ends.
    pub(crate) record_offset: Offset,
}

type Partitions<T> = BTreeMap<PartitionIndex, T>;
type Topics<T> = BTreeMap<String, Partitions<T>>;

/// The offsets of one shard.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct OffsetStore {
    committed: HashMap<String, Topics<CommittedOffset>>,
    /// By producer: what its open transaction committed.
    pending: HashMap<ProducerId, BTreeMap<OffsetKey, CommittedOffset>>,
    /// By group: which partitions have pending commits, and of whom.
    open: HashMap<String, Topics<BTreeSet<ProducerId>>>,
}

fn remove<T>(groups: &mut HashMap<String, Topics<T>>, key: &OffsetKey) -> Option<T> {
    let topics = groups.get_mut(&key.group)?;
    let partitions = topics.get_mut(&key.topic)?;
    let value = partitions.remove(&key.partition);
    if partitions.is_empty() {
        topics.remove(&key.topic);
    }
    if topics.is_empty() {
        groups.remove(&key.group);
    }
    value
}

impl OffsetStore {
    /// Stores a committed offset.
    pub(crate) fn put(&mut self, key: OffsetKey, offset: CommittedOffset) {
        let topics = self.committed.entry(key.group).or_default();
        topics.entry(key.topic).or_default().insert(key.partition, offset);
    }

    /// Stores an offset that becomes committed when the producer's transaction commits.
    pub(crate) fn put_pending(&mut self, producer: ProducerId, key: OffsetKey, offset: CommittedOffset) {
        let topics = self.open.entry(key.group.clone()).or_default();
        topics
            .entry(key.topic.clone())
            .or_default()
            .entry(key.partition)
            .or_default()
            .insert(producer);
        self.pending.entry(producer).or_default().insert(key, offset);
    }

    /// Forgets an offset, the pending ones too.
    pub(crate) fn forget(&mut self, key: &OffsetKey) {
        remove(&mut self.committed, key);
        for producer in remove(&mut self.open, key).unwrap_or_default() {
            if let Some(pending) = self.pending.get_mut(&producer) {
                pending.remove(key);
            }
        }
    }

    /// A transaction ended: its offsets are committed or forgotten.
    pub(crate) fn end_transaction(&mut self, producer: ProducerId, commit: bool) {
        for (key, offset) in self.pending.remove(&producer).unwrap_or_default() {
            let producers = self
                .open
                .get_mut(&key.group)
                .and_then(|topics| topics.get_mut(&key.topic))
                .and_then(|partitions| partitions.get_mut(&key.partition));
            if let Some(producers) = producers {
                producers.remove(&producer);
                if producers.is_empty() {
                    remove(&mut self.open, &key);
                }
            }
            let is_newer = self
                .get(&key.group, &key.topic, key.partition)
                .is_none_or(|existing| offset.record_offset > existing.record_offset);
            if commit && is_newer {
                self.put(key, offset);
            }
        }
    }

    /// The committed offset of one partition.
    pub(crate) fn get(
        &self,
        group: &str,
        topic: &str,
        partition: PartitionIndex,
    ) -> Option<&CommittedOffset> {
        self.committed.get(group)?.get(topic)?.get(&partition)
    }

    /// The committed offsets of a group, by topic and partition.
    pub(crate) fn of_group(&self, group: &str) -> impl Iterator<Item = (&str, &Partitions<CommittedOffset>)> {
        self.committed
            .get(group)
            .into_iter()
            .flatten()
            .map(|(topic, partitions)| (topic.as_str(), partitions))
    }

    /// True when some transaction has a pending commit for the partition.
    pub(crate) fn is_pending(&self, group: &str, topic: &str, partition: PartitionIndex) -> bool {
        self.open
            .get(group)
            .and_then(|topics| topics.get(topic))
            .is_some_and(|partitions| partitions.contains_key(&partition))
    }

    /// True when some transaction has a pending commit for the group.
    pub(crate) fn has_pending(&self, group: &str) -> bool {
        self.open.contains_key(group)
    }

    /// Every partition of the group with a committed or pending offset.
    pub(crate) fn keys_of_group(&self, group: &str) -> BTreeSet<OffsetKey> {
        let key = |topic: &String, partition: &PartitionIndex| OffsetKey {
            group: group.to_owned(),
            topic: topic.clone(),
            partition: *partition,
        };
        let committed = self.committed.get(group).into_iter().flatten();
        let open = self.open.get(group).into_iter().flatten();
        let mut keys: BTreeSet<OffsetKey> = BTreeSet::new();
        keys.extend(committed.flat_map(|(t, ps)| ps.keys().map(move |p| key(t, p))));
        keys.extend(open.flat_map(|(t, ps)| ps.keys().map(move |p| key(t, p))));
        keys
    }

    /// Every partition of `topic` with a committed or pending offset, of any group.
    pub(crate) fn keys_of_topic(&self, topic: &str) -> BTreeSet<OffsetKey> {
        let key = |group: &String, partition: &PartitionIndex| OffsetKey {
            group: group.clone(),
            topic: topic.to_owned(),
            partition: *partition,
        };
        let mut keys: BTreeSet<OffsetKey> = BTreeSet::new();
        for (group, topics) in &self.committed {
            keys.extend(
                topics
                    .get(topic)
                    .into_iter()
                    .flat_map(|ps| ps.keys().map(|p| key(group, p))),
            );
        }
        for (group, topics) in &self.open {
            keys.extend(
                topics
                    .get(topic)
                    .into_iter()
                    .flat_map(|ps| ps.keys().map(|p| key(group, p))),
            );
        }
        keys
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use milena_types::Timestamp;

    fn key(partition: i32) -> OffsetKey {
        OffsetKey {
            group: "g".to_owned(),
            topic: "t".to_owned(),
            partition: PartitionIndex(partition),
        }
    }

    fn at(record: i64, offset: i64) -> CommittedOffset {
        let value = OffsetCommitValue {
            offset: Offset(offset),
            leader_epoch: None,
            metadata: String::new(),
            commit_timestamp: Timestamp(0),
            expire_timestamp: None,
            topic_id: None,
        };
        CommittedOffset {
            value,
            record_offset: Offset(record),
        }
    }

    fn offset(store: &OffsetStore) -> Option<i64> {
        store.get("g", "t", PartitionIndex(0)).map(|o| o.value.offset.0)
    }

    #[test]
    fn a_transactional_commit_shows_when_its_transaction_commits() {
        let mut store = OffsetStore::default();
        store.put_pending(ProducerId(1), key(0), at(5, 50));
        assert_eq!(offset(&store), None);
        assert!(store.is_pending("g", "t", PartitionIndex(0)) && store.has_pending("g"));
        store.end_transaction(ProducerId(1), true);
        assert_eq!(offset(&store), Some(50));
        assert!(!store.has_pending("g"));
        store.put_pending(ProducerId(1), key(0), at(6, 60));
        store.end_transaction(ProducerId(1), false);
        assert_eq!(offset(&store), Some(50));
    }

    #[test]
    fn of_a_plain_and_a_transactional_commit_the_later_record_wins() {
        let mut store = OffsetStore::default();
        store.put_pending(ProducerId(1), key(0), at(5, 50));
        store.put(key(0), at(6, 10));
        store.end_transaction(ProducerId(1), true);
        assert_eq!(offset(&store), Some(10));
    }

    #[test]
    fn a_tombstone_forgets_pending_commits_too() {
        let mut store = OffsetStore::default();
        store.put(key(0), at(1, 1));
        store.put_pending(ProducerId(1), key(0), at(2, 2));
        store.put_pending(ProducerId(2), key(0), at(3, 3));
        store.forget(&key(0));
        store.end_transaction(ProducerId(1), true);
        store.end_transaction(ProducerId(2), true);
        assert_eq!(store, OffsetStore::default());
    }

    #[test]
    fn two_transactions_on_one_partition_end_one_by_one() {
        let mut store = OffsetStore::default();
        store.put_pending(ProducerId(1), key(0), at(1, 1));
        store.put_pending(ProducerId(2), key(0), at(2, 2));
        store.end_transaction(ProducerId(2), true);
        assert!(store.is_pending("g", "t", PartitionIndex(0)));
        store.end_transaction(ProducerId(1), true);
        assert_eq!(offset(&store), Some(2));
        assert!(!store.has_pending("g"));
    }

    #[test]
    fn keys_cover_committed_and_pending_offsets() {
        let mut store = OffsetStore::default();
        store.put(key(0), at(1, 1));
        store.put_pending(ProducerId(1), key(1), at(2, 2));
        assert_eq!(store.keys_of_group("g"), BTreeSet::from([key(0), key(1)]));
        assert_eq!(store.keys_of_topic("t"), BTreeSet::from([key(0), key(1)]));
        assert!(store.keys_of_topic("u").is_empty());
    }
}

//! Which topic's partition a name stands for on this broker: a directory is named after the topic, and a topic that is
//! deleted and made again has another id, and its partitions other data threads.
//!
//! Invariant (INV-B-6): a name has one holder at a time. Who comes next opens nothing before the holder's log is gone,
//! so that nobody renames, cuts or deletes files of another life of the name.

use super::id::ShardId;
use milena_types::{TopicId, TopicIdPartition, TopicPartition};
use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// A partition that waits for its name, with the data thread that has to try again.
pub(super) type Waiter = (ShardId, TopicIdPartition);

/// The names in use.
#[derive(Default)]
pub(super) struct NameClaims(Mutex<Claims>);

#[derive(Default)]
struct Claims {
    holders: HashMap<TopicPartition, TopicId>,
    waiting: HashMap<TopicPartition, Vec<Waiter>>,
}

impl NameClaims {
    fn lock(&self) -> MutexGuard<'_, Claims> {
        // Only maps change under the lock.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// True when `id` holds the name, from before or from now on. Else `shard` is named when the holder lets go.
    pub(super) fn claim(&self, name: &TopicPartition, id: TopicIdPartition, shard: ShardId) -> bool {
        let mut claims = self.lock();
        let held_by_other = claims.holders.get(name).is_some_and(|holder| *holder != id.topic);
        if held_by_other {
            let waiting = claims.waiting.entry(name.clone()).or_default();
            if !waiting.contains(&(shard, id)) {
                waiting.push((shard, id));
            }
        } else {
            claims.holders.insert(name.clone(), id.topic);
        }
        !held_by_other
    }

    /// The holder's log is gone. Gives who waits: each has to claim again. Nothing happens when `topic` is not the holder.
    #[must_use]
    pub(super) fn release(&self, name: &TopicPartition, topic: TopicId) -> Vec<Waiter> {
        let mut claims = self.lock();
        if claims.holders.get(name) != Some(&topic) {
            return Vec::new();
        }
        claims.holders.remove(name);
        claims.waiting.remove(name).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use milena_types::{PartitionIndex, TopicName, Uuid};

    fn id(topic: u8) -> TopicIdPartition {
        TopicIdPartition {
            topic: TopicId(Uuid([topic; 16])),
            partition: PartitionIndex(0),
        }
    }

    #[test]
    fn a_name_has_one_holder_and_who_waits_is_told() {
        let (claims, shard) = (NameClaims::default(), ShardId(0));
        let name = TopicPartition {
            topic: TopicName::new("t").unwrap(),
            partition: PartitionIndex(0),
        };
        let claim = |topic| claims.claim(&name, id(topic), shard);
        assert!(claim(1) && claim(1), "it may open its log again");
        assert!(!claim(2) && !claim(2) && !claim(3));
        assert!(claims.release(&name, id(2).topic).is_empty(), "it has not got it");
        assert_eq!(
            claims.release(&name, id(1).topic),
            [(shard, id(2)), (shard, id(3))]
        );
        assert!(claim(3) && !claim(2), "whoever is first");
        assert_eq!(claims.release(&name, id(3).topic), [(shard, id(2))]);
        assert!(claim(2));
        assert!(claims.release(&name, id(2).topic).is_empty());
    }
}

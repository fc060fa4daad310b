//! Which data thread owns a partition.

use milena_types::TopicIdPartition;

/// The number of a data thread, from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ShardId(pub usize);

/// The owner among `shards` data threads: FNV-1a 64 over the topic id and the big-endian partition number.
///
/// Every broker with as many data threads agrees, so that replication streams connect like with like.
#[must_use]
pub fn owner_of(id: TopicIdPartition, shards: usize) -> ShardId {
    const BASIS: u64 = 0xcbf2_9ce4_8422_2325;
    const PRIME: u64 = 0x0000_0100_0000_01b3;
    let step = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(PRIME);
    let hash = id.topic.0.0.iter().fold(BASIS, step);
    let hash = id.partition.0.to_be_bytes().iter().fold(hash, step);
    let count = u64::try_from(shards.max(1)).unwrap_or(1);
    ShardId(usize::try_from(hash % count).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use milena_types::{PartitionIndex, TopicId, Uuid};

    #[test]
    fn partitions_of_a_topic_spread_over_the_threads() {
        let topic = TopicId(Uuid([7; 16]));
        let mut counts = [0; 4];
        for partition in 0..400 {
            counts[owner_of(
                TopicIdPartition {
                    topic,
                    partition: PartitionIndex(partition),
                },
                4,
            )
            .0] += 1;
        }
        assert!(counts.iter().all(|count| (50..150).contains(count)), "{counts:?}");
    }
}

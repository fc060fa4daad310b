//! Which replicas of a topic are throttled: `leader.replication.throttled.replicas` and `follower.replication.throttled.replicas`.
//!
//! Source: `ConfigHandler.parseThrottledPartitions`.

use super::key::parse_list;
use milena_types::{BrokerId, PartitionIndex};

/// The replicas that the value of such a key names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum ThrottledReplicas {
    /// None.
    #[default]
    None,
    /// `*`: all.
    All,
    /// `partition:broker,...`: these, in order.
    Of(Vec<(PartitionIndex, BrokerId)>),
}

impl ThrottledReplicas {
    /// Of a valid value; what is not valid in it names no replica.
    #[must_use]
    pub fn parse(value: &str) -> Self {
        if value.trim() == "*" {
            return Self::All;
        }
        let replica = |item: &str| {
            let (partition, broker) = item.split_once(':')?;
            let partition = PartitionIndex(partition.trim().parse().ok()?);
            Some((partition, BrokerId(broker.trim().parse().ok()?)))
        };
        let mut replicas: Vec<_> = parse_list(value).into_iter().filter_map(replica).collect();
        replicas.sort_unstable();
        if replicas.is_empty() {
            Self::None
        } else {
            Self::Of(replicas)
        }
    }

    /// Whether it names this replica.
    #[must_use]
    pub fn contains(&self, partition: PartitionIndex, broker: BrokerId) -> bool {
        match self {
            Self::None => false,
            Self::All => true,
            Self::Of(replicas) => replicas.binary_search(&(partition, broker)).is_ok(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_names_its_replicas_and_a_star_all() {
        let contains = |value: &str, partition, broker| {
            ThrottledReplicas::parse(value).contains(PartitionIndex(partition), BrokerId(broker))
        };
        assert!(contains("0:1, 2:3", 2, 3));
        assert!(!contains("0:1,2:3", 0, 3));
        assert!(contains(" * ", 7, 9));
        assert_eq!(ThrottledReplicas::parse(""), ThrottledReplicas::None);
        assert_eq!(ThrottledReplicas::parse(","), ThrottledReplicas::None);
    }
}

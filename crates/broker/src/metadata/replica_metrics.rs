//! What Kafka's `ReplicaManager` shows of a broker's partitions, from its metadata image. Pure.
//!
//! Source: `ReplicaManager` (its gauges), `Partition.isUnderReplicated`, `isUnderMinIsr`, `isAtMinIsr`.

use milena_metadata::MetadataImage;
use milena_metadata::config::{BrokerDefaults, min_insync_replicas};
use milena_metrics::Metric;
use milena_types::BrokerId;

const REPLICA_MANAGER: (&str, &str) = ("kafka.server", "ReplicaManager");

#[derive(Debug, Default, PartialEq, Eq)]
struct Counts {
    all: u64,
    led: u64,
    offline: u64,
    reassigning: u64,
    under_replicated: u64,
    under_min_isr: u64,
    at_min_isr: u64,
}

/// Of the partitions of which `node` has a replica.
pub(crate) fn metrics(image: &MetadataImage, node: BrokerId, defaults: &BrokerDefaults) -> Vec<Metric> {
    let counts = count(image, node, defaults);
    let row = |name, help, count| Metric::count(REPLICA_MANAGER, name, help, count);
    vec![
        row("PartitionCount", "Partitions with a replica here.", counts.all),
        row("LeaderCount", "Partitions led from here.", counts.led),
        row(
            "OfflineReplicaCount",
            "Replicas here that cannot be used.",
            counts.offline,
        ),
        row(
            "ReassigningPartitions",
            "Partitions led from here that move.",
            counts.reassigning,
        ),
        row(
            "UnderReplicatedPartitions",
            "Partitions led from here with a replica that is not in sync.",
            counts.under_replicated,
        ),
        row(
            "UnderMinIsrPartitionCount",
            "Partitions led from here with fewer in sync than min.insync.replicas.",
            counts.under_min_isr,
        ),
        row(
            "AtMinIsrPartitionCount",
            "Partitions led from here with no more in sync than min.insync.replicas.",
            counts.at_min_isr,
        ),
    ]
}

fn count(image: &MetadataImage, node: BrokerId, defaults: &BrokerDefaults) -> Counts {
    let mut counts = Counts::default();
    for topic in image.topics.values() {
        let of_topic = topic.partitions.iter();
        let here = of_topic
            .map(|(_, state)| state)
            .filter(|state| state.replicas.contains(&node));
        let mut min_isr = None;
        for state in here {
            counts.all += 1;
            counts.offline += u64::from(state.offline.contains(&node));
            if state.leader != Some(node) {
                continue;
            }
            let min_isr = *min_isr.get_or_insert_with(|| min_insync_replicas(image, &topic.name, defaults));
            let min_isr = min_isr.min(state.replicas.len());
            let before_the_move = state.replicas.len() - state.adding.len();
            counts.led += 1;
            counts.reassigning += u64::from(!(state.adding.is_empty() && state.removing.is_empty()));
            counts.under_replicated += u64::from(state.isr.len() < before_the_move);
            counts.under_min_isr += u64::from(state.isr.len() < min_isr);
            counts.at_min_isr += u64::from(state.isr.len() == min_isr);
        }
    }
    counts
}

#[cfg(test)]
mod tests {
    use super::*;
    use milena_metadata::record::{MetadataRecord, PartitionRegistration};
    use milena_types::{MetadataVersion, PartitionIndex, TopicId, TopicIdPartition, TopicName, Uuid};

    fn ids(list: &[i32]) -> Vec<BrokerId> {
        list.iter().map(|b| BrokerId(*b)).collect()
    }

    fn partition(leader: i32, isr: &[i32]) -> PartitionRegistration {
        PartitionRegistration {
            leader: Some(BrokerId(leader)),
            ..PartitionRegistration::new(ids(&[1, 2, 3]), ids(isr))
        }
    }

    #[test]
    fn a_partition_counts_by_its_isr_where_it_is_led() {
        let topic = TopicId(Uuid([1; 16]));
        let two = [("min.insync.replicas".to_owned(), "2".to_owned())];
        let defaults = BrokerDefaults::new(None, two);
        let moving = PartitionRegistration {
            replicas: ids(&[1, 2, 3, 4]),
            adding: ids(&[4]),
            ..partition(1, &[1, 2, 3])
        };
        let elsewhere = PartitionRegistration {
            offline: ids(&[1]),
            ..partition(2, &[2])
        };
        let not_here = PartitionRegistration {
            replicas: ids(&[2, 3]),
            ..partition(2, &[2])
        };
        let states = [
            partition(1, &[1, 2, 3]),
            partition(1, &[1, 2]),
            partition(1, &[1]),
            moving,
            elsewhere,
            not_here,
        ];
        let mut records = vec![MetadataRecord::Topic {
            id: topic,
            name: TopicName::new("t").unwrap(),
        }];
        for (index, state) in (0..).zip(states) {
            let partition = PartitionIndex(index);
            records.push(MetadataRecord::Partition {
                id: TopicIdPartition { topic, partition },
                state,
            });
        }
        let image = MetadataImage::from_records(MetadataVersion(1), &records);
        let expected = Counts {
            all: 5,
            led: 4,
            offline: 1,
            reassigning: 1,
            under_replicated: 2,
            under_min_isr: 1,
            at_min_isr: 1,
        };
        assert_eq!(count(&image, BrokerId(1), &defaults), expected);
    }
}

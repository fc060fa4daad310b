//! Logs that belong to no partition of a broker: which ones, by their names, when it has been away.

use crate::image::MetadataImage;
use milena_types::{BrokerId, TopicPartition};

/// Why no partition of the broker has the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stray {
    /// The topic, or the partition, is not in the metadata.
    Deleted,
    /// Other brokers have the replicas.
    Reassigned,
}

/// Whether a log of that name belongs to no partition of `broker`. Only an image with the registration of the process that asks
/// says so (INV-B-7): in an older one partitions are not there yet.
#[must_use]
pub fn stray(image: &MetadataImage, broker: BrokerId, name: &TopicPartition) -> Option<Stray> {
    let topic = image.topic_by_name(name.topic.as_str());
    match topic.and_then(|topic| topic.partitions.get(&name.partition)) {
        None => Some(Stray::Deleted),
        Some(state) if !state.replicas.contains(&broker) => Some(Stray::Reassigned),
        Some(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::testing::Cluster;
    use milena_types::{PartitionIndex, TopicName};

    #[test]
    fn a_log_is_stray_when_the_metadata_gives_this_broker_no_such_replica() {
        let mut cluster = Cluster::with_brokers(3);
        let topic = cluster.create("t", 1, 2);
        let replicas = cluster.partition(topic, 0).replicas;
        let of = |broker, topic, partition| {
            let name = TopicPartition {
                topic: TopicName::new(topic).unwrap(),
                partition: PartitionIndex(partition),
            };
            stray(&cluster.image, broker, &name)
        };
        for broker in (0..3).map(BrokerId) {
            let expected = (!replicas.contains(&broker)).then_some(Stray::Reassigned);
            assert_eq!(of(broker, "t", 0), expected, "{broker} of {replicas:?}");
            assert_eq!(of(broker, "t", 1), Some(Stray::Deleted));
            assert_eq!(of(broker, "u", 0), Some(Stray::Deleted));
        }
    }
}

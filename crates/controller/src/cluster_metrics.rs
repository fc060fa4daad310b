//! The figures of the cluster that Kafka's controller shows. They are 0 on a node that is not the active controller, as Kafka's
//! are, so that they add up over the nodes. Pure.
//!
//! Source: `ControllerMetadataMetrics`, `QuorumControllerMetrics`.

use milena_metadata::image::MetadataImage;
use milena_metrics::Metric;

const CONTROLLER: (&str, &str) = ("kafka.controller", "KafkaController");

/// All of them.
pub(crate) fn metrics(image: &MetadataImage, is_active: bool) -> Vec<Metric> {
    let (mut all, mut offline, mut imbalanced) = (0_u64, 0_u64, 0_u64);
    let (mut active, mut fenced, mut topics) = (0_u64, 0_u64, 0_u64);
    if is_active {
        for (_, _, state) in image.partitions() {
            all += 1;
            offline += u64::from(state.leader.is_none());
            imbalanced +=
                u64::from(state.leader.is_some() && state.leader != state.replicas.first().copied());
        }
        fenced = image.brokers.values().filter(|broker| broker.fenced).count() as u64;
        active = image.brokers.len() as u64 - fenced;
        topics = image.topics.len() as u64;
    }
    let row = |name, help, count| Metric::count(CONTROLLER, name, help, count);
    vec![
        row(
            "ActiveControllerCount",
            "1 on the active controller.",
            u64::from(is_active),
        ),
        row("ActiveBrokerCount", "Brokers that serve.", active),
        row(
            "FencedBrokerCount",
            "Registered brokers that do not serve.",
            fenced,
        ),
        row("GlobalTopicCount", "Topics of the cluster.", topics),
        row("GlobalPartitionCount", "Partitions of the cluster.", all),
        row("OfflinePartitionsCount", "Partitions without a leader.", offline),
        row(
            "PreferredReplicaImbalanceCount",
            "Partitions with a leader that is not their preferred replica.",
            imbalanced,
        ),
    ]
}

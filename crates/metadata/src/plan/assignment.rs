//! New partitions from assignments: what CreateTopics and CreatePartitions share.

use super::draft::Draft;
use crate::image::MetadataImage;
use crate::record::{MetadataRecord, PartitionRegistration};
use crate::request::Outcome;
use milena_types::{BrokerId, ErrorCode, TopicIdPartition, TopicName};

/// The first registration of a partition: the active replicas are in sync, the first of them leads. `None` when no
/// replica is active.
pub(super) fn new_partition(image: &MetadataImage, replicas: &[BrokerId]) -> Option<PartitionRegistration> {
    let isr: Vec<BrokerId> = replicas.iter().copied().filter(|b| image.is_active(*b)).collect();
    (!isr.is_empty()).then(|| PartitionRegistration::new(replicas.to_vec(), isr))
}

/// Registers a new partition. A replica that is away has as much as the others, nothing, and will for as long as fewer are in
/// sync than `min.insync.replicas` asks, because nothing is committed: it is eligible to lead. Kafka waits for the first ISR, even if
/// its disk is gone.
pub(super) fn add_partition(
    draft: &mut Draft<'_>,
    topic: &TopicName,
    id: TopicIdPartition,
    mut state: PartitionRegistration,
) {
    let (min_isr, _) = draft.election_settings(topic);
    if draft.image.elr_enabled() && state.isr.len() < min_isr.min(state.replicas.len()) {
        let away = state.replicas.iter().filter(|broker| !state.isr.contains(broker));
        state.elr = away.copied().collect();
    }
    draft.push(MetadataRecord::Partition { id, state });
}

/// Checks one partition of a manual assignment. `factor` is the count of replicas that the topic's others have.
/// Source: `ReplicationControlManager.validateManualPartitionAssignment`.
pub(super) fn check_manual(
    image: &MetadataImage,
    replicas: &[BrokerId],
    factor: Option<usize>,
) -> Result<(), Outcome> {
    let refuse = |message: String| Err(Outcome::failed(ErrorCode::InvalidReplicaAssignment, message));
    if replicas.is_empty() {
        return refuse("The manual partition assignment includes an empty replica list.".to_owned());
    }
    let mut sorted = replicas.to_vec();
    sorted.sort_unstable();
    for (at, broker) in sorted.iter().enumerate() {
        if image.broker(*broker).is_none() {
            return refuse(format!(
                "The manual partition assignment includes broker {broker}, but no such broker is registered."
            ));
        }
        if sorted[..at].last() == Some(broker) {
            return refuse(format!(
                "The manual partition assignment includes the broker {broker} more than once."
            ));
        }
    }
    match factor {
        Some(factor) if factor != replicas.len() => refuse(format!(
            "The manual partition assignment includes a partition with {} replica(s), but this is not consistent \
             with previous partitions, which have {factor} replica(s).",
            replicas.len()
        )),
        _ => Ok(()),
    }
}

/// The answer when all replicas of a manual assignment are fenced or shutting down.
pub(super) fn nobody_active(partition: impl std::fmt::Display) -> Outcome {
    Outcome::failed(
        ErrorCode::InvalidReplicaAssignment,
        format!(
            "All brokers specified in the manual partition assignment for partition {partition} are fenced or in \
             controlled shutdown."
        ),
    )
}

/// The answer when replicas cannot be placed.
pub(super) fn cannot_place(factor: usize, reason: impl std::fmt::Display) -> Outcome {
    Outcome::failed(
        ErrorCode::InvalidReplicationFactor,
        format!("Unable to replicate the partition {factor} time(s): {reason}"),
    )
}

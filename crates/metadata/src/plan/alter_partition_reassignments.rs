//! AlterPartitionReassignments (45): partitions are told to move to other replicas, or to stay after all.
//!
//! Where it differs from Kafka: a target that is exactly what the partition has at the moment, those that come and go
//! included, ends the reassignment that was in progress (Kafka forgets neither list and goes on with it).
//! Source: `ReplicationControlManager.alterPartitionReassignments`, KIP-455, KIP-860; the texts are Kafka's.

use super::assignment::check_manual;
use super::context::{PlanContext, Planned, RECORDS_MAX, too_many};
use super::draft::{Draft, active};
use crate::election::Election;
use crate::image::{MetadataImage, TopicImage};
use crate::reassignment::Reassignment;
use crate::record::PartitionRegistration;
use crate::request::{Outcome, Reassign};
use milena_types::{BrokerId, ErrorCode, PartitionIndex, TopicIdPartition};
use std::sync::Arc;

/// Plans all partitions of one request, each alone: an outcome for each, in the order of the request.
#[must_use]
pub fn alter_partition_reassignments(
    image: &MetadataImage,
    partitions: &[Reassign],
    allow_replication_factor_change: bool,
    ctx: &PlanContext<'_>,
) -> Planned<Vec<Outcome>> {
    let mut draft = Draft::new(image, ctx);
    let mut outcomes = Vec::with_capacity(partitions.len());
    for item in partitions {
        let altered = alter(&mut draft, item, allow_replication_factor_change);
        outcomes.push(altered.err().unwrap_or(Outcome::OK));
    }
    draft.reply(outcomes)
}

fn alter(draft: &mut Draft<'_>, item: &Reassign, may_change_factor: bool) -> Result<(), Outcome> {
    let unknown = |what: String| Outcome::failed(ErrorCode::UnknownTopicOrPartition, what);
    let (name, index) = (&item.topic, item.partition);
    if draft.len() >= RECORDS_MAX {
        return Err(too_many());
    }
    let topic = draft.image.topic_by_name(name);
    let topic = Arc::clone(topic.ok_or_else(|| unknown(format!("Unable to find a topic named {name}.")))?);
    let state = topic.partitions.get(&PartitionIndex(index));
    let state = state.ok_or_else(|| unknown(format!("Unable to find partition {name}:{index}.")))?;
    let id = TopicIdPartition {
        topic: topic.id,
        partition: PartitionIndex(index),
    };
    match &item.replicas {
        Some(target) => change(draft, &topic, id, state, target, may_change_factor),
        None => cancel(draft, &topic, id, state),
    }
}

fn change(
    draft: &mut Draft<'_>,
    topic: &TopicImage,
    id: TopicIdPartition,
    state: &PartitionRegistration,
    target: &[BrokerId],
    may_change_factor: bool,
) -> Result<(), Outcome> {
    check_manual(&draft.image, target, None)?;
    let factor = Reassignment::of(state).map_or(state.replicas.len(), |now| now.target_len());
    if !may_change_factor && factor != target.len() {
        return Err(Outcome::failed(
            ErrorCode::InvalidReplicationFactor,
            format!(
                "The replication factor is changed from {factor} to {}",
                target.len()
            ),
        ));
    }
    let next = Reassignment::to(&state.replicas, target);
    draft.change_partition(topic, id, state, &active, |change| {
        // Beginning one is no reason for an unclean election.
        change
            .election(Election::Online)
            .assignment(next.replicas, next.adding, next.removing)
    });
    Ok(())
}

fn cancel(
    draft: &mut Draft<'_>,
    topic: &TopicImage,
    id: TopicIdPartition,
    state: &PartitionRegistration,
) -> Result<(), Outcome> {
    let Some(now) = Reassignment::of(state) else {
        let message = "No partition reassignment is in progress.";
        return Err(Outcome::failed(ErrorCode::NoReassignmentInProgress, message));
    };
    let back = now.reverted(&state.isr);
    let (_, allowed) = draft.election_settings(&topic.name);
    let can_lead =
        |b: &BrokerId| state.isr.contains(b) || (state.elr.contains(b) && draft.image.is_active(*b));
    if !back.replicas.iter().any(can_lead) && allowed != Election::Unclean {
        return Err(Outcome::failed(
            ErrorCode::InvalidReplicaAssignment,
            format!(
                "Unable to revert partition assignment for {}:{} because it would require an unclean leader election.",
                topic.name, id.partition
            ),
        ));
    }
    draft.change_partition(topic, id, state, &active, |change| {
        // When none of the old replicas can lead with everything the election is unclean, and says so: no ISR is made up for it.
        change
            .isr(back.isr)
            .assignment(back.replicas, Vec::new(), Vec::new())
    });
    Ok(())
}

#[cfg(test)]
#[path = "alter_partition_reassignments_test.rs"]
mod tests;

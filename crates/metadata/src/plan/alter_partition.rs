//! AlterPartition: a leader asks for another ISR (KIP-497, KIP-841, KIP-903).
//!
//! Validation in Kafka's order. Two rules are stricter than Kafka's, because a leader's request may be delayed and
//! doubled on its way:
//!
//! - Every member is named with its broker epoch; "any epoch" (-1) is not accepted.
//! - A request that names the current epochs always commits a greater partition epoch: the new ISR, or, when it is
//!   refused or changes nothing, the old state again. A late twin then fails on its partition epoch, and the leader may
//!   drop its proposal when it sees the committed epoch, and only then.

use super::context::{PlanContext, Planned};
use super::draft::{Draft, active};
use super::heartbeat::check_epoch;
use crate::image::MetadataImage;
use crate::record::{MetadataRecord, PartitionRegistration};
use crate::request::{AlterPartition, AlterPartitionItem, AlterPartitionResult};
use milena_types::mutants::{Mutant, on};
use milena_types::{BrokerEpoch, BrokerId, ErrorCode};
use std::sync::Arc;

/// Plans all items of one request; each is decided alone. A sender under an old epoch gets STALE_BROKER_EPOCH for all.
#[must_use]
pub fn alter_partition(
    image: &MetadataImage,
    request: &AlterPartition,
    ctx: &PlanContext<'_>,
) -> Planned<Vec<AlterPartitionResult>> {
    if let Err(outcome) = check_epoch(image, request.broker, request.broker_epoch) {
        let refuse = |item: &AlterPartitionItem| AlterPartitionResult {
            id: item.id,
            error: outcome.error,
        };
        return Planned::reply(request.partitions.iter().map(refuse).collect());
    }
    let mut draft = Draft::new(image, ctx);
    let mut results = Vec::with_capacity(request.partitions.len());
    for item in &request.partitions {
        let error = alter(&mut draft, request.broker, item)
            .err()
            .unwrap_or(ErrorCode::None);
        results.push(AlterPartitionResult { id: item.id, error });
    }
    draft.reply(results)
}

fn alter(draft: &mut Draft<'_>, sender: BrokerId, item: &AlterPartitionItem) -> Result<(), ErrorCode> {
    let topic = Arc::clone(
        draft
            .image
            .topics
            .get(&item.id.topic)
            .ok_or(ErrorCode::UnknownTopicId)?,
    );
    let state = topic
        .partitions
        .get(&item.id.partition)
        .ok_or(ErrorCode::UnknownTopicOrPartition)?;
    check_epochs(state, sender, item)?;
    if let Err(error) = check_isr(&draft.image, state, item) {
        if !on(Mutant::RollbackOnIneligible) {
            touch(draft, item, state);
        }
        return Err(error);
    }
    let isr = item.isr.iter().map(|(broker, _)| *broker).collect();
    let after = draft.change_partition(&topic, item.id, state, &active, |change| {
        change.isr(isr).recovering(item.recovering)
    });
    match after {
        None => touch(draft, item, state),
        // The change completed a reassignment and the leader is not part of the new assignment.
        Some(after) if after.leader != Some(sender) => return Err(ErrorCode::NewLeaderElected),
        Some(_) => {}
    }
    Ok(())
}

/// Commits the same state under a greater partition epoch.
fn touch(draft: &mut Draft<'_>, item: &AlterPartitionItem, state: &PartitionRegistration) {
    let state = PartitionRegistration {
        partition_epoch: state.partition_epoch.next(),
        ..state.clone()
    };
    draft.push(MetadataRecord::Partition { id: item.id, state });
}

fn check_epochs(
    state: &PartitionRegistration,
    sender: BrokerId,
    item: &AlterPartitionItem,
) -> Result<(), ErrorCode> {
    // Only a newer controller can have told the leader of a greater epoch.
    if item.leader_epoch > state.leader_epoch || item.partition_epoch > state.partition_epoch {
        return Err(ErrorCode::NotController);
    }
    if item.leader_epoch < state.leader_epoch {
        return Err(ErrorCode::FencedLeaderEpoch);
    }
    if state.leader != Some(sender) {
        return Err(ErrorCode::InvalidRequest);
    }
    if item.partition_epoch < state.partition_epoch && !on(Mutant::NoPartitionEpochCheck) {
        return Err(ErrorCode::InvalidUpdateVersion);
    }
    Ok(())
}

fn check_isr(
    image: &MetadataImage,
    state: &PartitionRegistration,
    item: &AlterPartitionItem,
) -> Result<(), ErrorCode> {
    let members: Vec<BrokerId> = item.isr.iter().map(|(broker, _)| *broker).collect();
    let repeated = members
        .iter()
        .enumerate()
        .any(|(at, b)| members[..at].contains(b));
    let foreign = members.iter().any(|b| !state.replicas.contains(b));
    let leaderless = !state.leader.is_some_and(|leader| members.contains(&leader));
    if members.is_empty() || repeated || foreign || leaderless {
        return Err(ErrorCode::InvalidRequest);
    }
    if item.recovering && (members.len() > 1 || !state.recovering) {
        return Err(ErrorCode::InvalidRequest);
    }
    let in_use = |broker: &BrokerId| !state.offline.contains(broker);
    if item
        .isr
        .iter()
        .all(|(broker, epoch)| is_eligible(image, *broker, *epoch) && in_use(broker))
    {
        Ok(())
    } else {
        Err(ErrorCode::IneligibleReplica)
    }
}

/// A member must be the very incarnation that the leader saw in sync, and alive (KIP-841, KIP-903).
fn is_eligible(image: &MetadataImage, broker: BrokerId, epoch: BrokerEpoch) -> bool {
    let is_same = image.broker(broker).is_some_and(|b| b.epoch == epoch);
    image.is_active(broker) && (is_same || on(Mutant::NoBrokerEpochCheck))
}

#[cfg(test)]
#[path = "alter_partition_test.rs"]
mod tests;

//! A broker says which of its replicas are out of use, and which are well again.
//!
//! ```text
//!             the directory failed, or the log is damaged        the log is as it was
//!   IN USE ──────────────────────────────────────────► OFFLINE ──────────────────────► IN USE (in sync when caught up)
//!     │                                                   │
//!     │ its directory is full, and                        │ refill: another leads, what this replica held counts no
//!     └─ others can go on ───────────────────────────────►┤ more; only then may its broker cut the log
//!                                                         │
//!                                                         └ cut: likewise; but where nobody else can go on, it is in use
//!                                                           with what is left of its log
//! ```
//!
//! An offline replica keeps its place among the eligible leaders: its data may be all there is. It loses that place before
//! its log is cut, never after: a replica that was cut and then elected would make the others cut theirs. Only of a log in doubt,
//! whose broker has waited for the others, that is accepted: it leads from the same step on, or never by what it held.
//! Milena's own request; Kafka knows only whole directories (KIP-858).

use super::context::{PlanContext, Planned};
use super::draft::{Draft, active};
use super::heartbeat::check_epoch;
use crate::image::{MetadataImage, TopicImage};
use crate::record::PartitionRegistration;
use crate::request::{AlterPartitionResult, ReplicaState, ReplicaStateItem, ReplicaStates};
use milena_types::{BrokerId, ErrorCode};
use std::sync::Arc;

/// Plans all items of one request; each is decided alone. A sender under an old epoch gets STALE_BROKER_EPOCH for all.
///
/// Errors of items: UNKNOWN_TOPIC_ID, UNKNOWN_TOPIC_OR_PARTITION, NOT_LEADER_OR_FOLLOWER (the sender is no replica),
/// ELIGIBLE_LEADERS_NOT_AVAILABLE (nobody else can go on, nor could the sender of `Cut` lead at once: nothing changes).
#[must_use]
pub fn replica_states(
    image: &MetadataImage,
    request: &ReplicaStates,
    ctx: &PlanContext<'_>,
) -> Planned<Vec<AlterPartitionResult>> {
    let stale = check_epoch(image, request.broker, request.broker_epoch).err();
    let mut draft = Draft::new(image, ctx);
    let mut results = Vec::with_capacity(request.replicas.len());
    for item in &request.replicas {
        let error = match &stale {
            Some(outcome) => outcome.error,
            None => change(&mut draft, request.broker, item)
                .err()
                .unwrap_or(ErrorCode::None),
        };
        results.push(AlterPartitionResult { id: item.id, error });
    }
    draft.reply(results)
}

fn change(draft: &mut Draft<'_>, sender: BrokerId, item: &ReplicaStateItem) -> Result<(), ErrorCode> {
    let topic = draft.image.topics.get(&item.id.topic);
    let topic = Arc::clone(topic.ok_or(ErrorCode::UnknownTopicId)?);
    let state = topic.partitions.get(&item.id.partition);
    let state = Arc::clone(state.ok_or(ErrorCode::UnknownTopicOrPartition)?);
    if !state.replicas.contains(&sender) {
        return Err(ErrorCode::NotLeaderOrFollower);
    }
    let others_go_on = others_go_on(&draft.image, &state, sender);
    if matches!(item.state, ReplicaState::Full | ReplicaState::Refill) && !others_go_on {
        return Err(ErrorCode::EligibleLeadersNotAvailable);
    }
    let claims = [&state.isr, &state.elr, &state.last_known_elr];
    let counts = claims.iter().any(|members| members.contains(&sender));
    if item.state == ReplicaState::Cut
        && !others_go_on
        && counts
        && !leads_when_online(draft, &topic, item, &state, sender)
    {
        // It would be elected later, when others may be back that would have to be cut to its length.
        return Err(ErrorCode::EligibleLeadersNotAvailable);
    }
    draft.change_partition(&topic, item.id, &state, &active, |change| match item.state {
        ReplicaState::Offline | ReplicaState::Full => change.replica_offline(sender),
        ReplicaState::Online => change.replica_online(sender),
        ReplicaState::Cut if !others_go_on => change.replica_online(sender),
        ReplicaState::Refill | ReplicaState::Cut => change.replica_online(sender).wiped(sender),
    });
    Ok(())
}

fn leads_when_online(
    draft: &Draft<'_>,
    topic: &TopicImage,
    item: &ReplicaStateItem,
    state: &PartitionRegistration,
    sender: BrokerId,
) -> bool {
    let mut trial = Draft::new(&draft.image, draft.ctx);
    trial.change_partition(topic, item.id, state, &active, |change| {
        change.replica_online(sender)
    });
    trial.image.partition(item.id).and_then(|after| after.leader) == Some(sender)
}

/// True when another member of the ISR leads, or can.
fn others_go_on(image: &MetadataImage, state: &PartitionRegistration, sender: BrokerId) -> bool {
    state
        .isr
        .iter()
        .any(|b| *b != sender && image.is_active(*b) && !state.offline.contains(b))
}

#[cfg(test)]
#[path = "replica_states_test.rs"]
mod tests;

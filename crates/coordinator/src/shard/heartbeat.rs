//! Heartbeat. Source: `GroupMetadataManager.classicGroupHeartbeatToClassicGroup`.

use super::GroupShard;
use crate::api::HeartbeatRequest;
use crate::clock::Now;
use crate::group::{ClassicGroup, GroupState};
use crate::request::{Reply, Ticket};
use milena_types::ErrorCode;

impl GroupShard {
    pub(super) fn heartbeat(&mut self, ticket: Ticket, request: &HeartbeatRequest, now: Now) {
        let error = if request.group_id.is_empty() {
            ErrorCode::InvalidGroupId
        } else {
            match self
                .groups
                .get(request.group_id.as_str())
                .map(|group| check(group, request))
            {
                None => ErrorCode::UnknownMemberId,
                Some(Err(error)) => error,
                Some(Ok(answer)) => {
                    self.on_group(&request.group_id, now, |step| {
                        step.renew_session(&request.member_id)
                    });
                    answer
                }
            }
        };
        self.outbox.reply(ticket, Reply::Heartbeat(error));
    }
}

/// The answer to a member of the current generation, or why the caller is not one.
fn check(group: &ClassicGroup, request: &HeartbeatRequest) -> Result<ErrorCode, ErrorCode> {
    group.validate_member(&request.member_id, request.group_instance_id.as_deref())?;
    if request.generation_id != group.generation {
        return Err(ErrorCode::IllegalGeneration);
    }
    match group.state() {
        GroupState::PreparingRebalance => Ok(ErrorCode::RebalanceInProgress),
        // Members may send heartbeats as soon as their join is answered.
        GroupState::CompletingRebalance | GroupState::Stable => Ok(ErrorCode::None),
        GroupState::Empty | GroupState::Dead => Err(ErrorCode::UnknownMemberId),
    }
}

//! LeaveGroup, one or many members. Source: `GroupMetadataManager.classicGroupLeaveToClassicGroup`.

use super::GroupShard;
use super::join::reason;
use super::step::Step;
use crate::api::{LeaveMember, LeaveMemberResult, LeaveRequest, LeaveResponse};
use crate::clock::Now;
use crate::group::GroupState;
use crate::request::{Reply, Ticket};
use milena_types::ErrorCode;

impl GroupShard {
    pub(super) fn leave(&mut self, ticket: Ticket, request: LeaveRequest, now: Now) {
        let mut response = LeaveResponse::default();
        if request.group_id.is_empty() {
            response.error = ErrorCode::InvalidGroupId;
        } else if self.groups.contains_key(request.group_id.as_str()) {
            self.on_group(&request.group_id, now, |step| {
                response.members = step.leave(request.members)
            });
        } else {
            let unknown = |member| answer(member, ErrorCode::UnknownMemberId);
            response.members = request.members.into_iter().map(unknown).collect();
        }
        self.outbox.reply(ticket, Reply::Leave(response));
    }
}

fn answer(member: LeaveMember, error: ErrorCode) -> LeaveMemberResult {
    LeaveMemberResult {
        member_id: member.member_id,
        group_instance_id: member.group_instance_id,
        error,
    }
}

impl Step<'_> {
    fn leave(&mut self, members: Vec<LeaveMember>) -> Vec<LeaveMemberResult> {
        let results: Vec<LeaveMemberResult> = members
            .into_iter()
            .map(|member| {
                let error = self.leave_one(&member).err().unwrap_or_default();
                answer(member, error)
            })
            .collect();
        if results.iter().any(|result| result.error == ErrorCode::None) {
            match self.group.state() {
                GroupState::Stable | GroupState::CompletingRebalance => {
                    self.rebalance_or_complete("members left");
                }
                GroupState::PreparingRebalance => self.maybe_complete_join(),
                GroupState::Empty | GroupState::Dead => {}
            }
        }
        results
    }

    fn leave_one(&mut self, member: &LeaveMember) -> Result<(), ErrorCode> {
        let id = if member.member_id.is_empty() {
            // An administrator removes a static member by its instance id.
            let instance_id = member
                .group_instance_id
                .as_deref()
                .ok_or(ErrorCode::UnknownMemberId)?;
            self.group
                .static_member_id(instance_id)
                .ok_or(ErrorCode::UnknownMemberId)?
                .to_string()
        } else {
            if !self.group.is_pending(&member.member_id) {
                self.group
                    .validate_member(&member.member_id, member.group_instance_id.as_deref())?;
            }
            member.member_id.clone()
        };
        tracing::info!(group = %self.group.id, member = %id, reason = reason(member.reason.as_deref()), "member leaves");
        self.remove_member(&id, ErrorCode::UnknownMemberId);
        Ok(())
    }
}

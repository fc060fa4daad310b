//! One step of one group: the group with what it may touch beside itself.

use super::outbox::Outbox;
use super::timers::{Timer, Timers};
use crate::api::{JoinMember, JoinResponse, SyncResponse};
use crate::clock::{Now, timeout};
use crate::config::GroupLimits;
use crate::group::{ClassicGroup, Member};
use crate::record::{CoordinatorRecord, GroupMetadataValue, MemberMetadata};
use crate::request::{Reply, Ticket};
use bytes::Bytes;
use milena_types::ErrorCode;
use std::time::Duration;

/// A group during one step.
pub(super) struct Step<'a> {
    pub(super) group: &'a mut ClassicGroup,
    pub(super) timers: &'a mut Timers,
    pub(super) outbox: &'a mut Outbox,
    pub(super) limits: &'a GroupLimits,
    pub(super) now: Now,
}

impl Step<'_> {
    /// Starts a member's session anew.
    pub(super) fn renew_session(&mut self, member_id: &str) {
        if let Some(member) = self.group.member(member_id) {
            let id = member.id.clone();
            let session = timeout(member.session_timeout_ms);
            self.schedule_session(&id, session);
        }
    }

    pub(super) fn schedule_session(&mut self, member_id: &crate::group::MemberId, after: Duration) {
        let timer = Timer::Session(self.group.id.clone(), member_id.clone());
        self.timers.schedule(timer, self.now.after(after));
    }

    pub(super) fn cancel_session(&mut self, member_id: &str) {
        self.timers
            .cancel(&Timer::Session(self.group.id.clone(), member_id.into()));
    }

    /// Parks a join; one that was parked before for the same member is told to try again.
    pub(super) fn park_join(&mut self, member_id: &str, ticket: Ticket) {
        if let Some(earlier) = self.group.set_awaiting_join(member_id, Some(ticket)) {
            let refusal = JoinResponse::failed(member_id, ErrorCode::RebalanceInProgress);
            self.outbox.reply(earlier, Reply::Join(refusal));
        }
    }

    /// Parks a sync; one that was parked before for the same member is told to try again.
    pub(super) fn park_sync(&mut self, member_id: &str, ticket: Ticket) {
        let earlier = self
            .group
            .member_mut(member_id)
            .and_then(|member| member.awaiting_sync.replace(ticket));
        if let Some(earlier) = earlier {
            self.outbox.reply(
                earlier,
                Reply::Sync(SyncResponse::failed(ErrorCode::RebalanceInProgress)),
            );
        }
    }

    /// Answers a parked join. False when there was none.
    pub(super) fn complete_join(&mut self, member_id: &str, response: JoinResponse) -> bool {
        match self.group.set_awaiting_join(member_id, None) {
            Some(ticket) => {
                self.outbox.reply(ticket, Reply::Join(response));
                true
            }
            None => false,
        }
    }

    /// Answers a parked sync. False when there was none.
    pub(super) fn complete_sync(&mut self, member_id: &str, response: SyncResponse) -> bool {
        match self
            .group
            .member_mut(member_id)
            .and_then(|member| member.awaiting_sync.take())
        {
            Some(ticket) => {
                self.outbox.reply(ticket, Reply::Sync(response));
                true
            }
            None => false,
        }
    }

    /// Removes a member, its session, and what it had parked (answered with `error`).
    pub(super) fn remove_member(&mut self, member_id: &str, error: ErrorCode) {
        self.cancel_session(member_id);
        if let Some(member) = self.group.remove(member_id) {
            if let Some(ticket) = member.awaiting_join() {
                // The empty id makes the client join anew. Source: `removeMemberAndUpdateClassicGroup`.
                self.outbox
                    .reply(ticket, Reply::Join(JoinResponse::failed("", error)));
            }
            if let Some(ticket) = member.awaiting_sync {
                self.outbox
                    .reply(ticket, Reply::Sync(SyncResponse::failed(error)));
            }
        }
    }

    /// The answer that puts a member into the current generation; only the leader sees the members.
    pub(super) fn joined(&self, member_id: &str) -> JoinResponse {
        let group = &*self.group;
        let members = if group.is_leader(member_id) {
            self.join_members()
        } else {
            Vec::new()
        };
        JoinResponse {
            error: ErrorCode::None,
            generation_id: group.generation,
            protocol_type: group.protocol_type.clone(),
            protocol_name: group.protocol_name.clone(),
            leader: group.leader.as_deref().unwrap_or_default().to_owned(),
            skip_assignment: false,
            member_id: member_id.to_owned(),
            members,
        }
    }

    fn join_members(&self) -> Vec<JoinMember> {
        let protocol = self.group.protocol_name.as_deref().unwrap_or_default();
        let describe = |member: &Member| JoinMember {
            member_id: member.id.to_string(),
            group_instance_id: member.instance_id.clone(),
            metadata: member.metadata(protocol).cloned().unwrap_or_default(),
        };
        self.group.members().map(describe).collect()
    }

    /// The record of the group as it is, with the assignments that `assignment` gives.
    pub(super) fn record(&self, assignment: impl Fn(&Member) -> Bytes) -> CoordinatorRecord {
        let group = &*self.group;
        let protocol = group.protocol_name.as_deref().unwrap_or_default();
        let describe = |member: &Member| MemberMetadata {
            member_id: member.id.to_string(),
            group_instance_id: member.instance_id.clone(),
            client_id: member.client_id.clone(),
            client_host: member.client_host.clone(),
            rebalance_timeout_ms: member.rebalance_timeout_ms,
            session_timeout_ms: member.session_timeout_ms,
            subscription: member.metadata(protocol).cloned().unwrap_or_default(),
            assignment: assignment(member),
        };
        let value = GroupMetadataValue {
            protocol_type: group.protocol_type.clone().unwrap_or_default(),
            generation: group.generation,
            protocol: group.protocol_name.clone(),
            leader: group.leader.as_deref().map(str::to_owned),
            current_state_timestamp: group.state_timestamp,
            members: group.members().map(describe).collect(),
        };
        CoordinatorRecord::Group(group.id.to_string(), Some(value))
    }
}

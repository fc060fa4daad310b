//! SyncGroup. Source: `GroupMetadataManager.classicGroupSyncToClassicGroup`.

use super::GroupShard;
use super::outbox::Then;
use super::step::Step;
use super::timers::Timer;
use crate::api::{SyncRequest, SyncResponse};
use crate::clock::Now;
use crate::group::{GroupState, MemberId};
use crate::request::{Reply, Ticket};
use bytes::Bytes;
use milena_types::ErrorCode;
use std::collections::BTreeMap;

/// From this version protocol type and name are mandatory (KIP-559).
const PROTOCOL_MANDATORY_VERSION: i16 = 5;

impl GroupShard {
    pub(super) fn sync(&mut self, ticket: Ticket, request: SyncRequest, now: Now) {
        let mandatory_missing = request.context.api_version >= PROTOCOL_MANDATORY_VERSION
            && (request.protocol_type.is_none() || request.protocol_name.is_none());
        let error = if mandatory_missing {
            // Source: `SyncGroupRequest.areMandatoryProtocolTypeAndNamePresent`.
            Some(ErrorCode::InconsistentGroupProtocol)
        } else if request.group_id.is_empty() {
            Some(ErrorCode::InvalidGroupId)
        } else {
            let group = self.groups.get(request.group_id.as_str());
            let is_empty = group.is_none_or(|group| group.state() == GroupState::Empty);
            is_empty.then_some(ErrorCode::UnknownMemberId)
        };
        if let Some(error) = error {
            return self
                .outbox
                .reply(ticket, Reply::Sync(SyncResponse::failed(error)));
        }
        let group_id = request.group_id.clone();
        self.on_group(&group_id, now, |step| step.sync(ticket, request));
    }
}

impl Step<'_> {
    fn check_sync(&self, request: &SyncRequest) -> Result<(), ErrorCode> {
        self.group
            .validate_member(&request.member_id, request.group_instance_id.as_deref())?;
        if request.generation_id != self.group.generation {
            return Err(ErrorCode::IllegalGeneration);
        }
        let differs = |asked: &Option<String>, actual: &Option<String>| matches!((asked, actual), (Some(asked), Some(actual)) if asked != actual);
        if differs(&request.protocol_type, &self.group.protocol_type)
            || differs(&request.protocol_name, &self.group.protocol_name)
        {
            return Err(ErrorCode::InconsistentGroupProtocol);
        }
        Ok(())
    }

    fn sync(&mut self, ticket: Ticket, request: SyncRequest) {
        if let Err(error) = self.check_sync(&request) {
            return self
                .outbox
                .reply(ticket, Reply::Sync(SyncResponse::failed(error)));
        }
        let id = request.member_id.as_str();
        match self.group.state() {
            GroupState::CompletingRebalance => {
                self.park_sync(id, ticket);
                self.has_synced(id);
                if self.group.is_leader(id) {
                    self.store_assignment(request.assignments);
                }
            }
            GroupState::Stable => {
                self.has_synced(id);
                let response = self.assignment_of(id);
                self.outbox.reply(ticket, Reply::Sync(response));
            }
            GroupState::PreparingRebalance | GroupState::Empty | GroupState::Dead => {
                let refusal = SyncResponse::failed(ErrorCode::RebalanceInProgress);
                self.outbox.reply(ticket, Reply::Sync(refusal));
            }
        }
    }

    fn has_synced(&mut self, member_id: &str) {
        self.group.pending_sync.remove(member_id);
        if self.group.pending_sync.is_empty() {
            self.timers.cancel(&Timer::Sync(self.group.id.clone()));
        }
    }

    fn assignment_of(&self, member_id: &str) -> SyncResponse {
        SyncResponse {
            error: ErrorCode::None,
            protocol_type: self.group.protocol_type.clone(),
            protocol_name: self.group.protocol_name.clone(),
            assignment: self
                .group
                .member(member_id)
                .map(|m| m.assignment.clone())
                .unwrap_or_default(),
        }
    }

    /// Writes the leader's assignment; a member that it leaves out gets an empty one, an unknown member nothing.
    fn store_assignment(&mut self, assignments: Vec<(String, Bytes)>) {
        let given: BTreeMap<MemberId, Bytes> = assignments
            .into_iter()
            .filter_map(|(id, assignment)| Some((self.group.member(&id)?.id.clone(), assignment)))
            .collect();
        let record = self.record(|member| given.get(&member.id).cloned().unwrap_or_default());
        let then = Then::Assignment {
            generation: self.group.generation,
            assignments: given,
        };
        let id = self.group.id.clone();
        self.outbox.write(&id, vec![record], then);
    }

    /// The assignment was written, or could not be. Nothing happens if the group has moved on meanwhile.
    pub(super) fn assignment_written(
        &mut self,
        generation: i32,
        mut assignments: BTreeMap<MemberId, Bytes>,
        result: Result<(), ErrorCode>,
    ) {
        if self.group.state() != GroupState::CompletingRebalance || self.group.generation != generation {
            return;
        }
        if let Err(error) = result {
            self.reset_assignments(error);
            return self.rebalance_or_complete("the assignment could not be stored");
        }
        for member in self.group.members_mut() {
            member.assignment = assignments.remove(&member.id).unwrap_or_default();
        }
        let ids: Vec<MemberId> = self.group.members().map(|member| member.id.clone()).collect();
        for id in ids {
            let response = self.assignment_of(&id);
            if self.complete_sync(&id, response) {
                self.renew_session(&id);
            }
        }
        self.group.transition(GroupState::Stable, self.now.wall);
    }
}

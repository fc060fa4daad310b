//! A static member that comes back with its instance id and without its member id (KIP-345, KIP-814).
//!
//! Source: `GroupMetadataManager.updateStaticMemberThenRebalanceOrCompleteJoin`.

use super::outbox::Then;
use super::step::Step;
use crate::api::{JoinProtocol, JoinRequest, JoinResponse, SyncResponse};
use crate::group::{GroupState, MemberId};
use crate::request::{Reply, Ticket};
use milena_types::ErrorCode;

/// From this version the leader can be told that the assignment stands.
const SKIP_ASSIGNMENT_VERSION: i16 = 9;

/// A replacement that is being written, with what it takes to undo it.
#[derive(Debug)]
pub(super) struct Replacement {
    instance_id: String,
    old_id: MemberId,
    new_id: MemberId,
    old_protocols: Vec<JoinProtocol>,
    old_rebalance_timeout_ms: i32,
    old_session_timeout_ms: i32,
    /// Who led before: what versions below 9 are told, so that a returning leader does not compute an assignment.
    old_leader: Option<MemberId>,
    ticket: Ticket,
    generation: i32,
    can_skip_assignment: bool,
}

impl Step<'_> {
    pub(super) fn replace_static_member(
        &mut self,
        ticket: Ticket,
        request: JoinRequest,
        old_id: &MemberId,
        new_id: MemberId,
    ) {
        let instance_id = request.group_instance_id.clone().unwrap_or_default();
        let Some(old) = self.group.member(old_id) else {
            return self.outbox.reply(
                ticket,
                Reply::Join(JoinResponse::failed("", ErrorCode::UnknownServerError)),
            );
        };
        let replacement = Replacement {
            instance_id: instance_id.clone(),
            old_id: old_id.clone(),
            new_id: new_id.clone(),
            old_protocols: old.protocols.clone(),
            old_rebalance_timeout_ms: old.rebalance_timeout_ms,
            old_session_timeout_ms: old.session_timeout_ms,
            old_leader: self.group.leader.clone(),
            ticket,
            generation: self.group.generation,
            can_skip_assignment: request.context.api_version >= SKIP_ASSIGNMENT_VERSION,
        };
        self.swap_member_id(&instance_id, old_id, new_id.clone());
        self.group.update_member(
            &new_id,
            request.protocols,
            request.rebalance_timeout_ms,
            request.session_timeout_ms,
        );
        self.park_join(&new_id, ticket);
        match self.group.state() {
            GroupState::Stable if self.group.select_protocol() == self.group.protocol_name => {
                // The assignment stands: only the new id has to survive.
                let record = self.record(|member| member.assignment.clone());
                let id = self.group.id.clone();
                self.outbox
                    .write(&id, vec![record], Then::StaticMember(Box::new(replacement)));
            }
            GroupState::Stable => {
                self.rebalance_or_complete(&format!("static member {new_id} changes the group's protocol"));
            }
            // The leader may be computing an assignment for the old id, which the new one would never get.
            GroupState::CompletingRebalance => {
                self.prepare_rebalance(&format!("static member {new_id} replaces {old_id}"));
            }
            GroupState::PreparingRebalance => self.maybe_complete_join(),
            GroupState::Empty | GroupState::Dead => {}
        }
    }

    /// Gives the member another id, fences whoever waits under the old one, and starts the session anew.
    fn swap_member_id(&mut self, instance_id: &str, old_id: &str, new_id: MemberId) {
        self.cancel_session(old_id);
        let (join, sync) = self.group.replace_static(instance_id, old_id, new_id.clone());
        if let Some(ticket) = join {
            let refusal = JoinResponse::failed(old_id, ErrorCode::FencedInstanceId);
            self.outbox.reply(ticket, Reply::Join(refusal));
        }
        if let Some(ticket) = sync {
            self.outbox.reply(
                ticket,
                Reply::Sync(SyncResponse::failed(ErrorCode::FencedInstanceId)),
            );
        }
        self.renew_session(&new_id);
    }

    /// The replacement was written, or could not be.
    pub(super) fn static_member_written(&mut self, replacement: Replacement, result: Result<(), ErrorCode>) {
        let is_current = self.group.state() == GroupState::Stable
            && self.group.generation == replacement.generation
            && self
                .group
                .member(&replacement.new_id)
                .is_some_and(|m| m.awaiting_join() == Some(replacement.ticket));
        // A rebalance has begun meanwhile: the parked join is part of it, and is answered when it completes.
        if !is_current {
            return;
        }
        // A session that ended while the join was parked was let pass: it starts anew.
        self.renew_session(&replacement.new_id);
        let old_leader = replacement.old_leader.as_deref().unwrap_or_default().to_owned();
        let mut response = self.joined(&replacement.new_id);
        match result {
            Ok(()) if replacement.can_skip_assignment => {
                response.skip_assignment = self.group.is_leader(&replacement.new_id);
                self.complete_join(&replacement.new_id, response);
            }
            Ok(()) => {
                response.leader = old_leader;
                response.members = Vec::new();
                self.complete_join(&replacement.new_id, response);
            }
            Err(error) => {
                response.error = error;
                response.member_id = String::new();
                response.leader = old_leader;
                response.members = Vec::new();
                self.complete_join(&replacement.new_id, response);
                self.group.update_member(
                    &replacement.new_id,
                    replacement.old_protocols,
                    replacement.old_rebalance_timeout_ms,
                    replacement.old_session_timeout_ms,
                );
                self.swap_member_id(&replacement.instance_id, &replacement.new_id, replacement.old_id);
            }
        }
    }
}

//! JoinGroup. Source: `GroupMetadataManager.classicGroupJoinToClassicGroup` and what it calls.

use super::GroupShard;
use super::step::Step;
use crate::api::{JoinProtocol, JoinRequest, JoinResponse};
use crate::clock::{Now, timeout};
use crate::group::{ClassicGroup, GroupState, Member, MemberId};
use crate::request::{Reply, Ticket};
use bytes::Bytes;
use milena_types::{ErrorCode, Uuid};

/// From this version a new dynamic member is told its id first (KIP-394).
const MEMBER_ID_REQUIRED_VERSION: i16 = 4;

/// A text in a group's record may not be longer.
const RECORD_TEXT_BYTES_MAX: usize = i16::MAX as usize;

impl GroupShard {
    pub(super) fn join(&mut self, ticket: Ticket, mut request: JoinRequest, fresh: Uuid, now: Now) {
        if let Err(error) = self.check_join(&mut request) {
            return self.outbox.reply(
                ticket,
                Reply::Join(JoinResponse::failed(&request.member_id, error)),
            );
        }
        let is_new = !self.groups.contains_key(request.group_id.as_str());
        if is_new {
            if !request.member_id.is_empty() {
                let refusal = JoinResponse::failed(&request.member_id, ErrorCode::UnknownMemberId);
                return self.outbox.reply(ticket, Reply::Join(refusal));
            }
            let id: crate::group::GroupId = request.group_id.as_str().into();
            self.groups.insert(id.clone(), ClassicGroup::new(id, now.wall));
        }
        let group_id = request.group_id.clone();
        self.on_group(&group_id, now, |step| step.join(ticket, request, fresh));
        // A refused join leaves nothing behind.
        if is_new
            && self
                .groups
                .get(group_id.as_str())
                .is_some_and(ClassicGroup::is_vacant)
        {
            self.groups.remove(group_id.as_str());
        }
    }

    /// Checks the parts that do not depend on the group, and fills in what old versions leave out.
    fn check_join(&self, request: &mut JoinRequest) -> Result<(), ErrorCode> {
        if request.group_id.is_empty() || request.group_id.len() > RECORD_TEXT_BYTES_MAX {
            return Err(ErrorCode::InvalidGroupId);
        }
        let session = timeout(request.session_timeout_ms);
        if session < self.limits.session_timeout_min || session > self.limits.session_timeout_max {
            return Err(ErrorCode::InvalidSessionTimeout);
        }
        if request.rebalance_timeout_ms < 0 {
            request.rebalance_timeout_ms = request.session_timeout_ms;
        }
        let texts = [request.member_id.as_str(), request.protocol_type.as_str()];
        let names = request.protocols.iter().map(|p| p.name.as_str());
        let instance = request.group_instance_id.as_deref();
        // What cannot be written to the log later is refused now. 37 bytes are added to make a member id.
        let prefix = instance.unwrap_or(&request.context.client_id).len() + 37;
        if prefix > RECORD_TEXT_BYTES_MAX
            || texts
                .into_iter()
                .chain(names)
                .any(|text| text.len() > RECORD_TEXT_BYTES_MAX)
        {
            return Err(ErrorCode::InvalidRequest);
        }
        let mut seen = std::collections::HashSet::new();
        request
            .protocols
            .retain(|protocol| seen.insert(protocol.name.clone()));
        Ok(())
    }
}

/// `<client id or instance id>-<uuid>`. Source: `ClassicGroup.generateMemberId`.
fn member_id(request: &JoinRequest, fresh: Uuid) -> MemberId {
    let prefix = request
        .group_instance_id
        .as_deref()
        .unwrap_or(&request.context.client_id);
    let hex: String = fresh.0.iter().map(|byte| format!("{byte:02x}")).collect();
    format!(
        "{prefix}-{}-{}-{}-{}-{}",
        &hex[..8],
        &hex[8..12],
        &hex[12..16],
        &hex[16..20],
        &hex[20..]
    )
    .into()
}

impl Step<'_> {
    fn refuse_join(&mut self, ticket: Ticket, member_id: &str, error: ErrorCode) {
        self.outbox
            .reply(ticket, Reply::Join(JoinResponse::failed(member_id, error)));
    }

    fn join(&mut self, ticket: Ticket, request: JoinRequest, fresh: Uuid) {
        if !self.has_room(&request.member_id) {
            let id = request.member_id;
            self.remove_member(&id, ErrorCode::GroupMaxSizeReached);
            self.refuse_join(ticket, "", ErrorCode::GroupMaxSizeReached);
            // It may have been the last one that the rebalance waited for.
            return self.maybe_complete_join();
        }
        if !self.group.supports(&request.protocol_type, &request.protocols) {
            return self.refuse_join(ticket, &request.member_id, ErrorCode::InconsistentGroupProtocol);
        }
        if request.member_id.is_empty() {
            self.join_unknown(ticket, request, fresh);
        } else {
            self.join_known(ticket, request);
        }
    }

    /// True when the member may be in the group without exceeding `group.max.size`.
    fn has_room(&self, member_id: &str) -> bool {
        let group = &*self.group;
        match group.state() {
            GroupState::Empty | GroupState::Dead => true,
            // Only those that have rejoined count: who comes last is left out when the limit was lowered.
            GroupState::PreparingRebalance => {
                group.member(member_id).is_some_and(Member::is_awaiting_join)
                    || group.awaiting_join_count() < self.limits.members_max
            }
            GroupState::CompletingRebalance | GroupState::Stable => {
                group.has_member(member_id) || group.member_count() < self.limits.members_max
            }
        }
    }

    fn join_unknown(&mut self, ticket: Ticket, request: JoinRequest, fresh: Uuid) {
        let new_id = member_id(&request, fresh);
        if let Some(instance_id) = &request.group_instance_id {
            return match self.group.static_member_id(instance_id).cloned() {
                Some(old_id) => self.replace_static_member(ticket, request, &old_id, new_id),
                None => self.add_member(ticket, request, new_id),
            };
        }
        if request.context.api_version >= MEMBER_ID_REQUIRED_VERSION {
            self.group.add_pending(new_id.clone());
            self.schedule_session(&new_id, timeout(request.session_timeout_ms));
            return self.refuse_join(ticket, &new_id, ErrorCode::MemberIdRequired);
        }
        self.add_member(ticket, request, new_id);
    }

    fn join_known(&mut self, ticket: Ticket, request: JoinRequest) {
        let id = request.member_id.clone();
        if self.group.is_pending(&id) {
            // Pending members are dynamic: an instance id here is a client's mistake.
            if request.group_instance_id.is_some() {
                return self.refuse_join(ticket, &id, ErrorCode::UnknownServerError);
            }
            let id: MemberId = id.as_str().into();
            return self.add_member(ticket, request, id);
        }
        if let Err(error) = self
            .group
            .validate_member(&id, request.group_instance_id.as_deref())
        {
            return self.refuse_join(ticket, &id, error);
        }
        let unchanged = self
            .group
            .member(&id)
            .is_some_and(|member| member.protocols == request.protocols);
        match self.group.state() {
            GroupState::PreparingRebalance => self.rejoin(ticket, request),
            // The member has probably missed the answer to its first join.
            GroupState::CompletingRebalance if unchanged => {
                let response = self.joined(&id);
                self.outbox.reply(ticket, Reply::Join(response));
            }
            // A leader that joins again wants a rebalance, even when its own metadata is the same.
            GroupState::Stable if unchanged && !self.group.is_leader(&id) => {
                let response = self.joined(&id);
                self.outbox.reply(ticket, Reply::Join(response));
            }
            GroupState::CompletingRebalance | GroupState::Stable => self.rejoin(ticket, request),
            GroupState::Empty | GroupState::Dead => self.refuse_join(ticket, &id, ErrorCode::UnknownMemberId),
        }
    }

    fn rejoin(&mut self, ticket: Ticket, request: JoinRequest) {
        let id = request.member_id;
        self.group.update_member(
            &id,
            request.protocols,
            request.rebalance_timeout_ms,
            request.session_timeout_ms,
        );
        self.park_join(&id, ticket);
        self.rebalance_or_complete(&format!(
            "member {id} rejoins: {}",
            reason(request.reason.as_deref())
        ));
    }

    fn add_member(&mut self, ticket: Ticket, request: JoinRequest, id: MemberId) {
        let protocols: Vec<JoinProtocol> = request.protocols;
        if self.group.state() == GroupState::PreparingRebalance
            && self.group.previous_state() == GroupState::Empty
        {
            self.group.new_member_added = true;
        }
        let member = Member {
            id: id.clone(),
            instance_id: request.group_instance_id,
            client_id: request.context.client_id,
            client_host: request.context.client_host,
            rebalance_timeout_ms: request.rebalance_timeout_ms,
            session_timeout_ms: request.session_timeout_ms,
            protocols,
            assignment: Bytes::new(),
            awaiting_join: None,
            awaiting_sync: None,
            is_new: true,
        };
        self.group.add(member, &request.protocol_type);
        self.park_join(&id, ticket);
        // Whether the client still waits for its parked join cannot be seen: a new member is kept for a bounded time.
        let patience = self.limits.new_member_join_timeout;
        self.schedule_session(&id, patience);
        self.rebalance_or_complete(&format!(
            "member {id} joins: {}",
            reason(request.reason.as_deref())
        ));
    }
}

/// The client's reason, for the log.
pub(super) fn reason(reason: Option<&str>) -> &str {
    reason.filter(|text| !text.is_empty()).unwrap_or("not provided")
}

//! ListGroups and DescribeGroups. Source: `GroupMetadataManager.listGroups`, `describeGroups`.

use super::GroupShard;
use crate::api::{DescribedGroup, DescribedMember, ListRequest, ListResponse, ListedGroup};
use crate::group::{ClassicGroup, GroupState, Member};
use crate::request::{Reply, Ticket};
use bytes::Bytes;
use milena_types::ErrorCode;

/// From this version an absent group is an error (KIP-1043).
const GROUP_ID_NOT_FOUND_VERSION: i16 = 6;

/// The type of every group of this coordinator.
const CLASSIC: &str = "classic";

impl GroupShard {
    pub(super) fn list(&mut self, ticket: Ticket, request: &ListRequest) {
        let matches = |filter: &[String], value: &str| {
            filter.is_empty()
                || filter
                    .iter()
                    .any(|wanted| wanted.trim().eq_ignore_ascii_case(value))
        };
        let is_wanted = |group: &&ClassicGroup| {
            matches(&request.types, CLASSIC) && matches(&request.states, group.state().as_str())
        };
        let describe = |group: &ClassicGroup| ListedGroup {
            group_id: group.id.to_string(),
            protocol_type: group.protocol_type.clone().unwrap_or_default(),
            state: group.state().as_str(),
            group_type: CLASSIC,
        };
        let groups = self.groups.values().filter(is_wanted).map(describe).collect();
        self.outbox.reply(
            ticket,
            Reply::List(ListResponse {
                error: ErrorCode::None,
                groups,
            }),
        );
    }

    pub(super) fn describe(&mut self, ticket: Ticket, api_version: i16, group_id: &str) {
        let described = match self.groups.get(group_id) {
            Some(group) => describe(group),
            None => {
                let mut absent = DescribedGroup::failed(group_id, ErrorCode::None);
                absent.state = GroupState::Dead.as_str();
                if api_version >= GROUP_ID_NOT_FOUND_VERSION {
                    absent.error = ErrorCode::GroupIdNotFound;
                    absent.message = Some(format!("Group {group_id} not found."));
                }
                absent
            }
        };
        self.outbox.reply(ticket, Reply::Describe(described));
    }
}

fn describe(group: &ClassicGroup) -> DescribedGroup {
    let protocol = group
        .protocol_name
        .as_deref()
        .filter(|_| group.state() == GroupState::Stable);
    let describe_member = |member: &Member| DescribedMember {
        member_id: member.id.to_string(),
        group_instance_id: member.instance_id.clone(),
        client_id: member.client_id.clone(),
        client_host: member.client_host.clone(),
        metadata: protocol
            .and_then(|name| member.metadata(name))
            .cloned()
            .unwrap_or_else(Bytes::new),
        assignment: member.assignment.clone(),
    };
    DescribedGroup {
        error: ErrorCode::None,
        message: None,
        group_id: group.id.to_string(),
        state: group.state().as_str(),
        protocol_type: group.protocol_type.clone().unwrap_or_default(),
        protocol_name: protocol.unwrap_or_default().to_owned(),
        members: group.members().map(describe_member).collect(),
    }
}

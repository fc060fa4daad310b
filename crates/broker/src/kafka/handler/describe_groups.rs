//! DescribeGroups (15): state, members and assignments. Source: `GroupMetadataManager.describeGroups`.

use super::text::{group_id, owned, text};
use crate::coordinator::{DescribeRequest, DescribedMember};
use crate::kafka::authorized_operations;
use crate::kafka::dispatch::Call;
use milena_wire::messages::describe_groups_response::{DescribedGroup, DescribedGroupMember};
use milena_wire::messages::{DescribeGroupsRequest, DescribeGroupsResponse};

pub(in crate::kafka) async fn handle(call: &Call, request: DescribeGroupsRequest) -> DescribeGroupsResponse {
    let describe = DescribeRequest {
        api_version: call.version,
        group_ids: request.groups.iter().map(|group| owned(&group.0)).collect(),
    };
    let operations = authorized_operations::of_group(request.include_authorized_operations);
    let groups = call.peer.ctx.groups.describe(describe).await;
    let rows = groups.into_iter().map(|group| {
        let operations = if group.error.is_none() {
            operations
        } else {
            authorized_operations::NOT_ASKED
        };
        DescribedGroup::default()
            .with_error_code(group.error.code())
            .with_error_message(group.message.filter(|_| call.version >= 6).map(text))
            .with_group_id(group_id(group.group_id))
            .with_group_state(text(group.state))
            .with_protocol_type(text(group.protocol_type))
            .with_protocol_data(text(group.protocol_name))
            .with_members(group.members.into_iter().map(member).collect())
            .with_authorized_operations(operations)
    });
    DescribeGroupsResponse::default().with_groups(rows.collect())
}

fn member(member: DescribedMember) -> DescribedGroupMember {
    DescribedGroupMember::default()
        .with_member_id(text(member.member_id))
        .with_group_instance_id(member.group_instance_id.map(text))
        .with_client_id(text(member.client_id))
        .with_client_host(text(member.client_host))
        .with_member_metadata(member.metadata)
        .with_member_assignment(member.assignment)
}

//! ListGroups (16): the groups that this broker coordinates. Source: `GroupMetadataManager.listGroups`.

use super::text::{group_id, owned, text};
use crate::coordinator::ListRequest;
use crate::kafka::dispatch::Call;
use milena_wire::messages::list_groups_response::ListedGroup;
use milena_wire::messages::{ListGroupsRequest, ListGroupsResponse};

pub(in crate::kafka) async fn handle(call: &Call, request: ListGroupsRequest) -> ListGroupsResponse {
    let list = ListRequest {
        states: request.states_filter.iter().map(owned).collect(),
        types: request.types_filter.iter().map(owned).collect(),
    };
    let answer = call.peer.ctx.groups.list(list).await;
    let groups = answer.groups.into_iter().map(|group| {
        ListedGroup::default()
            .with_group_id(group_id(group.group_id))
            .with_protocol_type(text(group.protocol_type))
            .with_group_state(text(group.state))
            .with_group_type(text(group.group_type))
    });
    ListGroupsResponse::default()
        .with_error_code(answer.error.code())
        .with_groups(groups.collect())
}

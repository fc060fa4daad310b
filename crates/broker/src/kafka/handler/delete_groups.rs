//! DeleteGroups (42): empty groups with their offsets. Source: `GroupMetadataManager.createGroupTombstoneRecords`.

use super::text::{group_id, owned};
use crate::kafka::dispatch::Call;
use milena_wire::messages::delete_groups_response::DeletableGroupResult;
use milena_wire::messages::{DeleteGroupsRequest, DeleteGroupsResponse};

pub(in crate::kafka) async fn handle(call: &Call, request: DeleteGroupsRequest) -> DeleteGroupsResponse {
    let ids = request.groups_names.iter().map(|group| owned(&group.0)).collect();
    let results = call.peer.ctx.groups.delete(ids).await;
    let rows = results.into_iter().map(|result| {
        DeletableGroupResult::default()
            .with_group_id(group_id(result.group_id))
            .with_error_code(result.error.code())
    });
    DeleteGroupsResponse::default().with_results(rows.collect())
}

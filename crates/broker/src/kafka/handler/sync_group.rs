//! SyncGroup (14): answered when the leader's assignment is stored. Source: `GroupMetadataManager.classicGroupSync`.

use super::group_context::context;
use super::text::{owned, text};
use crate::coordinator::SyncRequest;
use crate::kafka::dispatch::Call;
use bytes::Bytes;
use milena_wire::messages::{SyncGroupRequest, SyncGroupResponse};

pub(in crate::kafka) async fn handle(call: &Call, request: SyncGroupRequest) -> SyncGroupResponse {
    let assignments = request
        .assignments
        .iter()
        .map(|a| (owned(&a.member_id), Bytes::copy_from_slice(&a.assignment)));
    let sync = SyncRequest {
        context: context(call),
        group_id: owned(&request.group_id.0),
        generation_id: request.generation_id,
        member_id: owned(&request.member_id),
        group_instance_id: request.group_instance_id.as_ref().map(owned),
        protocol_type: request.protocol_type.as_ref().map(owned),
        protocol_name: request.protocol_name.as_ref().map(owned),
        assignments: assignments.collect(),
    };
    drop(request);
    let answer = call.peer.ctx.groups.sync(sync).await;
    SyncGroupResponse::default()
        .with_error_code(answer.error.code())
        .with_protocol_type(answer.protocol_type.map(text))
        .with_protocol_name(answer.protocol_name.map(text))
        .with_assignment(answer.assignment)
}

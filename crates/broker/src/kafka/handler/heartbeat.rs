//! Heartbeat (12): a member is alive. Source: `GroupMetadataManager.classicGroupHeartbeat`.

use super::group_context::context;
use super::text::owned;
use crate::kafka::dispatch::Call;
use milena_wire::messages::{HeartbeatRequest, HeartbeatResponse};

pub(in crate::kafka) async fn handle(call: &Call, request: HeartbeatRequest) -> HeartbeatResponse {
    let heartbeat = crate::coordinator::HeartbeatRequest {
        context: context(call),
        group_id: owned(&request.group_id.0),
        generation_id: request.generation_id,
        member_id: owned(&request.member_id),
        group_instance_id: request.group_instance_id.as_ref().map(owned),
    };
    let error = call.peer.ctx.groups.heartbeat(heartbeat).await;
    HeartbeatResponse::default().with_error_code(error.code())
}

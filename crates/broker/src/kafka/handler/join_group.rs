//! JoinGroup (11): answered when the rebalance completes. Source: `GroupMetadataManager.classicGroupJoin`.

use super::group_context::context;
use super::text::{owned, text};
use crate::coordinator::{JoinProtocol, JoinRequest, JoinResponse};
use crate::kafka::dispatch::Call;
use bytes::Bytes;
use milena_wire::messages::join_group_response::JoinGroupResponseMember;
use milena_wire::messages::{JoinGroupRequest, JoinGroupResponse};

pub(in crate::kafka) async fn handle(call: &Call, request: JoinGroupRequest) -> JoinGroupResponse {
    let protocols = request.protocols.iter().map(|protocol| JoinProtocol {
        name: owned(&protocol.name),
        // A copy: the coordinator keeps it as long as the member, a slice would keep the read buffer.
        metadata: Bytes::copy_from_slice(&protocol.metadata),
    });
    let join = JoinRequest {
        context: context(call),
        group_id: owned(&request.group_id.0),
        session_timeout_ms: request.session_timeout_ms,
        rebalance_timeout_ms: request.rebalance_timeout_ms,
        member_id: owned(&request.member_id),
        group_instance_id: request.group_instance_id.as_ref().map(owned),
        protocol_type: owned(&request.protocol_type),
        protocols: protocols.collect(),
        reason: request.reason.as_ref().map(owned),
    };
    drop(request);
    respond(call.peer.ctx.groups.join(join).await, call.version)
}

fn respond(answer: JoinResponse, version: i16) -> JoinGroupResponse {
    let members = answer.members.into_iter().map(|member| {
        JoinGroupResponseMember::default()
            .with_member_id(text(member.member_id))
            .with_group_instance_id(member.group_instance_id.map(text))
            .with_metadata(member.metadata)
    });
    // Null exists since version 7.
    let protocol_name = answer.protocol_name.or_else(|| (version < 7).then(String::new));
    JoinGroupResponse::default()
        .with_error_code(answer.error.code())
        .with_generation_id(answer.generation_id)
        .with_protocol_type(answer.protocol_type.map(text))
        .with_protocol_name(protocol_name.map(text))
        .with_leader(text(answer.leader))
        .with_skip_assignment(answer.skip_assignment && version >= 9)
        .with_member_id(text(answer.member_id))
        .with_members(members.collect())
}

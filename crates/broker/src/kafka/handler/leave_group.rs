//! LeaveGroup (13): one member, or several since version 3. Source: `GroupMetadataManager.classicGroupLeave`, KIP-345.

use super::group_context::context;
use super::text::{owned, text};
use crate::coordinator::{LeaveMember, LeaveRequest, LeaveResponse};
use crate::kafka::dispatch::Call;
use milena_wire::messages::leave_group_response::MemberResponse;
use milena_wire::messages::{LeaveGroupRequest, LeaveGroupResponse};

pub(in crate::kafka) async fn handle(call: &Call, request: LeaveGroupRequest) -> LeaveGroupResponse {
    let members = if call.version < 3 {
        vec![LeaveMember {
            member_id: owned(&request.member_id),
            group_instance_id: None,
            reason: None,
        }]
    } else {
        let member = |m: &milena_wire::messages::leave_group_request::MemberIdentity| LeaveMember {
            member_id: owned(&m.member_id),
            group_instance_id: m.group_instance_id.as_ref().map(owned),
            reason: m.reason.as_ref().map(owned),
        };
        request.members.iter().map(member).collect()
    };
    let leave = LeaveRequest {
        context: context(call),
        group_id: owned(&request.group_id.0),
        members,
    };
    respond(call.peer.ctx.groups.leave(leave).await, call.version)
}

fn respond(answer: LeaveResponse, version: i16) -> LeaveGroupResponse {
    if version < 3 {
        // The only member's error is the request's.
        let member = answer
            .members
            .first()
            .map(|member| member.error)
            .filter(|_| answer.error.is_none());
        return LeaveGroupResponse::default().with_error_code(member.unwrap_or(answer.error).code());
    }
    let members = answer.members.into_iter().map(|member| {
        MemberResponse::default()
            .with_member_id(text(member.member_id))
            .with_group_instance_id(member.group_instance_id.map(text))
            .with_error_code(member.error.code())
    });
    LeaveGroupResponse::default()
        .with_error_code(answer.error.code())
        .with_members(members.collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::coordinator::LeaveMemberResult;
    use milena_types::ErrorCode;

    #[test]
    fn old_versions_get_the_members_error_as_the_requests() {
        let member = |error| LeaveMemberResult {
            member_id: "m".into(),
            group_instance_id: None,
            error,
        };
        let answer = |error, members| LeaveResponse { error, members };
        let unknown = || vec![member(ErrorCode::UnknownMemberId)];
        assert_eq!(respond(answer(ErrorCode::None, unknown()), 2).error_code, 25);
        assert_eq!(
            respond(answer(ErrorCode::NotCoordinator, vec![]), 2).error_code,
            16
        );
        let new = respond(answer(ErrorCode::None, unknown()), 3);
        assert_eq!((new.error_code, new.members[0].error_code), (0, 25));
    }
}

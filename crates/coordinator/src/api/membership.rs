//! JoinGroup (11), SyncGroup (14), Heartbeat (12) and LeaveGroup (13).

use bytes::Bytes;
use milena_types::ErrorCode;

/// What the connection and the request header say about the caller.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RequestContext {
    /// The API version of the request: several error codes and short cuts depend on it.
    pub api_version: i16,
    /// The client id of the request header; empty when null.
    pub client_id: String,
    /// The client's address as Kafka prints it, for example `/127.0.0.1`.
    pub client_host: String,
}

/// One assignment strategy that a member supports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JoinProtocol {
    /// Its name, for example `range`.
    pub name: String,
    /// Opaque to the broker, except for the topics of protocol type `consumer`.
    pub metadata: Bytes,
}

/// A JoinGroup request. Source: `JoinGroupRequest.json`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct JoinRequest {
    /// Who asks.
    pub context: RequestContext,
    /// The group.
    pub group_id: String,
    /// How long the member may stay silent.
    pub session_timeout_ms: i32,
    /// How long the coordinator waits for members to rejoin; -1 (version 0) means the session timeout.
    pub rebalance_timeout_ms: i32,
    /// Empty on the first join.
    pub member_id: String,
    /// Present for static members (KIP-345).
    pub group_instance_id: Option<String>,
    /// `consumer`, `connect`, …
    pub protocol_type: String,
    /// In the member's order of preference.
    pub protocols: Vec<JoinProtocol>,
    /// Why it joins, for the log (KIP-800).
    pub reason: Option<String>,
}

/// One member as the group's leader sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JoinMember {
    /// Its id.
    pub member_id: String,
    /// Its instance id, when static.
    pub group_instance_id: Option<String>,
    /// Its metadata for the selected protocol.
    pub metadata: Bytes,
}

/// The answer to [`JoinRequest`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JoinResponse {
    /// What became of it.
    pub error: ErrorCode,
    /// The generation joined; -1 on error.
    pub generation_id: i32,
    /// Versions 7 and above.
    pub protocol_type: Option<String>,
    /// The selected protocol; below version 7 null is sent as the empty string.
    pub protocol_name: Option<String>,
    /// The leader's member id; empty when unknown.
    pub leader: String,
    /// True when the leader must not compute an assignment (version 9, KIP-814).
    pub skip_assignment: bool,
    /// The caller's member id.
    pub member_id: String,
    /// All members, for the leader only.
    pub members: Vec<JoinMember>,
}

impl JoinResponse {
    /// A refusal: generation -1, no protocol, no leader.
    #[must_use]
    pub fn failed(member_id: &str, error: ErrorCode) -> Self {
        Self {
            error,
            generation_id: -1,
            protocol_type: None,
            protocol_name: None,
            leader: String::new(),
            skip_assignment: false,
            member_id: member_id.to_owned(),
            members: Vec::new(),
        }
    }
}

/// A SyncGroup request. Source: `SyncGroupRequest.json`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SyncRequest {
    /// Who asks.
    pub context: RequestContext,
    /// The group.
    pub group_id: String,
    /// The generation the member joined.
    pub generation_id: i32,
    /// The member.
    pub member_id: String,
    /// Present for static members.
    pub group_instance_id: Option<String>,
    /// Version 5 and above; `None` is not checked.
    pub protocol_type: Option<String>,
    /// Version 5 and above; `None` is not checked.
    pub protocol_name: Option<String>,
    /// (member id, assignment), from the leader only.
    pub assignments: Vec<(String, Bytes)>,
}

/// The answer to [`SyncRequest`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SyncResponse {
    /// What became of it.
    pub error: ErrorCode,
    /// Versions 5 and above.
    pub protocol_type: Option<String>,
    /// Versions 5 and above.
    pub protocol_name: Option<String>,
    /// The member's assignment; empty on error.
    pub assignment: Bytes,
}

impl SyncResponse {
    /// A refusal.
    #[must_use]
    pub fn failed(error: ErrorCode) -> Self {
        Self {
            error,
            ..Self::default()
        }
    }
}

/// A Heartbeat request; the answer is an error code. Source: `HeartbeatRequest.json`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HeartbeatRequest {
    /// Who asks.
    pub context: RequestContext,
    /// The group.
    pub group_id: String,
    /// The member's generation.
    pub generation_id: i32,
    /// The member.
    pub member_id: String,
    /// Present for static members.
    pub group_instance_id: Option<String>,
}

/// One member that leaves.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LeaveMember {
    /// Empty when an administrator removes a static member by its instance id.
    pub member_id: String,
    /// The instance id, when static.
    pub group_instance_id: Option<String>,
    /// Why, for the log.
    pub reason: Option<String>,
}

/// A LeaveGroup request; versions 0 to 2 carry exactly one member. Source: `LeaveGroupRequest.json`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LeaveRequest {
    /// Who asks.
    pub context: RequestContext,
    /// The group.
    pub group_id: String,
    /// The members.
    pub members: Vec<LeaveMember>,
}

/// The answer for one member of a [`LeaveRequest`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeaveMemberResult {
    /// As asked.
    pub member_id: String,
    /// As asked.
    pub group_instance_id: Option<String>,
    /// What became of it.
    pub error: ErrorCode,
}

/// The answer to [`LeaveRequest`]. Versions 0 to 2 send `error`, or the single member's error when that is none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LeaveResponse {
    /// An error of the whole request.
    pub error: ErrorCode,
    /// One answer a member, in the request's order; empty when the whole request failed.
    pub members: Vec<LeaveMemberResult>,
}

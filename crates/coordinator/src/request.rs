//! The events that a shard handles and the answers it gives.

use crate::api::{
    CommitRequest, CommitResponse, DeletedGroup, DescribedGroup, FetchRequest, FetchResponse,
    HeartbeatRequest, JoinRequest, JoinResponse, LeaveRequest, LeaveResponse, ListRequest, ListResponse,
    OffsetDeleteRequest, OffsetDeleteResponse, SyncRequest, SyncResponse, TxnCommitRequest,
};
use milena_types::{ErrorCode, Uuid};

/// Names one request until it is answered; chosen by the caller, unique among the requests in flight.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(pub u64);

/// One request to the shard that coordinates the group it names.
#[derive(Clone, Debug)]
pub enum Request {
    /// JoinGroup, with a fresh random id out of which a member id is made if one is needed.
    Join(JoinRequest, Uuid),
    /// SyncGroup.
    Sync(SyncRequest),
    /// Heartbeat.
    Heartbeat(HeartbeatRequest),
    /// LeaveGroup.
    Leave(LeaveRequest),
    /// OffsetCommit.
    Commit(CommitRequest),
    /// TxnOffsetCommit, after the producer's transaction was verified.
    TxnCommit(TxnCommitRequest),
    /// OffsetFetch of one group.
    Fetch(FetchRequest),
    /// OffsetDelete.
    OffsetDelete(OffsetDeleteRequest),
    /// DeleteGroups, one group.
    Delete(String),
    /// DescribeGroups, one group.
    Describe {
        /// Version of the request.
        api_version: i16,
        /// The group.
        group_id: String,
    },
    /// ListGroups; every shard is asked.
    List(ListRequest),
}

/// The answer to a [`Request`], variant by variant.
#[derive(Clone, Debug, PartialEq)]
pub enum Reply {
    /// To Join.
    Join(JoinResponse),
    /// To Sync.
    Sync(SyncResponse),
    /// To Heartbeat.
    Heartbeat(ErrorCode),
    /// To Leave.
    Leave(LeaveResponse),
    /// To Commit and TxnCommit.
    Commit(CommitResponse),
    /// To Fetch.
    Fetch(FetchResponse),
    /// To OffsetDelete.
    OffsetDelete(OffsetDeleteResponse),
    /// To Delete.
    Delete(DeletedGroup),
    /// To Describe.
    Describe(DescribedGroup),
    /// To List.
    List(ListResponse),
}

impl Request {
    /// The group it is about; `None` for List.
    #[must_use]
    pub fn group_id(&self) -> Option<&str> {
        match self {
            Request::Join(r, _) => Some(&r.group_id),
            Request::Sync(r) => Some(&r.group_id),
            Request::Heartbeat(r) => Some(&r.group_id),
            Request::Leave(r) => Some(&r.group_id),
            Request::Commit(r) => Some(&r.group_id),
            Request::TxnCommit(r) => Some(&r.commit.group_id),
            Request::Fetch(r) => Some(&r.group_id),
            Request::OffsetDelete(r) => Some(&r.group_id),
            Request::Delete(group_id) | Request::Describe { group_id, .. } => Some(group_id),
            Request::List(_) => None,
        }
    }

    /// The answer that refuses the whole request with `error`, in the shape its API has for that.
    ///
    /// A heartbeat to a shard that is still loading is answered without error: the member cannot be checked, and its
    /// session timer starts anew once the shard is loaded. Source: `GroupCoordinatorService.heartbeat`.
    #[must_use]
    pub fn refuse(&self, error: ErrorCode) -> Reply {
        match self {
            Request::Join(r, _) => Reply::Join(JoinResponse::failed(&r.member_id, error)),
            Request::Sync(_) => Reply::Sync(SyncResponse::failed(error)),
            Request::Heartbeat(_) if error == ErrorCode::CoordinatorLoadInProgress => {
                Reply::Heartbeat(ErrorCode::None)
            }
            Request::Heartbeat(_) => Reply::Heartbeat(error),
            Request::Leave(_) => Reply::Leave(LeaveResponse {
                error,
                members: Vec::new(),
            }),
            Request::Commit(r) => Reply::Commit(CommitResponse::uniform(&r.topics, error)),
            Request::TxnCommit(r) => Reply::Commit(CommitResponse::uniform(&r.commit.topics, error)),
            Request::Fetch(r) => Reply::Fetch(FetchResponse {
                group_id: r.group_id.clone(),
                error,
                topics: Vec::new(),
            }),
            Request::OffsetDelete(_) => Reply::OffsetDelete(OffsetDeleteResponse::failed(error)),
            Request::Delete(group_id) => Reply::Delete(DeletedGroup {
                group_id: group_id.clone(),
                error,
            }),
            Request::Describe { group_id, .. } => Reply::Describe(DescribedGroup::failed(group_id, error)),
            Request::List(_) => Reply::List(ListResponse {
                error,
                groups: Vec::new(),
            }),
        }
    }
}

impl Reply {
    /// The refusal of the request that this would have been the answer to, when its write failed.
    #[must_use]
    pub(crate) fn into_refusal(self, error: ErrorCode) -> Reply {
        match self {
            Reply::Commit(mut response) => {
                for partition in response.topics.iter_mut().flat_map(|topic| &mut topic.partitions) {
                    partition.error = error;
                }
                Reply::Commit(response)
            }
            Reply::OffsetDelete(_) => Reply::OffsetDelete(OffsetDeleteResponse::failed(error)),
            Reply::Delete(group) => Reply::Delete(DeletedGroup { error, ..group }),
            Reply::Heartbeat(_) => Reply::Heartbeat(error),
            Reply::Join(response) => Reply::Join(JoinResponse::failed(&response.member_id, error)),
            Reply::Sync(_) => Reply::Sync(SyncResponse::failed(error)),
            Reply::Leave(_) => Reply::Leave(LeaveResponse {
                error,
                members: Vec::new(),
            }),
            Reply::Fetch(response) => Reply::Fetch(FetchResponse {
                error,
                topics: Vec::new(),
                ..response
            }),
            Reply::Describe(group) => Reply::Describe(DescribedGroup::failed(&group.group_id, error)),
            Reply::List(_) => Reply::List(ListResponse {
                error,
                groups: Vec::new(),
            }),
        }
    }
}

//! What a group coordinator is asked and what it answers, as plain values: no wire version, no borrowed frame.
//!
//! The structs follow Kafka's message schemas field by field (`JoinGroupRequest.json` and so on); a value that a
//! protocol version does not carry has the default named in its doc.

mod admin;
mod membership;
mod offsets;

pub use admin::{
    DeletedGroup, DescribeRequest, DescribedGroup, DescribedMember, ListRequest, ListResponse, ListedGroup,
};
pub use membership::{
    HeartbeatRequest, JoinMember, JoinProtocol, JoinRequest, JoinResponse, LeaveMember, LeaveMemberResult,
    LeaveRequest, LeaveResponse, RequestContext, SyncRequest, SyncResponse,
};
pub use offsets::{
    CommitPartition, CommitPartitionResult, CommitRequest, CommitResponse, CommitTopic, CommitTopicResult,
    FetchPartitionResult, FetchRequest, FetchResponse, FetchTopic, FetchTopicResult, OffsetDeleteRequest,
    OffsetDeleteResponse, OffsetDeleteTopic, OffsetDeleteTopicResult, TxnCommitRequest,
};

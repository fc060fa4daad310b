//! The handle through which request handlers reach the group coordinator. `Send + Sync`, cheap to clone.
//!
//! Every method answers in its API's own terms: a broker that does not coordinate the group says NOT_COORDINATOR, one
//! that is still loading says COORDINATOR_LOAD_IN_PROGRESS, a stopping one COORDINATOR_NOT_AVAILABLE. JoinGroup and
//! SyncGroup park for as long as the rebalance takes. Dropping a future abandons the answer, not the request.

use super::seam::ClusterView;
use super::topic::OffsetsTopic;
use milena_coordinator::api::{
    CommitRequest, CommitResponse, DeletedGroup, DescribeRequest, DescribedGroup, FetchRequest,
    FetchResponse, HeartbeatRequest, JoinRequest, JoinResponse, LeaveRequest, LeaveResponse, ListRequest,
    ListResponse, OffsetDeleteRequest, OffsetDeleteResponse, SyncRequest, SyncResponse, TxnCommitRequest,
};
use milena_coordinator::{Reply, Request, partition_for};
use milena_types::{BrokerId, ErrorCode, PartitionIndex, ProducerId, TopicId, Uuid};
use std::sync::Arc;
use tokio::sync::{mpsc, oneshot};

/// What the handle sends to the host.
#[derive(Debug)]
pub(super) enum Command {
    /// A request for the shard of one partition.
    Call {
        /// The partition of the offsets topic.
        partition: PartitionIndex,
        /// The request.
        request: Request,
        /// Where the answer goes.
        reply: oneshot::Sender<Reply>,
    },
    /// ListGroups: every shard answers.
    List {
        /// The filters.
        request: ListRequest,
        /// Where the answer goes.
        reply: oneshot::Sender<ListResponse>,
    },
    /// A transaction marker was written to a partition of the offsets topic.
    Marker {
        /// The partition of the offsets topic.
        partition: PartitionIndex,
        /// Whose transaction ended.
        producer_id: ProducerId,
        /// Committed, or aborted.
        commit: bool,
    },
    /// Topics were deleted: their offsets are to be forgotten.
    TopicsDeleted(Vec<(String, TopicId)>),
}

/// The group coordinator, as handlers see it.
#[derive(Clone)]
pub struct Groups {
    commands: mpsc::Sender<Command>,
    topic: Arc<OffsetsTopic>,
}

impl std::fmt::Debug for Groups {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Groups").finish_non_exhaustive()
    }
}

/// A reply of another variant than the request's cannot happen; it is answered as a server error rather than a panic.
macro_rules! expect_reply {
    ($reply:expr, $variant:ident, $otherwise:expr) => {
        match $reply {
            Reply::$variant(value) => value,
            _ => $otherwise,
        }
    };
}

impl Groups {
    pub(super) fn new(commands: mpsc::Sender<Command>, topic: Arc<OffsetsTopic>) -> Self {
        Self { commands, topic }
    }

    async fn call(&self, request: Request) -> Reply {
        // DescribeGroups and DeleteGroups know the empty group id, for old simple consumers; so do the offset APIs.
        let Some(group_id) = request.group_id() else {
            return request.refuse(ErrorCode::InvalidGroupId);
        };
        let partition = self.partition_of(group_id);
        let (reply, answer) = oneshot::channel();
        let refusal = request.refuse(ErrorCode::CoordinatorNotAvailable);
        if self
            .commands
            .send(Command::Call {
                partition,
                request,
                reply,
            })
            .await
            .is_err()
        {
            return refusal;
        }
        answer.await.unwrap_or(refusal)
    }

    /// JoinGroup (11): answered when the rebalance completes.
    pub async fn join(&self, request: JoinRequest) -> JoinResponse {
        let member_id = request.member_id.clone();
        let reply = self.call(Request::Join(request, Uuid::random())).await;
        expect_reply!(
            reply,
            Join,
            JoinResponse::failed(&member_id, ErrorCode::UnknownServerError)
        )
    }

    /// SyncGroup (14): answered when the leader's assignment is stored.
    pub async fn sync(&self, request: SyncRequest) -> SyncResponse {
        let reply = self.call(Request::Sync(request)).await;
        expect_reply!(reply, Sync, SyncResponse::failed(ErrorCode::UnknownServerError))
    }

    /// Heartbeat (12).
    pub async fn heartbeat(&self, request: HeartbeatRequest) -> ErrorCode {
        let reply = self.call(Request::Heartbeat(request)).await;
        expect_reply!(reply, Heartbeat, ErrorCode::UnknownServerError)
    }

    /// LeaveGroup (13).
    pub async fn leave(&self, request: LeaveRequest) -> LeaveResponse {
        let reply = self.call(Request::Leave(request)).await;
        let failed = LeaveResponse {
            error: ErrorCode::UnknownServerError,
            members: Vec::new(),
        };
        expect_reply!(reply, Leave, failed)
    }

    /// OffsetCommit (8): answered when the offsets are committed in `__consumer_offsets` (acks=all).
    pub async fn commit(&self, request: CommitRequest) -> CommitResponse {
        let reply = self.call(Request::Commit(request)).await;
        expect_reply!(reply, Commit, CommitResponse::default())
    }

    /// TxnOffsetCommit (28), for a producer whose transaction was verified.
    pub async fn txn_commit(&self, request: TxnCommitRequest) -> CommitResponse {
        let reply = self.call(Request::TxnCommit(request)).await;
        expect_reply!(reply, Commit, CommitResponse::default())
    }

    /// OffsetFetch (9), one group.
    pub async fn fetch(&self, request: FetchRequest) -> FetchResponse {
        let group_id = request.group_id.clone();
        let reply = self.call(Request::Fetch(request)).await;
        let failed = FetchResponse {
            group_id,
            error: ErrorCode::UnknownServerError,
            topics: Vec::new(),
        };
        expect_reply!(reply, Fetch, failed)
    }

    /// OffsetDelete (47).
    pub async fn offset_delete(&self, request: OffsetDeleteRequest) -> OffsetDeleteResponse {
        let reply = self.call(Request::OffsetDelete(request)).await;
        expect_reply!(
            reply,
            OffsetDelete,
            OffsetDeleteResponse::failed(ErrorCode::UnknownServerError)
        )
    }

    /// ListGroups (16): the groups that this broker coordinates.
    pub async fn list(&self, request: ListRequest) -> ListResponse {
        let (reply, answer) = oneshot::channel();
        let failed = ListResponse {
            error: ErrorCode::CoordinatorNotAvailable,
            groups: Vec::new(),
        };
        if self
            .commands
            .send(Command::List { request, reply })
            .await
            .is_err()
        {
            return failed;
        }
        answer.await.unwrap_or(failed)
    }

    /// DescribeGroups (15), in the request's order.
    pub async fn describe(&self, request: DescribeRequest) -> Vec<DescribedGroup> {
        let calls = request.group_ids.into_iter().map(|group_id| async {
            let failed = DescribedGroup::failed(&group_id, ErrorCode::UnknownServerError);
            let reply = self
                .call(Request::Describe {
                    api_version: request.api_version,
                    group_id,
                })
                .await;
            expect_reply!(reply, Describe, failed)
        });
        futures_util::future::join_all(calls).await
    }

    /// DeleteGroups (42), in the request's order.
    pub async fn delete(&self, group_ids: Vec<String>) -> Vec<DeletedGroup> {
        let calls = group_ids.into_iter().map(|group_id| async {
            let failed = DeletedGroup {
                group_id: group_id.clone(),
                error: ErrorCode::UnknownServerError,
            };
            expect_reply!(self.call(Request::Delete(group_id)).await, Delete, failed)
        });
        futures_util::future::join_all(calls).await
    }

    /// A transaction marker for `producer_id` is committed in a partition of `__consumer_offsets` that this broker
    /// leads: its pending offsets become visible, or are forgotten.
    pub async fn transaction_ended(&self, partition: PartitionIndex, producer_id: ProducerId, commit: bool) {
        // A host that is gone has nothing pending: the next one replays the marker from the log.
        let _ = self
            .commands
            .send(Command::Marker {
                partition,
                producer_id,
                commit,
            })
            .await;
    }

    /// Topics were deleted: the offsets that groups have committed for them are forgotten.
    pub async fn topics_deleted(&self, topics: Vec<(String, TopicId)>) {
        // Without a host there is nothing to forget; offsets that stay expire.
        let _ = self.commands.send(Command::TopicsDeleted(topics)).await;
    }

    /// The partition of `__consumer_offsets` that holds the group.
    #[must_use]
    pub fn partition_of(&self, group_id: &str) -> PartitionIndex {
        partition_for(group_id, self.topic.partitions())
    }

    /// FindCoordinator (10): the broker that coordinates the group; creates `__consumer_offsets` when it is missing.
    ///
    /// # Errors
    /// COORDINATOR_NOT_AVAILABLE until the topic exists and the group's partition has a live leader.
    pub async fn find_coordinator(&self, group_id: &str) -> Result<BrokerId, ErrorCode> {
        self.topic.leader_of(self.partition_of(group_id)).await
    }

    /// Creates `__consumer_offsets` when it is missing. Concurrent calls share one request to the controller.
    ///
    /// # Errors
    /// COORDINATOR_NOT_AVAILABLE while it does not exist: the caller's client tries again.
    pub async fn ensure_topic(&self) -> Result<(), ErrorCode> {
        self.topic.ensure().await
    }

    /// The cluster as the coordinator sees it.
    #[must_use]
    pub fn cluster(&self) -> &dyn ClusterView {
        self.topic.cluster()
    }
}

//! OffsetCommit (8), OffsetFetch (9), OffsetDelete (47) and TxnOffsetCommit (28).
//!
//! The caller has already resolved topic ids and refused topics that do not exist or may not be read: whatever
//! arrives here is stored.

use super::RequestContext;
use milena_types::{ErrorCode, LeaderEpoch, Offset, PartitionIndex, ProducerEpoch, ProducerId, TopicId};

/// One offset to commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommitPartition {
    /// The partition.
    pub partition: PartitionIndex,
    /// The next offset to consume.
    pub offset: Offset,
    /// The epoch of the last record consumed, when the client knows it.
    pub leader_epoch: Option<LeaderEpoch>,
    /// Text of the client's; null is stored as the empty string.
    pub metadata: Option<String>,
}

/// The offsets of one topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommitTopic {
    /// Zero when unknown.
    pub topic_id: TopicId,
    /// The topic's name.
    pub name: String,
    /// Its partitions.
    pub partitions: Vec<CommitPartition>,
}

/// An OffsetCommit request. Source: `OffsetCommitRequest.json`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommitRequest {
    /// Who asks.
    pub context: RequestContext,
    /// The group.
    pub group_id: String,
    /// Generation or member epoch; -1 for commits without group membership.
    pub generation_id: i32,
    /// Empty for commits without group membership.
    pub member_id: String,
    /// Present for static members.
    pub group_instance_id: Option<String>,
    /// Versions 2 to 4; `None` (-1) means the broker's retention.
    pub retention_ms: Option<i64>,
    /// What to commit.
    pub topics: Vec<CommitTopic>,
}

/// Offsets committed inside a transaction. Source: `TxnOffsetCommitRequest.json`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TxnCommitRequest {
    /// The group, the member and the offsets; `retention_ms` is not used.
    pub commit: CommitRequest,
    /// The transactional producer.
    pub producer_id: ProducerId,
    /// Its epoch.
    pub producer_epoch: ProducerEpoch,
}

/// The answer for one partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommitPartitionResult {
    /// The partition.
    pub partition: PartitionIndex,
    /// What became of it.
    pub error: ErrorCode,
}

/// The answers for one topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommitTopicResult {
    /// As asked.
    pub topic_id: TopicId,
    /// As asked.
    pub name: String,
    /// One answer a partition, in the request's order.
    pub partitions: Vec<CommitPartitionResult>,
}

/// The answer to [`CommitRequest`] and [`TxnCommitRequest`]. An error of the whole request is repeated on every partition.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CommitResponse {
    /// One answer a topic, in the request's order.
    pub topics: Vec<CommitTopicResult>,
}

impl CommitResponse {
    /// The same answer for every partition of `request`.
    #[must_use]
    pub fn uniform(topics: &[CommitTopic], error: ErrorCode) -> Self {
        let topics = topics
            .iter()
            .map(|t| CommitTopicResult {
                topic_id: t.topic_id,
                name: t.name.clone(),
                partitions: t
                    .partitions
                    .iter()
                    .map(|p| CommitPartitionResult {
                        partition: p.partition,
                        error,
                    })
                    .collect(),
            })
            .collect();
        Self { topics }
    }
}

/// The partitions of one topic to look up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FetchTopic {
    /// Zero when unknown; an offset that was stored under another id is not found.
    pub topic_id: TopicId,
    /// The topic's name.
    pub name: String,
    /// Its partitions.
    pub partitions: Vec<PartitionIndex>,
}

/// The lookup of one group's offsets. Source: `OffsetFetchRequest.json`, one element of `groups`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FetchRequest {
    /// Who asks.
    pub context: RequestContext,
    /// The group.
    pub group_id: String,
    /// Version 9 and above; classic groups do not check it.
    pub member_id: Option<String>,
    /// Version 9 and above; -1 otherwise.
    pub member_epoch: i32,
    /// `None`: every topic with a committed offset.
    pub topics: Option<Vec<FetchTopic>>,
    /// A partition with a pending transactional commit answers UNSTABLE_OFFSET_COMMIT (KIP-447).
    pub require_stable: bool,
}

/// The committed offset of one partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FetchPartitionResult {
    /// The partition.
    pub partition: PartitionIndex,
    /// UNSTABLE_OFFSET_COMMIT or none: a partition without an offset is no error.
    pub error: ErrorCode,
    /// `None` (-1 on the wire) when nothing is committed.
    pub offset: Option<Offset>,
    /// The epoch that was committed with it.
    pub leader_epoch: Option<LeaderEpoch>,
    /// The text that was committed with it.
    pub metadata: String,
}

/// The committed offsets of one topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FetchTopicResult {
    /// As asked; zero when all topics were asked for.
    pub topic_id: TopicId,
    /// The topic's name.
    pub name: String,
    /// Its partitions.
    pub partitions: Vec<FetchPartitionResult>,
}

/// The answer to [`FetchRequest`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FetchResponse {
    /// As asked.
    pub group_id: String,
    /// An error of the whole group; versions 0 and 1 send it on each partition asked for, 2 to 7 at the top level.
    pub error: ErrorCode,
    /// Empty on error.
    pub topics: Vec<FetchTopicResult>,
}

/// The partitions of one topic whose offsets are to be forgotten.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OffsetDeleteTopic {
    /// The topic's name.
    pub name: String,
    /// Its partitions.
    pub partitions: Vec<PartitionIndex>,
}

/// An OffsetDelete request. Source: `OffsetDeleteRequest.json`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OffsetDeleteRequest {
    /// The group.
    pub group_id: String,
    /// What to forget.
    pub topics: Vec<OffsetDeleteTopic>,
}

/// The answers for one topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OffsetDeleteTopicResult {
    /// The topic's name.
    pub name: String,
    /// None or GROUP_SUBSCRIBED_TO_TOPIC for each partition.
    pub partitions: Vec<CommitPartitionResult>,
}

/// The answer to [`OffsetDeleteRequest`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OffsetDeleteResponse {
    /// An error of the whole request.
    pub error: ErrorCode,
    /// Empty on error.
    pub topics: Vec<OffsetDeleteTopicResult>,
}

impl OffsetDeleteResponse {
    /// A refusal of the whole request.
    #[must_use]
    pub fn failed(error: ErrorCode) -> Self {
        Self {
            error,
            topics: Vec::new(),
        }
    }
}

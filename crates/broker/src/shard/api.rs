//! The values that cross between request handlers and partition owners. Plain data, `Send`, no behaviour.

use bytes::{Bytes, BytesMut};
use milena_types::{
    Acks, BrokerId, ErrorCode, LeaderEpoch, Offset, ProducerId, Timestamp, TopicIdPartition, TopicName,
    TopicPartition,
};
use std::sync::Arc;
use std::time::Duration;

/// One Produce request, authorised and split by partition.
#[derive(Debug)]
pub struct ProduceCall {
    /// What the producer waits for.
    pub acks: Acks,
    /// Answered with REQUEST_TIMED_OUT after this long; the data stays.
    pub timeout: Duration,
    /// False below Produce v7: zstd batches are then UNSUPPORTED_COMPRESSION_TYPE.
    pub zstd_allowed: bool,
    /// One batch a partition.
    pub partitions: Vec<ProducePartition>,
}

/// One partition of a [`ProduceCall`].
#[derive(Debug)]
pub struct ProducePartition {
    /// Where.
    pub id: TopicIdPartition,
    /// Exactly one record batch, owned: the log stamps it in place.
    pub batch: BytesMut,
}

/// The answer for one partition of a [`ProduceCall`], in the call's order.
#[derive(Clone, Debug)]
pub struct ProduceResult {
    /// Which.
    pub id: TopicIdPartition,
    /// NONE, or why not.
    pub error: ErrorCode,
    /// The first record's offset; of a duplicate, its original one.
    pub base_offset: Option<Offset>,
    /// Only when the topic stamps LogAppendTime.
    pub log_append_time: Option<Timestamp>,
    /// The partition's first offset.
    pub log_start_offset: Offset,
    /// (index in the batch, why) of the records that were refused.
    pub record_errors: Vec<(i32, String)>,
    /// For people.
    pub message: Option<String>,
    /// Who leads, when it is not this broker and is known (KIP-951).
    pub current_leader: Option<(BrokerId, LeaderEpoch)>,
}

impl ProduceResult {
    /// A refusal without further detail.
    #[must_use]
    pub fn failed(id: TopicIdPartition, error: ErrorCode) -> Self {
        Self {
            id,
            error,
            base_offset: None,
            log_append_time: None,
            log_start_offset: Offset(-1),
            record_errors: Vec::new(),
            message: None,
            current_leader: None,
        }
    }
}

/// One consumer Fetch request, sessions already resolved.
#[derive(Clone, Debug)]
pub struct FetchCall {
    /// In the order in which the response budget is spent.
    pub partitions: Vec<FetchPartition>,
    /// How long to wait for `min_bytes`; zero answers at once.
    pub max_wait: Duration,
    /// Answer as soon as this many bytes of records are there.
    pub min_bytes: usize,
    /// Budget of the whole response; the first batch of the first non-empty partition may exceed it.
    pub max_bytes: usize,
    /// Read up to the last stable offset and list aborted transactions.
    pub read_committed: bool,
    /// Who asks, if the client knows that followers may be read (version 11 and later).
    pub reader: Option<Reader>,
}

/// A consumer that a leader may send to a follower (KIP-392).
#[derive(Clone, Debug)]
pub struct Reader {
    /// `client.rack`.
    pub rack: Option<Arc<str>>,
    /// The listener that it came by: it can only be sent to brokers that have the same.
    pub listener: Arc<str>,
}

/// One partition of a [`FetchCall`].
#[derive(Clone, Debug)]
pub struct FetchPartition {
    /// Which.
    pub id: TopicIdPartition,
    /// The leader epoch that the client believes in; `None`: do not check.
    pub current_leader_epoch: Option<LeaderEpoch>,
    /// Read from here.
    pub offset: Offset,
    /// The epoch of the last record that the client has; with it the broker detects divergence.
    pub last_fetched_epoch: Option<LeaderEpoch>,
    /// Budget of this partition; the response's first batch may exceed it.
    pub max_bytes: usize,
}

/// What a [`FetchCall`] found, in the call's order.
pub type FetchResults = Vec<FetchPartitionResult>;

/// The answer for one partition of a [`FetchCall`].
#[derive(Clone, Debug)]
pub struct FetchPartitionResult {
    /// Which.
    pub id: TopicIdPartition,
    /// NONE, or why there are no records.
    pub error: ErrorCode,
    /// -1 on error.
    pub high_watermark: Offset,
    /// -1 on error.
    pub last_stable_offset: Offset,
    /// -1 on error.
    pub log_start_offset: Offset,
    /// Aborted transactions (producer, first offset) in the range read; `None` unless `read_committed`.
    pub aborted: Option<Vec<(ProducerId, Offset)>>,
    /// The log of the client has diverged: the largest epoch it may keep and that epoch's end.
    pub diverging: Option<(LeaderEpoch, Offset)>,
    /// The follower that the client is to read from instead; there are no records then.
    pub preferred_read_replica: Option<BrokerId>,
    /// Who leads, on NOT_LEADER_OR_FOLLOWER and FENCED_LEADER_EPOCH (KIP-951).
    pub current_leader: Option<(BrokerId, LeaderEpoch)>,
    /// Whole batches; empty when there is nothing.
    pub records: Bytes,
}

impl FetchPartitionResult {
    /// A refusal.
    #[must_use]
    pub fn failed(id: TopicIdPartition, error: ErrorCode) -> Self {
        Self {
            id,
            error,
            high_watermark: Offset(-1),
            last_stable_offset: Offset(-1),
            log_start_offset: Offset(-1),
            aborted: None,
            diverging: None,
            preferred_read_replica: None,
            current_leader: None,
            records: Bytes::new(),
        }
    }
}

/// What ListOffsets asks of one partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OffsetSpec {
    /// -1: the high watermark, or the last stable offset for read_committed.
    Latest,
    /// -2: the first offset.
    Earliest,
    /// -3: the record with the largest timestamp (KIP-734).
    MaxTimestamp,
    /// -4: the first offset on local disk; without tiered storage the first offset.
    EarliestLocal,
    /// -5: the last tiered offset; without tiered storage there is none.
    LatestTiered,
    /// The first record at or after this time.
    At(Timestamp),
}

/// One partition of a ListOffsets request.
#[derive(Clone, Copy, Debug)]
pub struct ListOffsetsItem {
    /// Which.
    pub id: TopicIdPartition,
    /// The leader epoch that the client believes in; `None`: do not check.
    pub current_leader_epoch: Option<LeaderEpoch>,
    /// What to look for.
    pub spec: OffsetSpec,
    /// Bound by the last stable offset instead of the high watermark.
    pub read_committed: bool,
    /// Any replica answers for its own log, up to its end.
    pub any_replica: bool,
}

/// The answer for one partition of a ListOffsets request.
#[derive(Clone, Copy, Debug)]
pub struct ListOffsetsResult {
    /// Which.
    pub id: TopicIdPartition,
    /// NONE, or why not.
    pub error: ErrorCode,
    /// `None`: no such record (-1 on the wire).
    pub offset: Option<Offset>,
    /// The found record's timestamp; `None`: -1.
    pub timestamp: Option<Timestamp>,
    /// The found offset's leader epoch; `None`: -1.
    pub leader_epoch: Option<LeaderEpoch>,
}

/// One partition of an OffsetForLeaderEpoch request.
#[derive(Clone, Copy, Debug)]
pub struct EpochEndItem {
    /// Which.
    pub id: TopicIdPartition,
    /// The leader epoch that the client believes in; `None`: do not check.
    pub current_leader_epoch: Option<LeaderEpoch>,
    /// The epoch whose end is asked for.
    pub leader_epoch: LeaderEpoch,
    /// Any replica answers for its own log; of an epoch that is above all that it knows, with its newest and its log end.
    pub any_replica: bool,
}

/// The answer for one partition of an OffsetForLeaderEpoch request.
#[derive(Clone, Copy, Debug)]
pub struct EpochEndResult {
    /// Which.
    pub id: TopicIdPartition,
    /// NONE, or why not.
    pub error: ErrorCode,
    /// The largest known epoch at or below the one asked for, and its end; `None`: unknown (-1, -1).
    pub end: Option<(LeaderEpoch, Offset)>,
}

/// What [`super::Router::read_internal`] found.
#[derive(Clone, Debug)]
pub struct InternalRead {
    /// Whole batches, up to the log end offset.
    pub records: Bytes,
    /// Where to read next.
    pub next: Offset,
    /// Records below are committed.
    pub high_watermark: Offset,
    /// The end of the log.
    pub log_end: Offset,
    /// The first offset.
    pub log_start: Offset,
}

/// What a broker is for a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReplicaRole {
    /// It leads in this epoch.
    Leader(LeaderEpoch),
    /// It follows, or nobody leads.
    Follower,
    /// It holds no replica any more.
    Gone,
}

/// The broker's role for a partition of an internal topic changed.
#[derive(Clone, Debug)]
pub struct LeadershipEvent {
    /// Which.
    pub id: TopicIdPartition,
    /// The topic's name.
    pub topic: TopicName,
    /// The new role.
    pub role: ReplicaRole,
}

/// One log directory, for DescribeLogDirs.
#[derive(Clone, Debug)]
pub struct LogDirDescription {
    /// Absolute path.
    pub path: String,
    /// NONE or KAFKA_STORAGE_ERROR.
    pub error: ErrorCode,
    /// The replicas in it.
    pub replicas: Vec<ReplicaDescription>,
}

/// One replica on this broker.
#[derive(Clone, Debug)]
pub struct ReplicaDescription {
    /// Which.
    pub id: TopicIdPartition,
    /// The topic's name.
    pub topic: TopicName,
    /// Bytes on disk.
    pub size_bytes: u64,
    /// How far it is behind the leader's high watermark, 0 on the leader; of a copy, behind its original.
    pub offset_lag: i64,
    /// It is a copy that is being made to take the place of the replica.
    pub is_future: bool,
}

/// One replica of an AlterReplicaLogDirs request.
#[derive(Clone, Debug)]
pub struct AlterLogDirItem {
    /// Which; `None` when there is no such partition (yet).
    pub id: Option<TopicIdPartition>,
    /// Its name.
    pub name: TopicPartition,
    /// Absolute path of the directory that it is to be in.
    pub path: Arc<str>,
}

/// One partition of a DeleteRecords request.
#[derive(Clone, Copy, Debug)]
pub struct DeleteRecordsItem {
    /// Which.
    pub id: TopicIdPartition,
    /// Delete everything before it; `None` (-1): before the high watermark.
    pub before: Option<Offset>,
}

/// The answer for one partition of a DeleteRecords request.
#[derive(Clone, Copy, Debug)]
pub struct DeleteRecordsResult {
    /// Which.
    pub id: TopicIdPartition,
    /// NONE, or why not.
    pub error: ErrorCode,
    /// The smallest log start offset of the live replicas; -1 on error.
    pub low_watermark: Offset,
}

//! A log in memory that can be held up or fail, a cluster in memory, and a coordinator on top of them.

use crate::config::GroupConfig;
use crate::coordinator::{
    ClusterView, CommitPartition, CommitRequest, CommitTopic, FetchRequest, GroupHost, Groups,
    HeartbeatRequest, JoinProtocol, JoinRequest, OffsetsLog, RequestContext,
};
use crate::shard::api::{InternalRead, LeadershipEvent, ReplicaRole};
use bytes::{Bytes, BytesMut};
use futures_util::future::BoxFuture;
use milena_metadata::MetadataImage;
use milena_metadata::quorum::QuorumDescription;
use milena_metadata::request::{AdminReply, AdminRequest, CreateTopicResult, Outcome};
use milena_types::{
    BrokerId, ErrorCode, LeaderEpoch, Offset, OffsetRange, PartitionIndex, TopicId, TopicIdPartition,
    TopicName, Uuid,
};
use std::sync::{Arc, Mutex};
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// How the next appends end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    Committed,
    /// In the log, but the answer is an error.
    Unknown(ErrorCode),
    /// Not in the log.
    Refused(ErrorCode),
    /// In the log; the answer comes when the fate changes to `Committed`.
    Held,
}

#[derive(Debug, Default)]
struct LogState {
    batches: Vec<(Offset, Bytes)>,
    end: i64,
    high_watermark: Option<i64>,
    appends: usize,
    read_error: Option<ErrorCode>,
}

/// The one partition that the tests use.
#[derive(Clone, Debug)]
pub(super) struct FakeLog {
    state: Arc<Mutex<LogState>>,
    fate: Arc<Mutex<Fate>>,
    changed: Arc<Notify>,
}

impl FakeLog {
    pub(super) fn new() -> Self {
        Self {
            state: Arc::default(),
            fate: Arc::new(Mutex::new(Fate::Committed)),
            changed: Arc::new(Notify::new()),
        }
    }

    pub(super) fn set_fate(&self, fate: Fate) {
        *self.fate.lock().unwrap() = fate;
        self.changed.notify_waiters();
    }

    fn fate(&self) -> Fate {
        *self.fate.lock().unwrap()
    }

    /// `None`: everything is committed.
    pub(super) fn set_high_watermark(&self, at: Option<i64>) {
        self.state.lock().unwrap().high_watermark = at;
    }

    pub(super) fn set_read_error(&self, error: Option<ErrorCode>) {
        self.state.lock().unwrap().read_error = error;
    }

    pub(super) fn appends(&self) -> usize {
        self.state.lock().unwrap().appends
    }

    pub(super) fn end(&self) -> i64 {
        self.state.lock().unwrap().end
    }

    pub(super) fn write(&self, mut batch: BytesMut) -> OffsetRange {
        let mut state = self.state.lock().unwrap();
        let from = Offset(state.end);
        milena_record::stamp(&mut batch, from, LeaderEpoch(1));
        let batch = batch.freeze();
        let next = milena_record::BatchHeader::parse(&batch).unwrap().next_offset();
        state.batches.push((from, batch));
        state.end = next.0;
        OffsetRange { from, to: next }
    }
}

impl OffsetsLog for FakeLog {
    fn append(
        &self,
        _id: TopicIdPartition,
        batch: BytesMut,
        _epoch: LeaderEpoch,
    ) -> BoxFuture<'static, Result<OffsetRange, ErrorCode>> {
        let this = self.clone();
        this.state.lock().unwrap().appends += 1;
        let fate = this.fate();
        let written = (!matches!(fate, Fate::Refused(_))).then(|| this.write(batch));
        Box::pin(async move {
            loop {
                let changed = this.changed.notified();
                match (written, fate, this.fate()) {
                    (Some(range), Fate::Committed, _) | (Some(range), Fate::Held, Fate::Committed) => {
                        return Ok(range);
                    }
                    (_, Fate::Unknown(error) | Fate::Refused(error), _) => return Err(error),
                    _ => changed.await,
                }
            }
        })
    }

    fn read(
        &self,
        _id: TopicIdPartition,
        from: Offset,
        _max_bytes: usize,
    ) -> BoxFuture<'static, Result<InternalRead, ErrorCode>> {
        let state = self.state.lock().unwrap();
        let result = match state.read_error {
            Some(error) => Err(error),
            None => {
                let found = state.batches.iter().position(|(at, _)| *at >= from);
                let records = found.map(|at| state.batches[at].1.clone()).unwrap_or_default();
                let next = found
                    .and_then(|at| state.batches.get(at + 1))
                    .map_or(Offset(state.end), |(offset, _)| *offset);
                Ok(InternalRead {
                    records,
                    next,
                    high_watermark: Offset(state.high_watermark.unwrap_or(state.end)),
                    log_end: Offset(state.end),
                    log_start: Offset::ZERO,
                })
            }
        };
        Box::pin(async move { result })
    }
}

/// A cluster whose controller creates whatever is asked for, or refuses.
#[derive(Debug, Default)]
pub(super) struct FakeCluster {
    pub(super) image: Mutex<Arc<MetadataImage>>,
    pub(super) asked: Mutex<Vec<AdminRequest>>,
    pub(super) refuses_with: Mutex<Option<ErrorCode>>,
}

impl ClusterView for FakeCluster {
    fn image(&self) -> Arc<MetadataImage> {
        self.image.lock().unwrap().clone()
    }

    fn active_controller(&self) -> Option<BrokerId> {
        None
    }

    fn admin(&self, request: AdminRequest) -> BoxFuture<'static, Result<AdminReply, ErrorCode>> {
        self.asked.lock().unwrap().push(request);
        let error = self.refuses_with.lock().unwrap().unwrap_or_default();
        let result = CreateTopicResult {
            name: "__consumer_offsets".to_owned(),
            outcome: Outcome { error, message: None },
            id: TopicId::default(),
            partitions: 1,
            replication_factor: 1,
        };
        Box::pin(async move {
            tokio::task::yield_now().await;
            Ok(AdminReply::CreateTopics(vec![result]))
        })
    }

    fn describe_quorum(&self) -> BoxFuture<'static, Result<QuorumDescription, ErrorCode>> {
        Box::pin(std::future::ready(Err(ErrorCode::RequestTimedOut)))
    }
}

/// A broker's coordinator on a log.
pub(super) struct Broker {
    pub(super) groups: Groups,
    leadership: mpsc::UnboundedSender<LeadershipEvent>,
    shutdown: CancellationToken,
    host: JoinHandle<()>,
}

pub(super) fn config() -> GroupConfig {
    GroupConfig {
        offsets_topic_partitions: 1,
        ..GroupConfig::default()
    }
}

pub(super) fn id() -> TopicIdPartition {
    TopicIdPartition {
        topic: TopicId(Uuid([1; 16])),
        partition: PartitionIndex(0),
    }
}

impl Broker {
    pub(super) fn start(log: &FakeLog) -> Self {
        let (leadership, events) = mpsc::unbounded_channel();
        let cluster = Arc::new(FakeCluster::default());
        let (groups, host): (Groups, GroupHost<FakeLog>) =
            Groups::create(&config(), log.clone(), events, cluster);
        let shutdown = CancellationToken::new();
        let host = tokio::spawn(host.run(shutdown.clone()));
        Self {
            groups,
            leadership,
            shutdown,
            host,
        }
    }

    pub(super) async fn leading(log: &FakeLog) -> Self {
        let broker = Self::start(log);
        broker.tell(ReplicaRole::Leader(LeaderEpoch(1)));
        broker.serves().await;
        broker
    }

    pub(super) fn tell(&self, role: ReplicaRole) {
        let topic = TopicName::new("__consumer_offsets").unwrap();
        self.leadership
            .send(LeadershipEvent {
                id: id(),
                topic,
                role,
            })
            .unwrap();
    }

    /// Waits until requests are served. Time is paused, so waiting costs none.
    pub(super) async fn serves(&self) {
        self.answers_fetch_with(ErrorCode::None).await;
    }

    /// Waits until OffsetFetch is answered so.
    pub(super) async fn answers_fetch_with(&self, error: ErrorCode) {
        let answered = async {
            while self.groups.fetch(fetch_request()).await.error != error {
                tokio::time::sleep(std::time::Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(std::time::Duration::from_secs(60), answered)
            .await
            .expect("the expected answer");
    }

    pub(super) async fn commit(&self, offset: i64) -> ErrorCode {
        self.groups.commit(commit_request(offset)).await.topics[0].partitions[0].error
    }

    pub(super) async fn offset(&self) -> Option<i64> {
        let response = self.groups.fetch(fetch_request()).await;
        assert_eq!(response.error, ErrorCode::None);
        response.topics.first()?.partitions[0]
            .offset
            .map(|offset| offset.0)
    }

    pub(super) async fn stop(self) {
        self.shutdown.cancel();
        self.host.await.unwrap();
    }
}

pub(super) fn context() -> RequestContext {
    RequestContext {
        api_version: 3,
        client_id: "c".to_owned(),
        client_host: "/127.0.0.1".to_owned(),
    }
}

pub(super) fn commit_request(offset: i64) -> CommitRequest {
    CommitRequest {
        context: context(),
        group_id: "group".to_owned(),
        generation_id: -1,
        member_id: String::new(),
        group_instance_id: None,
        retention_ms: None,
        topics: vec![CommitTopic {
            topic_id: TopicId::default(),
            name: "topic".to_owned(),
            partitions: vec![CommitPartition {
                partition: PartitionIndex(0),
                offset: Offset(offset),
                leader_epoch: None,
                metadata: None,
            }],
        }],
    }
}

pub(super) fn fetch_request() -> FetchRequest {
    FetchRequest {
        group_id: "group".to_owned(),
        ..FetchRequest::default()
    }
}

pub(super) fn join_request(member: &str) -> JoinRequest {
    JoinRequest {
        context: context(),
        group_id: "group".to_owned(),
        session_timeout_ms: 10_000,
        rebalance_timeout_ms: 30_000,
        member_id: member.to_owned(),
        group_instance_id: None,
        protocol_type: "consumer".to_owned(),
        protocols: vec![JoinProtocol {
            name: "range".to_owned(),
            metadata: Bytes::new(),
        }],
        reason: None,
    }
}

pub(super) fn heartbeat_request(member: &str, generation_id: i32) -> HeartbeatRequest {
    HeartbeatRequest {
        group_id: "group".to_owned(),
        generation_id,
        member_id: member.to_owned(),
        ..HeartbeatRequest::default()
    }
}

//! A shard with a clock that is moved by hand and a log that can be held up or fail.

use crate::api::{
    CommitPartition, CommitRequest, CommitResponse, CommitTopic, DescribedGroup, FetchRequest, FetchResponse,
    HeartbeatRequest, JoinProtocol, JoinRequest, JoinResponse, LeaveMember, LeaveRequest, LeaveResponse,
    RequestContext, SyncRequest, SyncResponse,
};
use crate::record::CoordinatorRecord;
use crate::{GroupLimits, GroupShard, Now, Output, Reply, Request, Ticket, Write};
use bytes::Bytes;
use milena_types::{ErrorCode, Offset, PartitionIndex, ProducerId, Timestamp, TopicId, Uuid};
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

pub(super) struct Bench {
    pub(super) shard: GroupShard,
    limits: Arc<GroupLimits>,
    pub(super) now_ms: u64,
    next_ticket: u64,
    pub(super) replies: BTreeMap<Ticket, Reply>,
    asked: u64,
    /// Writes that were handed out and not reported back.
    pub(super) writes: VecDeque<Write>,
    /// While true, writes stay in `writes`.
    pub(super) is_held: bool,
    /// Set: every write fails so.
    pub(super) fails_with: Option<ErrorCode>,
    pub(super) log: Vec<(Offset, Option<ProducerId>, CoordinatorRecord)>,
    next_offset: i64,
}

pub(super) fn limits() -> GroupLimits {
    GroupLimits {
        initial_rebalance_delay: Duration::from_millis(0),
        ..GroupLimits::default()
    }
}

impl Bench {
    pub(super) fn new() -> Self {
        Self::with(limits())
    }

    pub(super) fn with(limits: GroupLimits) -> Self {
        let limits = Arc::new(limits);
        let mut bench = Self {
            shard: GroupShard::new(limits.clone()),
            limits,
            now_ms: 1000,
            next_ticket: 0,
            replies: BTreeMap::new(),
            asked: 0,
            writes: VecDeque::new(),
            is_held: false,
            fails_with: None,
            log: Vec::new(),
            next_offset: 0,
        };
        let output = bench.shard.loaded(bench.now());
        bench.take(output);
        bench
    }

    pub(super) fn now(&self) -> Now {
        Now {
            wall: Timestamp(1_700_000_000_000 + self.now_ms as i64),
            monotonic_ms: self.now_ms,
        }
    }

    fn take(&mut self, output: Output) {
        for (ticket, reply) in output.replies {
            assert!(
                self.replies.insert(ticket, reply).is_none(),
                "{ticket:?} is answered twice"
            );
        }
        self.writes.extend(output.writes);
        if !self.is_held {
            self.flush();
        }
    }

    /// Reports every write back, in order.
    pub(super) fn flush(&mut self) {
        while let Some(write) = self.writes.pop_front() {
            let result = match self.fails_with {
                Some(error) => Err(error),
                None => {
                    let first = Offset(self.next_offset);
                    for record in &write.records {
                        let bytes = record.encode().unwrap();
                        let read = CoordinatorRecord::decode(&bytes.key, bytes.value.as_ref());
                        assert_eq!(
                            read.as_ref(),
                            Ok(record),
                            "what is kept in memory is what is written"
                        );
                        let producer = write.transaction.map(|t| t.0);
                        self.log
                            .push((Offset(self.next_offset), producer, record.clone()));
                        self.next_offset += 1;
                    }
                    Ok(first)
                }
            };
            let output = self.shard.written(write.id, result, self.now());
            self.take(output);
        }
    }

    pub(super) fn ask(&mut self, request: Request) -> Ticket {
        self.next_ticket += 1;
        self.asked += 1;
        let ticket = Ticket(self.next_ticket);
        let now = self.now();
        let output = self.shard.handle(ticket, request, now);
        self.take(output);
        ticket
    }

    /// Moves the clock, firing what comes due on the way in its order.
    pub(super) fn sleep(&mut self, ms: u64) {
        let until = self.now_ms + ms;
        while let Some(deadline) = self.shard.next_deadline().filter(|deadline| deadline.0 <= until) {
            self.now_ms = self.now_ms.max(deadline.0);
            let now = self.now();
            let output = self.shard.expire(now);
            self.take(output);
        }
        self.now_ms = until;
    }

    pub(super) fn answer(&mut self, ticket: Ticket) -> Option<Reply> {
        self.replies.remove(&ticket)
    }

    /// A new shard from the log, as after a failover.
    pub(super) fn reload(&mut self) {
        let refused = std::mem::replace(&mut self.shard, GroupShard::new(self.limits.clone()))
            .unload(ErrorCode::NotCoordinator);
        for (ticket, reply) in refused {
            assert!(
                self.replies.insert(ticket, reply).is_none(),
                "{ticket:?} is answered twice"
            );
        }
        self.writes.clear();
        for (offset, producer, record) in self.log.clone() {
            self.shard.replay(offset, producer, record);
        }
        let output = self.shard.loaded(self.now());
        self.take(output);
    }

    /// How many requests have been asked; each must end up in `replies` once.
    pub(super) fn asked(&self) -> u64 {
        self.asked
    }
}

pub(super) const GROUP: &str = "group";

fn context(api_version: i16) -> RequestContext {
    RequestContext {
        api_version,
        client_id: "client".to_owned(),
        client_host: "/127.0.0.1".to_owned(),
    }
}

/// A consumer subscription of version 0 to one topic.
pub(super) fn subscription(topic: &str) -> Bytes {
    let mut bytes = vec![0, 0, 0, 0, 0, 1, 0, topic.len() as u8];
    bytes.extend_from_slice(topic.as_bytes());
    bytes.extend_from_slice(&[0xff; 4]);
    bytes.into()
}

pub(super) fn protocols(names: &[&str]) -> Vec<JoinProtocol> {
    names
        .iter()
        .map(|name| JoinProtocol {
            name: (*name).to_owned(),
            metadata: subscription("topic"),
        })
        .collect()
}

pub(super) fn join_request(member: &str) -> JoinRequest {
    JoinRequest {
        context: context(9),
        group_id: GROUP.to_owned(),
        session_timeout_ms: 10_000,
        rebalance_timeout_ms: 30_000,
        member_id: member.to_owned(),
        group_instance_id: None,
        protocol_type: "consumer".to_owned(),
        protocols: protocols(&["range"]),
        reason: None,
    }
}

pub(super) fn at_version(mut request: JoinRequest, version: i16) -> JoinRequest {
    request.context.api_version = version;
    request
}

pub(super) fn as_static(mut request: JoinRequest, instance: &str) -> JoinRequest {
    request.group_instance_id = Some(instance.to_owned());
    request
}

impl Bench {
    pub(super) fn send_join(&mut self, request: JoinRequest) -> Ticket {
        let fresh = Uuid((u128::from(self.asked) + 1).to_be_bytes());
        self.ask(Request::Join(request, fresh))
    }

    /// The answer to a join; panics when it is parked.
    pub(super) fn joined(&mut self, ticket: Ticket) -> JoinResponse {
        match self.answer(ticket) {
            Some(Reply::Join(response)) => response,
            other => panic!("no join answer: {other:?}"),
        }
    }

    pub(super) fn join(&mut self, request: JoinRequest) -> JoinResponse {
        let ticket = self.send_join(request);
        self.joined(ticket)
    }

    /// Gets a member id the way a client does (KIP-394).
    pub(super) fn member_id(&mut self) -> String {
        let response = self.join(join_request(""));
        assert_eq!(response.error, ErrorCode::MemberIdRequired);
        response.member_id
    }

    pub(super) fn send_sync(
        &mut self,
        member: &str,
        generation: i32,
        assignments: &[(&str, &'static [u8])],
    ) -> Ticket {
        self.ask(Request::Sync(sync_request(member, generation, assignments)))
    }

    pub(super) fn synced(&mut self, ticket: Ticket) -> SyncResponse {
        match self.answer(ticket) {
            Some(Reply::Sync(response)) => response,
            other => panic!("no sync answer: {other:?}"),
        }
    }

    pub(super) fn heartbeat(&mut self, member: &str, generation: i32) -> ErrorCode {
        let request = HeartbeatRequest {
            context: context(4),
            group_id: GROUP.to_owned(),
            generation_id: generation,
            member_id: member.to_owned(),
            group_instance_id: None,
        };
        let ticket = self.ask(Request::Heartbeat(request));
        match self.answer(ticket) {
            Some(Reply::Heartbeat(error)) => error,
            other => panic!("no heartbeat answer: {other:?}"),
        }
    }

    pub(super) fn leave(&mut self, members: &[(&str, Option<&str>)]) -> LeaveResponse {
        let member = |(id, instance): &(&str, Option<&str>)| LeaveMember {
            member_id: (*id).to_owned(),
            group_instance_id: instance.map(str::to_owned),
            reason: None,
        };
        let members = members.iter().map(member).collect();
        let request = LeaveRequest {
            context: context(5),
            group_id: GROUP.to_owned(),
            members,
        };
        let ticket = self.ask(Request::Leave(request));
        match self.answer(ticket) {
            Some(Reply::Leave(response)) => response,
            other => panic!("no leave answer: {other:?}"),
        }
    }

    pub(super) fn describe(&mut self) -> DescribedGroup {
        let ticket = self.ask(Request::Describe {
            api_version: 5,
            group_id: GROUP.to_owned(),
        });
        match self.answer(ticket) {
            Some(Reply::Describe(group)) => group,
            other => panic!("no description: {other:?}"),
        }
    }

    pub(super) fn state(&mut self) -> &'static str {
        self.describe().state
    }

    pub(super) fn send_commit(&mut self, request: CommitRequest) -> Ticket {
        self.ask(Request::Commit(request))
    }

    pub(super) fn committed(&mut self, ticket: Ticket) -> ErrorCode {
        match self.answer(ticket) {
            Some(Reply::Commit(CommitResponse { topics })) => topics[0].partitions[0].error,
            other => panic!("no commit answer: {other:?}"),
        }
    }

    pub(super) fn commit(&mut self, member: &str, generation: i32, offset: i64) -> ErrorCode {
        let ticket = self.send_commit(commit_request(member, generation, offset));
        self.committed(ticket)
    }

    pub(super) fn send_fetch(&mut self, require_stable: bool) -> Ticket {
        let request = FetchRequest {
            context: context(9),
            group_id: GROUP.to_owned(),
            member_id: None,
            member_epoch: -1,
            topics: None,
            require_stable,
        };
        self.ask(Request::Fetch(request))
    }

    pub(super) fn fetched(&mut self, ticket: Ticket) -> FetchResponse {
        match self.answer(ticket) {
            Some(Reply::Fetch(response)) => response,
            other => panic!("no fetch answer: {other:?}"),
        }
    }

    /// The group's only committed offset.
    pub(super) fn offset(&mut self) -> Option<i64> {
        let ticket = self.send_fetch(false);
        let response = self.fetched(ticket);
        response
            .topics
            .first()?
            .partitions
            .first()?
            .offset
            .map(|offset| offset.0)
    }

    /// A Stable group of one member; returns its id. Its generation is 1.
    pub(super) fn one_stable_member(&mut self) -> String {
        let member = self.member_id();
        let ticket = self.send_join(join_request(&member));
        self.sleep(0);
        assert_eq!(self.joined(ticket).generation_id, 1);
        let ticket = self.send_sync(&member, 1, &[]);
        assert_eq!(self.synced(ticket).error, ErrorCode::None);
        member
    }
}

pub(super) fn sync_request(
    member: &str,
    generation: i32,
    assignments: &[(&str, &'static [u8])],
) -> SyncRequest {
    SyncRequest {
        context: context(5),
        group_id: GROUP.to_owned(),
        generation_id: generation,
        member_id: member.to_owned(),
        group_instance_id: None,
        protocol_type: Some("consumer".to_owned()),
        protocol_name: Some("range".to_owned()),
        assignments: assignments
            .iter()
            .map(|(id, bytes)| ((*id).to_owned(), Bytes::from_static(bytes)))
            .collect(),
    }
}

pub(super) fn commit_request(member: &str, generation: i32, offset: i64) -> CommitRequest {
    CommitRequest {
        context: context(8),
        group_id: GROUP.to_owned(),
        generation_id: generation,
        member_id: member.to_owned(),
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

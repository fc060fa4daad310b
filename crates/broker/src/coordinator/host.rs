//! The actor that owns every shard of this broker. Runs on the control thread; nothing in it blocks.
//!
//! It waits for five things: requests, leadership changes, ended appends, ended loads, deadlines. The outcome of an
//! append is one of three: committed, refused before the log took it (nothing happened), or unknown (the partition is
//! loaded again, and meanwhile answers COORDINATOR_LOAD_IN_PROGRESS).

use super::api::{Command, Groups};
use super::clock::Clock;
use super::load::{LoadError, load_until_done};
use super::seam::{ClusterView, OffsetsLog};
use super::slot::{Active, Appended, Incarnation, Slot, Stage};
use super::topic::{OFFSETS_TOPIC, OffsetsTopic};
use crate::config::GroupConfig;
use crate::shard::api::{LeadershipEvent, ReplicaRole};
use futures_util::StreamExt;
use futures_util::future::{AbortHandle, Abortable, BoxFuture};
use futures_util::stream::FuturesUnordered;
use milena_coordinator::api::{ListRequest, ListResponse};
use milena_coordinator::{Deadline, GroupLimits, GroupShard, Reply, Request, Ticket};
use milena_types::{ErrorCode, LeaderEpoch, OffsetRange, PartitionIndex, TopicIdPartition};
use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// Requests that wait for the host; more make their senders wait.
const COMMANDS_QUEUED_MAX: usize = 4096;

/// Requests handled before the writes that they led to are handed to the log.
const COMMANDS_PER_TURN: usize = 256;

type AppendEnd = (PartitionIndex, Incarnation, Result<OffsetRange, ErrorCode>);
type LoadEnd = Option<(PartitionIndex, Incarnation, Result<GroupShard, LoadError>)>;

/// Hosts the group coordinator's shards. [`GroupHost::run`] is its whole life.
pub struct GroupHost<L: OffsetsLog> {
    log: L,
    limits: Arc<GroupLimits>,
    commit_timeout: Duration,
    clock: Clock,
    commands: mpsc::Receiver<Command>,
    leadership: mpsc::UnboundedReceiver<LeadershipEvent>,
    slots: BTreeMap<PartitionIndex, Slot>,
    deadlines: BTreeSet<(u64, PartitionIndex)>,
    appends: FuturesUnordered<BoxFuture<'static, AppendEnd>>,
    loads: FuturesUnordered<BoxFuture<'static, LoadEnd>>,
    callers: HashMap<Ticket, oneshot::Sender<Reply>>,
    /// Commits and deletions, oldest first, with when and how they are refused if they have not been stored by then.
    impatient: VecDeque<(Instant, Ticket, Reply)>,
    next_ticket: u64,
    next_incarnation: u64,
}

impl<L: OffsetsLog> std::fmt::Debug for GroupHost<L> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("GroupHost")
            .field("partitions", &self.slots.len())
            .finish_non_exhaustive()
    }
}

impl Groups {
    /// Makes the coordinator: the handle, and the host that must be run for it to answer.
    #[must_use]
    pub fn create<L: OffsetsLog>(
        config: &GroupConfig,
        log: L,
        leadership: mpsc::UnboundedReceiver<LeadershipEvent>,
        cluster: Arc<dyn ClusterView>,
    ) -> (Groups, GroupHost<L>) {
        let (sender, commands) = mpsc::channel(COMMANDS_QUEUED_MAX);
        let topic = Arc::new(OffsetsTopic::new(cluster, config));
        let host = GroupHost {
            log,
            limits: Arc::new(limits(config)),
            commit_timeout: config.offsets_commit_timeout,
            clock: Clock::new(),
            commands,
            leadership,
            slots: BTreeMap::new(),
            deadlines: BTreeSet::new(),
            appends: FuturesUnordered::new(),
            loads: FuturesUnordered::new(),
            callers: HashMap::new(),
            impatient: VecDeque::new(),
            next_ticket: 0,
            next_incarnation: 0,
        };
        (Groups::new(sender, topic), host)
    }
}

fn limits(config: &GroupConfig) -> GroupLimits {
    GroupLimits {
        session_timeout_min: config.min_session_timeout,
        session_timeout_max: config.max_session_timeout,
        initial_rebalance_delay: config.initial_rebalance_delay,
        members_max: config.max_size,
        offset_metadata_max: config.offset_metadata_max_bytes,
        offsets_retention: config.offsets_retention,
        offsets_retention_check_interval: config.offsets_retention_check_interval,
        ..GroupLimits::default()
    }
}

impl<L: OffsetsLog> GroupHost<L> {
    /// Serves until `shutdown` or until every handle is gone; then refuses whatever waits with NOT_COORDINATOR.
    pub async fn run(mut self, shutdown: CancellationToken) {
        let mut turn = Vec::with_capacity(COMMANDS_PER_TURN);
        loop {
            let wake = self.next_wake();
            tokio::select! {
                biased;
                () = shutdown.cancelled() => break,
                Some(event) = self.leadership.recv() => self.on_leadership(event),
                Some(end) = self.appends.next(), if !self.appends.is_empty() => self.on_append_end(end),
                Some(end) = self.loads.next(), if !self.loads.is_empty() => self.on_load_end(end),
                // Before the requests: a flood of them must not keep sessions from ending.
                () = sleep_until(wake), if wake.is_some() => self.on_time(),
                count = self.commands.recv_many(&mut turn, COMMANDS_PER_TURN) => {
                    if count == 0 {
                        break;
                    }
                    self.on_commands(&mut turn);
                }
            }
        }
        for (_, slot) in std::mem::take(&mut self.slots) {
            self.unload(slot, ErrorCode::NotCoordinator);
        }
    }

    fn next_wake(&self) -> Option<Instant> {
        let deadline = self
            .deadlines
            .first()
            .map(|(at, _)| self.clock.instant(Deadline(*at)));
        let impatient = self.impatient.front().map(|(at, _, _)| *at);
        deadline.into_iter().chain(impatient).min()
    }

    // --- Requests ---

    fn on_commands(&mut self, turn: &mut Vec<Command>) {
        let mut touched = BTreeSet::new();
        for command in turn.drain(..) {
            match command {
                Command::Call {
                    partition,
                    request,
                    reply,
                } => {
                    self.on_call(partition, request, reply);
                    touched.insert(partition);
                }
                Command::List { request, reply } => {
                    // A caller that is gone needs no list.
                    let _ = reply.send(self.list(&request));
                }
                Command::Marker {
                    partition,
                    producer_id,
                    commit,
                } => {
                    if let Some(Slot {
                        stage: Stage::Active(active),
                        ..
                    }) = self.slots.get_mut(&partition)
                    {
                        active.transaction_ended(producer_id, commit);
                    }
                }
                Command::TopicsDeleted(topics) => {
                    for (partition, slot) in &mut self.slots {
                        if let Stage::Active(active) = &mut slot.stage {
                            active.topics_deleted(&topics);
                            touched.insert(*partition);
                        }
                    }
                }
            }
        }
        for partition in touched {
            self.pump(partition);
        }
    }

    fn on_call(&mut self, partition: PartitionIndex, request: Request, reply: oneshot::Sender<Reply>) {
        let active = match self.slots.get_mut(&partition).map(|slot| &mut slot.stage) {
            Some(Stage::Active(active)) => active,
            refused => {
                let is_loading = refused.is_some();
                let error = if is_loading {
                    ErrorCode::CoordinatorLoadInProgress
                } else {
                    ErrorCode::NotCoordinator
                };
                // A caller that is gone needs no refusal.
                let _ = reply.send(request.refuse(error));
                return;
            }
        };
        self.next_ticket += 1;
        let ticket = Ticket(self.next_ticket);
        let is_impatient = matches!(
            request,
            Request::Commit(_) | Request::TxnCommit(_) | Request::OffsetDelete(_) | Request::Delete(_)
        );
        // A commit is refused after `offsets.commit.timeout.ms` even though it may still be stored later.
        let refusal = is_impatient.then(|| request.refuse(ErrorCode::CoordinatorNotAvailable));
        self.callers.insert(ticket, reply);
        let replies = active.handle(ticket, request, self.clock.now());
        self.answer(replies);
        if let Some(refusal) = refusal.filter(|_| self.callers.contains_key(&ticket)) {
            self.impatient
                .push_back((Instant::now() + self.commit_timeout, ticket, refusal));
        }
    }

    fn answer(&mut self, replies: Vec<(Ticket, Reply)>) {
        for (ticket, reply) in replies {
            if let Some(caller) = self.callers.remove(&ticket) {
                // The client may have gone while its request was parked.
                let _ = caller.send(reply);
            }
        }
        while self
            .impatient
            .front()
            .is_some_and(|(_, ticket, _)| !self.callers.contains_key(ticket))
        {
            self.impatient.pop_front();
        }
    }

    fn list(&mut self, request: &ListRequest) -> ListResponse {
        let mut all = ListResponse::default();
        let now = self.clock.now();
        for slot in self.slots.values_mut() {
            let Stage::Active(active) = &mut slot.stage else {
                return ListResponse {
                    error: ErrorCode::CoordinatorLoadInProgress,
                    groups: Vec::new(),
                };
            };
            for (_, reply) in active.handle(Ticket(0), Request::List(request.clone()), now) {
                if let Reply::List(response) = reply {
                    all.groups.extend(response.groups);
                }
            }
        }
        all
    }

    // --- Time ---

    fn on_time(&mut self) {
        let now = self.clock.now();
        while let Some((at, partition)) = self
            .deadlines
            .first()
            .copied()
            .filter(|(at, _)| *at <= now.monotonic_ms)
        {
            self.deadlines.remove(&(at, partition));
            let Some(slot) = self.slots.get_mut(&partition) else {
                continue;
            };
            slot.deadline = None;
            if let Stage::Active(active) = &mut slot.stage {
                let replies = active.expire(now);
                self.answer(replies);
            }
            self.pump(partition);
        }
        let now = Instant::now();
        while self.impatient.front().is_some_and(|(at, _, _)| *at <= now) {
            if let Some((_, ticket, refusal)) = self.impatient.pop_front() {
                self.answer(vec![(ticket, refusal)]);
            }
        }
    }

    /// Keeps the deadline of a partition's shard up to date.
    fn schedule(&mut self, partition: PartitionIndex) {
        let Some(slot) = self.slots.get_mut(&partition) else {
            return;
        };
        let next = match &slot.stage {
            Stage::Active(active) => active.next_deadline(),
            Stage::Loading(_) => None,
        };
        if slot.deadline != next {
            if let Some(stale) = slot.deadline {
                self.deadlines.remove(&(stale, partition));
            }
            if let Some(next) = next {
                self.deadlines.insert((next, partition));
            }
            slot.deadline = next;
        }
    }

    // --- Appends ---

    /// Hands the next batch of a partition to the log, if none is in flight.
    fn pump(&mut self, partition: PartitionIndex) {
        let now = self.clock.now();
        if let Some(slot) = self.slots.get_mut(&partition)
            && let Stage::Active(active) = &mut slot.stage
        {
            let (batch, replies) = active.begin_append(now);
            if let Some(batch) = batch {
                let append = self.log.append(slot.id, batch.bytes, slot.epoch);
                let incarnation = slot.incarnation;
                self.appends
                    .push(Box::pin(async move { (partition, incarnation, append.await) }));
            }
            self.answer(replies);
        }
        self.schedule(partition);
    }

    fn on_append_end(&mut self, (partition, incarnation, result): AppendEnd) {
        let now = self.clock.now();
        let Some(slot) = self
            .slots
            .get_mut(&partition)
            .filter(|slot| slot.incarnation == incarnation)
        else {
            return;
        };
        let Stage::Active(active) = &mut slot.stage else {
            return;
        };
        match active.end_append(result, now) {
            Appended::Settled(output) => {
                self.answer(output.replies);
                self.pump(partition);
            }
            Appended::Unknown => {
                let (id, epoch) = (slot.id, slot.epoch);
                // Clients that wait are told to try again: here or, if the leadership is lost, where it went.
                self.begin_load(id, epoch, ErrorCode::CoordinatorNotAvailable);
            }
        }
    }

    // --- Leadership ---

    fn on_leadership(&mut self, event: LeadershipEvent) {
        if event.topic.as_str() != OFFSETS_TOPIC {
            return;
        }
        let current = self.slots.get(&event.id.partition);
        match event.role {
            ReplicaRole::Leader(epoch) => {
                if current.is_none_or(|slot| (slot.id, slot.epoch) != (event.id, epoch)) {
                    self.begin_load(event.id, epoch, ErrorCode::NotCoordinator);
                }
            }
            ReplicaRole::Follower | ReplicaRole::Gone => {
                // News of an earlier life of the topic says nothing about this one.
                if current.is_some_and(|slot| slot.id == event.id)
                    && let Some(slot) = self.slots.remove(&event.id.partition)
                {
                    tracing::info!(partition = %event.id.partition, "groups are unloaded");
                    self.unload(slot, ErrorCode::NotCoordinator);
                }
            }
        }
    }

    /// Loads a partition; what it was before is unloaded, and its parked requests are refused with `error`.
    fn begin_load(&mut self, id: TopicIdPartition, epoch: LeaderEpoch, error: ErrorCode) {
        self.next_incarnation += 1;
        let incarnation = Incarnation(self.next_incarnation);
        let (abort, registration) = AbortHandle::new_pair();
        let slot = Slot {
            id,
            epoch,
            incarnation,
            stage: Stage::Loading(abort),
            deadline: None,
        };
        if let Some(before) = self.slots.insert(id.partition, slot) {
            self.unload(before, error);
        }
        let load = load_until_done(self.log.clone(), id, self.limits.clone());
        let load = async move { (id.partition, incarnation, load.await) };
        let load = Abortable::new(load, registration);
        self.loads.push(Box::pin(async move { load.await.ok() }));
    }

    fn unload(&mut self, slot: Slot, error: ErrorCode) {
        if let Some(deadline) = slot.deadline {
            self.deadlines.remove(&(deadline, slot.id.partition));
        }
        match slot.stage {
            Stage::Loading(abort) => abort.abort(),
            Stage::Active(active) => {
                let replies = active.unload(error);
                self.answer(replies);
            }
        }
    }

    fn on_load_end(&mut self, end: LoadEnd) {
        let Some((partition, incarnation, result)) = end else {
            return;
        };
        let Some(slot) = self
            .slots
            .get_mut(&partition)
            .filter(|slot| slot.incarnation == incarnation)
        else {
            return;
        };
        match result {
            Ok(shard) => {
                let mut active = Active::new(shard);
                let replies = active.loaded(self.clock.now());
                tracing::info!(%partition, epoch = %slot.epoch, groups = active.group_count(), "groups are loaded");
                slot.stage = Stage::Active(Box::new(active));
                self.answer(replies);
                self.pump(partition);
            }
            Err(error) => {
                tracing::info!(%partition, %error, "groups are not loaded");
                self.slots.remove(&partition);
            }
        }
    }
}

async fn sleep_until(wake: Option<Instant>) {
    if let Some(wake) = wake {
        tokio::time::sleep_until(wake).await;
    }
}

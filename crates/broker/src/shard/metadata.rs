//! How partitions follow the metadata: roles begin, change and end here, and nowhere else.
//!
//! Every step is idempotent: it compares the image with what the partition is, so that a delta that comes twice, or an
//! image without a delta, does no harm.

use super::availability::FirstAck;
use super::context::{Context, wall_clock};
use super::dir_state::DirState;
use super::link::Lane;
use super::log_dirs::Distrust;
use super::log_dirs::{Found, NoLog, OpenRequest};
use super::partition::Partition;
use super::quarantine::{DamagedLog, Keeper, RETRY_PAUSE, Refill};
use super::replica_health::Unusable;
use super::role::{LeaderRole, Role};
use super::state::Shard;
use super::storage_error::{Consequence, SHORTAGE_PAUSE, consequence, open_later};
use super::tail_ring::TailRing;
use milena_log::{CorruptionPolicy, LogError, OpenError, PartitionLog};
use milena_metadata::record::{ConfigResource, PartitionRegistration};
use milena_metadata::{MetadataDelta, MetadataImage, TopicImage};
use milena_replication::{
    Assigned, FollowerHighWatermark, Following, Leader, Moment, Transition, transition,
};
use milena_types::{
    BrokerId, ErrorCode, LeaderEpoch, MetadataVersion, Offset, PartitionEpoch, TopicIdPartition,
    TopicPartition,
};
use std::sync::Arc;
use std::time::Instant;

impl Shard {
    /// Takes a newer image; `delta` says what changed since the last one that this data thread has seen.
    pub(super) fn apply_metadata(&mut self, image: &Arc<MetadataImage>, delta: &MetadataDelta) {
        let before = std::mem::replace(&mut self.cx.image, Arc::clone(image));
        let is_first = before.version == MetadataVersion::default();
        if is_first {
            self.cx.dirs.set_strays_aside(image, self.cx.node);
        }
        self.follow_background(is_first, delta);
        for topic in &delta.topics_removed {
            self.remove_topic(topic);
        }
        self.refresh_settings(&delta.configs);
        for id in &delta.partitions {
            if self.cx.mailboxes.owner_of(*id) == self.cx.shard {
                self.apply_partition(*id);
            }
        }
        if !delta.brokers.is_empty() {
            self.apply_brokers(&delta.brokers);
        }
    }

    /// Brings a partition to what the image says, opening its log if need be.
    pub(super) fn apply_partition(&mut self, id: TopicIdPartition) {
        // What is damaged is not opened before the controller knows: see `replica_health`.
        let state = self.cx.image.partition(id);
        let corruption = state.map_or(CorruptionPolicy::Refuse, |state| {
            CorruptionPolicy::among(state.replicas.len())
        });
        self.apply_partition_as(id, corruption);
    }

    /// Likewise; `corruption` says what becomes of a log that is damaged.
    pub(super) fn apply_partition_as(&mut self, id: TopicIdPartition, corruption: CorruptionPolicy) {
        let image = Arc::clone(&self.cx.image);
        let Some(topic) = image.topics.get(&id.topic) else {
            return;
        };
        let Some(state) = image.partition(id) else { return };
        if !state.replicas.contains(&self.cx.node) {
            self.remove_partition(id);
            return;
        }
        let known_bad = self
            .cx
            .unusable
            .get(&id)
            .is_some_and(|(_, why)| *why != Unusable::NotNow);
        if !self.partitions.contains_key(&id) && !known_bad {
            let name = TopicPartition {
                topic: topic.name.clone(),
                partition: id.partition,
            };
            if self.cx.opening.contains(&id) || !self.begin_partition(id, name, state, corruption) {
                // It follows this image, or a later one, once its log is open.
                return;
            }
        }
        if let Some(partition) = self.partitions.get_mut(&id)
            && partition.damaged.is_none()
            && self.cx.dirs.is_online(partition.dir)
        {
            partition.apply_registration(&mut self.cx, state);
            partition.look_at_refill(&mut self.cx);
        }
        self.settle_replica(id);
    }

    /// Takes a partition in. False: its log has to be opened first, which other threads do, or the log of a deleted topic
    /// of the same name has to go first, whose data thread then tells.
    fn begin_partition(
        &mut self,
        id: TopicIdPartition,
        name: TopicPartition,
        state: &PartitionRegistration,
        corruption: CorruptionPolicy,
    ) -> bool {
        if !self.cx.dirs.names.claim(&name, id, self.cx.shard) {
            return false;
        }
        self.cx.unusable.remove(&id);
        self.cx.uncleanable.remove(&id);
        let config = Arc::clone(&self.cx.settings.of(&self.cx.image, &name.topic).log);
        let request = OpenRequest {
            id,
            name: &name,
            config: &config,
            corruption,
            leader_epoch: state.leader_epoch,
            is_new: state.is_new_to(self.cx.node),
            counts: state.counts(self.cx.node),
            now: wall_clock(),
        };
        let dir = match self.cx.dirs.find_partition(&request) {
            Found::Log(dir, log, high_watermark) => {
                self.add_partition(id, name, dir, *log, high_watermark);
                return true;
            }
            Found::Offline(dir) => {
                self.cannot_open(id, name, &NoLog::Offline, dir);
                return true;
            }
            Found::ToOpen(dir) => dir,
        };
        self.cx.opening.insert(id);
        let (dirs, mailboxes) = (Arc::clone(&self.cx.dirs), self.cx.mailboxes.clone());
        let (owner, leader_epoch) = (self.cx.shard, state.leader_epoch);
        let (is_new, counts) = (request.is_new, request.counts);
        let log = DamagedLog {
            id,
            name: name.clone(),
            broker: self.cx.node,
            leader_epoch,
        };
        let keeper = Keeper::new(&self.cx, log, dir);
        let open = move || {
            let request = OpenRequest {
                id,
                name: &name,
                config: &config,
                corruption,
                leader_epoch,
                is_new,
                counts,
                now: wall_clock(),
            };
            let opened = dirs.open_partition(dir, &request, Some(Arc::clone(&keeper) as _));
            let cut = keeper.take_cut();
            // The files are released before a thread that has stopped is told.
            drop((dirs, keeper));
            mailboxes.run_control(owner, move |shard| {
                shard.on_opened(id, name, dir, opened, cut);
            });
        };
        self.cx.openings.submit(dir, Box::new(open));
        false
    }

    fn add_partition(
        &mut self,
        id: TopicIdPartition,
        name: TopicPartition,
        dir: usize,
        mut log: PartitionLog,
        high_watermark: Offset,
    ) {
        let settings = self.cx.settings.of(&self.cx.image, &name.topic);
        log.set_config(Arc::clone(&settings.log));
        let (start, end) = (log.log_start_offset(), log.log_end_offset());
        let partition = Partition {
            id,
            name,
            settings,
            dir,
            high_watermark: FollowerHighWatermark::restore(high_watermark, start, end),
            log,
            damaged: None,
            role: Role::Idle,
            waiters: super::fetch_wait::FetchWaiters::default(),
            flush_queued: false,
            flush_tickets: 0,
            moving: None,
            flush_timed: false,
            leader_epoch: LeaderEpoch(-1),
            partition_epoch: PartitionEpoch(-1),
        };
        partition.note_compacted(&mut self.cx);
        if high_watermark > end || partition.log.has_recovery_floor() {
            // Another kill before the next append must not find the old one, nor the floor.
            self.cx.checkpoint_dirty.insert(id);
        }
        self.partitions.insert(id, Box::new(partition));
        self.resume_move(id);
    }

    fn cannot_open(&mut self, id: TopicIdPartition, name: TopicPartition, error: &NoLog, dir: Option<usize>) {
        let cause: &dyn std::error::Error = error;
        if matches!(error, NoLog::Open(OpenError::Log(error)) if error.is_shortage()) {
            self.cx.shortages.note(&name, cause);
            open_later(id, SHORTAGE_PAUSE);
        } else if matches!(error, NoLog::Open(OpenError::NotSetAside(error)) if is_passing(error)) {
            open_later(id, RETRY_PAUSE);
        } else {
            tracing::error!(partition = %name, error = cause, "cannot open the log");
        }
        let why = self.why_unusable(error, dir);
        self.cx.unusable.insert(id, (name, why));
        if let Unusable::Doubtful { until } = why {
            self.wait_for_others(id, until);
        }
    }

    /// A log was opened, or cannot be. What the metadata said meanwhile is done now.
    fn on_opened(
        &mut self,
        id: TopicIdPartition,
        name: TopicPartition,
        dir: usize,
        opened: Result<(PartitionLog, Offset), NoLog>,
        cut: Option<Refill>,
    ) {
        self.cx.opening.remove(&id);
        match opened {
            Ok((log, high_watermark)) => {
                if let Some(cut) = cut {
                    self.cx.await_refill(id, cut);
                }
                self.add_partition(id, name, dir, log, high_watermark);
            }
            Err(error) => self.cannot_open(id, name, &error, Some(dir)),
        }
        let image = Arc::clone(&self.cx.image);
        let wanted = image
            .partition(id)
            .is_some_and(|state| state.replicas.contains(&self.cx.node));
        if !wanted {
            self.remove_partition(id);
        } else if self.partitions.contains_key(&id) {
            self.apply_partition(id);
        } else {
            self.settle_replica(id);
        }
        self.cx.openings.finished();
    }

    fn why_unusable(&mut self, error: &NoLog, dir: Option<usize>) -> Unusable {
        match error {
            NoLog::Open(OpenError::Corrupt { .. }) => Unusable::Damaged,
            NoLog::Open(OpenError::Log(error)) if error.is_malformed() => Unusable::Damaged,
            NoLog::Open(OpenError::Doubtful { .. }) => Unusable::Doubtful {
                until: Instant::now() + self.cx.config.replica.doubt_patience,
            },
            // The limit of the copies says nothing about what fits into the log.
            NoLog::Open(OpenError::NotSetAside(error)) if is_passing(error) => Unusable::NotNow,
            NoLog::Open(OpenError::Log(error) | OpenError::NotSetAside(error)) => {
                if let Some(dir) = dir {
                    self.cx.dir_failed(dir, error);
                }
                match consequence(error, false) {
                    Consequence::Offline => Unusable::Offline,
                    Consequence::Full | Consequence::TryAgain | Consequence::Reopen(_) => Unusable::NotNow,
                }
            }
            NoLog::Open(OpenError::TopicIdMismatch { .. }) | NoLog::Offline => Unusable::Offline,
        }
    }

    /// The files are not what this process knows of the log: they are the truth, and the log is opened by them.
    pub(super) fn reopen_partition(&mut self, id: TopicIdPartition, why: Distrust) {
        let Some(mut partition) = self.partitions.remove(&id) else {
            return;
        };
        partition.leave_role(&mut self.cx, ErrorCode::NotLeaderOrFollower);
        self.cx
            .leadership
            .publish(id, &partition.name.topic, partition.replica_role());
        self.cx.uncommitted.remove(&id);
        self.cx.compacted.remove(&id);
        self.cx.open_logs.remove(&id);
        if why != Distrust::ChangedHere {
            // What is on disk (or was at the shutdown), and where the log begins since: less than that is damage.
            partition.note_offsets(&self.cx);
        }
        self.cx.dirs.distrust_word(&partition.name, why);
        if let Some(moving) = partition.moving.take() {
            tracing::info!(partition = %partition.name, "its move to another log directory begins again once the log is open");
            self.cx.dirs.keep_unfinished(&partition.name, moving.to);
        }
        drop(partition);
        self.apply_partition(id);
    }

    fn remove_topic(&mut self, topic: &TopicImage) {
        for index in topic.partitions.keys() {
            self.remove_partition(TopicIdPartition {
                topic: topic.id,
                partition: *index,
            });
        }
        self.cx.settings.forget(Some(&topic.name));
    }

    /// The broker holds no replica any more: the log goes.
    fn remove_partition(&mut self, id: TopicIdPartition) {
        self.cx.uncleanable.remove(&id);
        if let Some((name, _)) = self.cx.unusable.remove(&id)
            && !self.partitions.contains_key(&id)
        {
            self.cx.dirs.discard(&name);
            self.release_name(id, &name);
        }
        let Some(mut partition) = self.partitions.remove(&id) else {
            return;
        };
        partition.leave_role(&mut self.cx, ErrorCode::UnknownTopicOrPartition);
        self.cx.uncommitted.remove(&id);
        self.cx.compacted.remove(&id);
        self.cx.checkpoint_dirty.remove(&id);
        self.cx.refills.remove(&id);
        self.cx.epochs_reread.remove(&id);
        self.cx.open_logs.remove(&id);
        let role = super::api::ReplicaRole::Gone;
        self.cx.leadership.publish(id, &partition.name.topic, role);
        match partition.log.delete() {
            Ok(removal) => {
                self.cx.dirs.forget_partition(partition.dir, &partition.name);
                super::retention::remove_in_background(removal.into_iter().collect());
            }
            Err(error) => {
                // Its files are known to be there: who takes the name meets them, and removes them before it creates its own.
                self.cx.dirs.former.note(&partition.name.topic, id.topic);
                let cause: &dyn std::error::Error = &error;
                tracing::error!(partition = %partition.name, error = cause, "cannot delete the log");
                self.cx.dir_failed(partition.dir, &error);
            }
        }
        self.release_name(id, &partition.name);
    }

    /// Nothing of the partition is left under its name: who waits for it opens its own.
    fn release_name(&mut self, id: TopicIdPartition, name: &TopicPartition) {
        for (shard, next) in self.cx.dirs.names.release(name, id.topic) {
            if shard == self.cx.shard {
                self.apply_partition(next);
            } else {
                self.cx
                    .mailboxes
                    .run_control(shard, move |shard| shard.apply_partition(next));
            }
        }
    }

    fn refresh_settings(&mut self, changed: &[ConfigResource]) {
        let node = self.cx.node;
        let affects_all = |resource: &ConfigResource| match resource {
            ConfigResource::Broker(broker) => broker.is_none_or(|broker| broker == node),
            ConfigResource::Topic(_) | ConfigResource::Group(_) | ConfigResource::ClientMetrics(_) => false,
        };
        let all = changed.iter().any(affects_all);
        if all {
            self.cx.settings.forget(None);
        }
        for resource in changed {
            if let ConfigResource::Topic(topic) = resource {
                self.cx.settings.forget(Some(topic));
            }
        }
        let is_changed = |partition: &Partition| {
            all || changed
                .iter()
                .any(|r| matches!(r, ConfigResource::Topic(topic) if *topic == partition.name.topic))
        };
        if changed.is_empty() {
            return;
        }
        for partition in self
            .partitions
            .values_mut()
            .filter(|partition| is_changed(partition))
        {
            partition.settings = self.cx.settings.of(&self.cx.image, &partition.name.topic);
            partition.log.set_config(Arc::clone(&partition.settings.log));
            partition.note_compacted(&mut self.cx);
            if let Role::Leader(role) = &mut partition.role {
                role.leader.set_rules(Arc::clone(&partition.settings.rules));
            }
            partition.after_append(&mut self.cx);
            partition.on_advertised(&mut self.cx);
        }
    }

    /// Brokers registered, were fenced or unfenced: followers may join or leave, links may find their peer elsewhere.
    fn apply_brokers(&mut self, brokers: &[BrokerId]) {
        let image = Arc::clone(&self.cx.image);
        for partition in self.partitions.values_mut() {
            let id = partition.id;
            if let Role::Leader(role) = &mut partition.role {
                let replicas = role.leader.term().replicas.clone();
                let offline = image.partition(id).map_or(&[][..], |state| &state.offline);
                for broker in brokers.iter().filter(|broker| replicas.contains(broker)) {
                    tell_broker(&mut role.leader, &image, offline, *broker);
                }
                partition.advance_high_watermark(&mut self.cx);
                partition.propose_isr(&mut self.cx);
            }
        }
        for broker in brokers {
            self.cx.links_in.peer_changed(*broker);
        }
        if brokers.contains(&self.cx.node) {
            // A new registration makes what was said under the old one void.
            self.cx
                .links_in
                .follow_registration(self.cx.control.broker_epoch());
        }
    }
}

impl Partition {
    /// Tells the cleaner whether there is something for it to look at.
    fn note_compacted(&self, cx: &mut Context) {
        if self.settings.log.compact {
            cx.compacted.insert(self.id);
        } else {
            cx.compacted.remove(&self.id);
        }
    }

    /// Becomes what the registration says.
    fn apply_registration(&mut self, cx: &mut Context, state: &PartitionRegistration) {
        let since = (self.leader_epoch, self.partition_epoch);
        let can_append = cx.dirs.state(self.dir) != DirState::Full;
        let next = transition(cx.node, self.role.held(), since, can_append, &assigned(state));
        if next != Transition::Ignore {
            (self.leader_epoch, self.partition_epoch) = (state.leader_epoch, state.partition_epoch);
        }
        match next {
            Transition::Ignore | Transition::Keep => {}
            Transition::Lead => self.become_leader(cx, state),
            Transition::Update => self.update_leader(cx, state),
            Transition::Follow(leader) => self.become_follower(cx, leader, state.leader_epoch),
            Transition::Leave(error) => {
                self.leave_role(cx, error);
                cx.leadership
                    .publish(self.id, &self.name.topic, self.replica_role());
            }
        }
    }

    fn update_leader(&mut self, cx: &mut Context, state: &PartitionRegistration) {
        let Role::Leader(role) = &mut self.role else {
            return;
        };
        role.leader.on_committed(assigned(state).term(cx.node), cx.now());
        for broker in &state.replicas {
            tell_broker(&mut role.leader, &cx.image, &state.offline, *broker);
        }
        role.parked.complete(&role.leader);
        self.note_isr(cx, state);
        self.advance_high_watermark(cx);
        self.propose_isr(cx);
    }

    /// Remembers whether the ISR that is committed now is whole.
    fn note_isr(&self, cx: &mut Context, state: &PartitionRegistration) {
        if state.isr.len() < state.replicas.len() {
            cx.incomplete.insert(self.id);
        } else {
            cx.incomplete.remove(&self.id);
        }
    }

    fn become_leader(&mut self, cx: &mut Context, state: &PartitionRegistration) {
        self.leave_role(cx, ErrorCode::NotLeaderOrFollower);
        self.log.assign_epoch_at_become_leader(state.leader_epoch);
        let (now, ends) = (cx.now(), self.ends());
        let mut leader = Leader::new(
            assigned(state).term(cx.node),
            Arc::clone(&self.settings.rules),
            ends,
            self.high_watermark.get(),
            now,
        );
        for broker in &state.replicas {
            tell_broker(&mut leader, &cx.image, &state.offline, *broker);
        }
        tracing::debug!(partition = %self.name, epoch = %state.leader_epoch, start = %ends.log_end, isr = ?state.isr, "leads");
        let (parked, ring) = (super::parked::Parked::default(), TailRing::default());
        self.role = Role::Leader(Box::new(LeaderRole {
            leader,
            parked,
            ring,
            feeds: Box::default(),
            first_ack: first_ack(state, now),
        }));
        self.note_isr(cx, state);
        if ends.advertised < ends.log_end {
            self.queue_flush(cx);
        }
        self.advance_high_watermark(cx);
        self.propose_isr(cx);
        cx.leadership
            .publish(self.id, &self.name.topic, self.replica_role());
    }

    fn become_follower(&mut self, cx: &mut Context, leader: BrokerId, leader_epoch: LeaderEpoch) {
        let led = matches!(self.role, Role::Leader(_));
        self.leave_role(cx, ErrorCode::NotLeaderOrFollower);
        tracing::debug!(partition = %self.name, epoch = %leader_epoch, %leader, "follows");
        self.role = Role::Follower(Box::new(Following::new(leader, leader_epoch)));
        if self.log.flushed_offset() < self.log.log_end_offset() {
            self.queue_flush(cx);
        }
        cx.links_in.want(leader, Lane::Live, self.id);
        if led || self.name.topic.is_internal() {
            cx.leadership
                .publish(self.id, &self.name.topic, self.replica_role());
        }
    }

    /// Ends the role: whoever waits for this broker as leader is told `error`, streams forget the partition.
    pub(super) fn leave_role(&mut self, cx: &mut Context, error: ErrorCode) {
        match std::mem::replace(&mut self.role, Role::Idle) {
            Role::Leader(mut role) => {
                role.parked.fail(error);
                self.give_up_line(cx, error);
                let (start, end) = (self.log.log_start_offset(), self.log.log_end_offset());
                self.high_watermark =
                    FollowerHighWatermark::restore(role.leader.high_watermark(), start, end);
                for feed in &role.feeds {
                    cx.links_out
                        .refuse(feed.attachment, ErrorCode::NotLeaderOrFollower);
                }
                cx.uncommitted.remove(&self.id);
                cx.incomplete.remove(&self.id);
            }
            Role::Follower(role) => {
                cx.links_in.unwant(role.leader(), self.id, role.attachment());
                cx.quarantining.remove(&self.id);
            }
            Role::Idle => {}
        }
        self.waiters.wake();
    }
}

/// There may be space, or files, for a copy later.
fn is_passing(error: &LogError) -> bool {
    error.is_no_space() || error.is_shortage()
}

/// A leadership that was somebody's before is taken over; a new partition's first one is not.
fn first_ack(state: &PartitionRegistration, now: Moment) -> FirstAck {
    if state.leader_epoch > LeaderEpoch(0) {
        FirstAck::awaited(now)
    } else {
        FirstAck::default()
    }
}

fn assigned(state: &PartitionRegistration) -> Assigned<'_> {
    Assigned {
        leader: state.leader,
        leader_epoch: state.leader_epoch,
        partition_epoch: state.partition_epoch,
        replicas: &state.replicas,
        isr: &state.isr,
        recovering: state.recovering,
    }
}

/// `offline`: the partition's replicas that are offline.
fn tell_broker(leader: &mut Leader, image: &MetadataImage, offline: &[BrokerId], broker: BrokerId) {
    let epoch = image.broker(broker).map(|registration| registration.epoch);
    let eligible = image.is_active(broker) && !offline.contains(&broker);
    leader.on_broker(broker, epoch, eligible);
}

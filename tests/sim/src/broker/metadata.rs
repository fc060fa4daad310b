//! Metadata comes, and the partitions follow it: one step for each change, or one for several, or a snapshot.

use super::partition::{Role, TopicSettings};
use super::process::Process;
use crate::controller::Committed;
use crate::cx::Cx;
use crate::event::BrokerTimer;
use crate::say;
use milena_log::{CorruptionPolicy, LogConfig};
use milena_metadata::config::TopicConfig;
use milena_metadata::record::ConfigResource;
use milena_metadata::{MetadataDelta, MetadataImage};
use milena_replication::LeaderRules;
use milena_types::{BrokerId, ErrorCode, TopicIdPartition, TopicName};
use std::sync::Arc;
use std::time::Duration;

/// A process that is so far behind is sent a snapshot.
const BEHIND_MAX: u64 = 40;

impl Process {
    /// Takes what was committed up to `version`.
    pub fn on_news(&mut self, cx: &mut Cx, committed: &[Committed], version: u64) {
        let from = self.cache.version.0;
        if version <= from {
            return;
        }
        let (Ok(begin), Ok(end)) = (usize::try_from(from), usize::try_from(version)) else {
            return;
        };
        let Some(steps) = committed.get(begin..end) else {
            return;
        };
        if version - from > BEHIND_MAX || (from == 0 && cx.random.one_in(2)) {
            self.load_snapshot(cx, steps);
        } else {
            for step in steps {
                match self.cache.apply(&step.batch) {
                    Ok(delta) => self.unfollowed.absorb(delta),
                    Err(conflict) => {
                        cx.oracle.fail("I32", format!("{}: {conflict}", self.node()));
                        return;
                    }
                }
            }
        }
        crate::oracle::metadata::on_applied(cx, self.host, &self.cache, steps.last());
        self.queue_follow(cx);
        self.beat_on_news(cx);
    }

    fn load_snapshot(&mut self, cx: &mut Cx, steps: &[Committed]) {
        let Some(last) = steps.last() else { return };
        let new = MetadataImage::from_records(last.image.version, &last.image.to_records());
        let delta = MetadataDelta::between(&self.cache, &new);
        self.unfollowed.absorb(delta);
        self.cache = new;
        cx.coverage.snapshot_loaded += 1;
    }

    pub(super) fn queue_follow(&mut self, cx: &mut Cx) {
        if !self.follow_queued {
            self.follow_queued = true;
            let lag = match cx.random.below(40) {
                0 => cx.random.between(5_000, 40_000),
                _ => cx.random.between(0, 300),
            };
            cx.timer(self.host, lag, BrokerTimer::Follow);
        }
    }

    /// INV-START-1: the first image that counts has the registration of this very process.
    fn may_follow(&self) -> bool {
        let registered = self.cache.broker(self.node());
        self.life.epoch.is_some() && registered.map(|known| known.epoch) == self.life.epoch
    }

    /// The partitions follow what has come.
    pub(super) fn follow(&mut self, cx: &mut Cx) {
        self.follow_queued = false;
        if !self.follows {
            if !self.may_follow() {
                return;
            }
            self.follows = true;
            self.unfollowed = MetadataDelta::between(&MetadataImage::default(), &self.cache);
            self.set_strays_aside(cx);
        }
        let delta = std::mem::take(&mut self.unfollowed);
        if self.cache.version.0 > self.image.version.0 + 1 && self.image.version.0 > 0 {
            cx.coverage.metadata_skipped += 1;
        }
        self.image = self.cache.clone();
        for topic in &delta.topics_removed {
            for index in topic.partitions.keys() {
                self.remove_partition(
                    cx,
                    TopicIdPartition {
                        topic: topic.id,
                        partition: *index,
                    },
                );
            }
        }
        self.refresh_settings(cx, &delta.configs);
        for id in &delta.partitions {
            self.apply_partition(cx, *id);
        }
        if !delta.brokers.is_empty() {
            self.apply_brokers(cx, &delta.brokers);
        }
    }

    /// Brings a partition to what the image says, opening its log if need be.
    pub(super) fn apply_partition(&mut self, cx: &mut Cx, id: TopicIdPartition) {
        let policy = self
            .image
            .partition(id)
            .map_or(CorruptionPolicy::Refuse, super::health::corruption_policy);
        self.apply_partition_as(cx, id, policy);
    }

    pub(super) fn apply_partition_as(&mut self, cx: &mut Cx, id: TopicIdPartition, policy: CorruptionPolicy) {
        let Some(state) = self.image.partition(id).cloned() else {
            return;
        };
        if !state.replicas.contains(&self.node()) {
            self.remove_partition(cx, id);
            return;
        }
        if !self.partitions.contains_key(&id) && !self.unusable.contains_key(&id) {
            if !self.opening.contains_key(&id) {
                self.begin_opening(cx, id, policy);
            }
            return;
        }
        self.apply_registration(cx, id, &state);
        self.settle_replica(cx, id);
    }

    pub(super) fn settings_of(&self, cx: &Cx, topic: &TopicName) -> TopicSettings {
        let config = TopicConfig::effective(&self.image, topic, &self.defaults);
        TopicSettings {
            log: Arc::new(LogConfig {
                segment_bytes: cx.settings.segment_bytes,
                index_interval_bytes: 400,
                file_delete_delay_ms: 1_000,
                retention_ms: -1,
                ..LogConfig::default()
            }),
            rules: Arc::new(LeaderRules {
                min_insync_replicas: config.min_insync_replicas,
                lag_time_max: Duration::from_micros(cx.settings.lag_time_max),
            }),
            durability: config.ack_durability,
        }
    }

    fn refresh_settings(&mut self, cx: &mut Cx, changed: &[ConfigResource]) {
        let all = changed.iter().any(|r| matches!(r, ConfigResource::Broker(_)));
        let is_changed = |name: &TopicName| {
            let of_topic = |r: &ConfigResource| matches!(r, ConfigResource::Topic(topic) if topic == name);
            all || changed.iter().any(of_topic)
        };
        let ids: Vec<TopicIdPartition> = self
            .partitions
            .iter()
            .filter(|(_, partition)| is_changed(&partition.name.topic))
            .map(|(id, _)| *id)
            .collect();
        for id in ids {
            let Some(topic) = self.partitions.get(&id).map(|p| p.name.topic.clone()) else {
                continue;
            };
            let settings = self.settings_of(cx, &topic);
            if let Some(partition) = self.partitions.get_mut(&id) {
                partition.settings = settings;
                partition.log.set_config(Arc::clone(&partition.settings.log));
                let rules = Arc::clone(&partition.settings.rules);
                if let Role::Leader(role) = &mut partition.role {
                    role.leader.set_rules(rules);
                }
            }
            self.after_append(id);
            self.on_advertised(cx, id);
        }
    }

    /// Brokers registered, were fenced or unfenced.
    fn apply_brokers(&mut self, cx: &mut Cx, brokers: &[BrokerId]) {
        let ids: Vec<TopicIdPartition> = self.partitions.keys().copied().collect();
        for id in ids {
            let Some(partition) = self.partitions.get_mut(&id) else {
                continue;
            };
            let Some(role) = partition.leading() else { continue };
            let replicas = role.leader.term().replicas.clone();
            let offline = self.image.partition(id).map_or(&[][..], |state| &state.offline);
            for broker in brokers.iter().filter(|broker| replicas.contains(broker)) {
                super::roles::tell_broker(&mut role.leader, &self.image, offline, *broker);
            }
            self.advance_high_watermark(cx, id);
            self.propose_isr(cx, id);
        }
        for broker in brokers {
            self.peer_changed(cx, *broker);
        }
        if brokers.contains(&self.node()) {
            self.follow_own_registration(cx);
        }
    }

    /// The broker holds no replica any more: the log goes.
    pub(super) fn remove_partition(&mut self, cx: &mut Cx, id: TopicIdPartition) {
        self.opening.remove(&id);
        if let Some((name, _)) = self.unusable.remove(&id) {
            self.discard(&name);
        }
        if !self.partitions.contains_key(&id) {
            return;
        }
        self.leave_role(cx, id, ErrorCode::UnknownTopicOrPartition);
        let Some(partition) = self.partitions.remove(&id) else {
            return;
        };
        say!(cx, "{}: removes {}", self.node(), partition.name);
        self.uncommitted.remove(&id);
        self.checkpoint_dirty.remove(&id);
        self.checkpoints.forget(&partition.name);
        match partition.log.delete() {
            Ok(removal) => {
                if let Some(removal) = removal {
                    // What is left is removed at the next start.
                    let _ = removal.run();
                }
            }
            Err(error) => self.storage_failed(&error),
        }
    }
}

//! Expiry of offsets, and of groups that hold nothing any more.
//!
//! | group | an offset expires `offsets.retention` after |
//! |---|---|
//! | without protocol type: a simple consumer | its commit |
//! | with protocol type, Empty | the group became Empty (its commit, when that is not known) |
//! | consumers, Stable, subscriptions known | its commit, unless the topic is subscribed to |
//! | any other | never |
//!
//! An offset with an expiry of its own (old clients) goes by that; one with a pending transactional commit stays.
//! Source: `OffsetMetadataManager.cleanupExpiredOffsets`, `ClassicGroup.offsetExpirationCondition`.

use super::GroupShard;
use super::delete::TOMBSTONES_PER_WRITE;
use super::outbox::{Output, Then};
use super::timers::Timer;
use crate::clock::Now;
use crate::group::{ClassicGroup, GroupId, GroupState};
use crate::offsets::CommittedOffset;
use crate::record::{CoordinatorRecord, OffsetKey};
use milena_types::{Timestamp, TopicId};
use std::collections::BTreeMap;

impl GroupShard {
    pub(super) fn schedule_retention(&mut self, now: Now) {
        self.timers.schedule(
            Timer::Retention,
            now.after(self.limits.offsets_retention_check_interval),
        );
    }

    pub(super) fn expire_offsets(&mut self, now: Now) {
        self.schedule_retention(now);
        // A group with a write on its way is looked at next time: the write may renew what seems expired.
        let is_quiet = |id: &&GroupId| !self.outbox.is_writing(id) && !self.blocked.contains_key(*id);
        let ids: Vec<GroupId> = self.groups.keys().filter(is_quiet).cloned().collect();
        for id in ids {
            let Some(group) = self.groups.get(&id) else {
                continue;
            };
            let (expired, is_bare) = self.expired_offsets(group, now.wall);
            let may_go = is_bare && group.state() == GroupState::Empty && group.is_vacant();
            if may_go {
                self.write_tombstones(&id, expired, Then::Delete { ticket: None });
            } else {
                self.write_offset_tombstones(&id, expired);
            }
        }
    }

    /// The expired offsets of a group, and whether it holds no others.
    fn expired_offsets(&self, group: &ClassicGroup, wall: Timestamp) -> (Vec<OffsetKey>, bool) {
        let mut expired = Vec::new();
        let mut is_bare = !self.offsets.has_pending(&group.id);
        for (topic, partitions) in self.offsets.of_group(&group.id) {
            for (partition, offset) in partitions {
                let is_expired = !group.is_subscribed_to(topic)
                    && !self.offsets.is_pending(&group.id, topic, *partition)
                    && self.is_expired(group, offset, wall);
                if is_expired {
                    let (group, topic) = (group.id.to_string(), topic.to_owned());
                    expired.push(OffsetKey {
                        group,
                        topic,
                        partition: *partition,
                    });
                } else {
                    is_bare = false;
                }
            }
        }
        (expired, is_bare)
    }

    fn is_expired(&self, group: &ClassicGroup, offset: &CommittedOffset, wall: Timestamp) -> bool {
        let commit = offset.value.commit_timestamp;
        let since = match (&group.protocol_type, group.state()) {
            (None, _) => commit,
            (Some(_), GroupState::Empty) => group.state_timestamp.unwrap_or(commit),
            (Some(_), GroupState::Stable) if group.uses_consumer_protocol() && group.knows_subscription() => {
                commit
            }
            (Some(_), _) => return false,
        };
        match offset.value.expire_timestamp {
            Some(expire) => wall >= expire,
            None => {
                let retention = i64::try_from(self.limits.offsets_retention.as_millis()).unwrap_or(i64::MAX);
                wall.0.saturating_sub(since.0) >= retention
            }
        }
    }

    fn write_offset_tombstones(&mut self, group: &GroupId, keys: Vec<OffsetKey>) {
        let mut keys = keys.into_iter().peekable();
        while keys.peek().is_some() {
            let tombstone = |key| CoordinatorRecord::Offset(key, None);
            let records = keys.by_ref().take(TOMBSTONES_PER_WRITE).map(tombstone).collect();
            self.outbox.write(group, records, Then::Apply { answer: None });
        }
    }

    /// Forgets the offsets of topics that were deleted. Source: `OffsetMetadataManager.onTopicsDeleted`.
    pub fn topics_deleted(&mut self, topics: &[(String, TopicId)]) -> Output {
        let mut by_group: BTreeMap<GroupId, Vec<OffsetKey>> = BTreeMap::new();
        for (topic, id) in topics {
            for key in self.offsets.keys_of_topic(topic) {
                let stored = self.offsets.get(&key.group, &key.topic, key.partition);
                let is_of_another_life = stored
                    .and_then(|offset| offset.value.topic_id)
                    .is_some_and(|stored| stored != *id);
                if !is_of_another_life {
                    by_group.entry(key.group.as_str().into()).or_default().push(key);
                }
            }
        }
        for (group, keys) in by_group {
            self.write_offset_tombstones(&group, keys);
        }
        self.finish()
    }
}

//! What keeps replication below a rate: of what this broker sends to replicas that are behind, and of what it takes as one.
//!
//! ```text
//! leader     a throttled partition is not fed to a follower out of sync while the rate's bytes are owed; in-sync ones never wait
//! follower   asks the leader to pause a partition of the catch-up lane until what came is paid for
//! ```
//! What replicas are throttled is the topic's to say, the rates are the broker's. A feed that waits keeps its attachment; other
//! partitions of the stream go on. Source: KIP-73, `ReplicaManager.shouldLeaderThrottle`, `ReplicaFetcherThread.shouldFollowerThrottle`.

use super::Lane;
use super::follower_side::LinkKey;
use super::out_links::{LinkShared, Turn};
use crate::shard::context::Context;
use crate::shard::mailbox::with_local;
use crate::shard::pace::Pacer;
use crate::shard::partition::Partition;
use crate::shard::role::Role;
use crate::shard::state::Shard;
use bytes::Bytes;
use milena_metadata::config::ThrottledReplicas;
use milena_rpc::proto::{PartitionFrame, Pause};
use milena_types::TopicIdPartition;
use std::collections::HashMap;
use std::time::{Duration, Instant};

/// Longest pause: what is still owed then needs another one.
const PAUSE_MAX: Duration = Duration::from_secs(2);
/// So soon it is looked again what is owed: a pause is renewed before it ends, and the rate may have been altered.
const RENEW_AFTER: Duration = Duration::from_secs(1);

/// The rates of a broker: unlimited until they are set.
#[derive(Debug, Default)]
pub(in crate::shard) struct ReplicationQuotas {
    /// `leader.replication.throttled.rate`.
    pub(in crate::shard) leader: Pacer,
    /// `follower.replication.throttled.rate`.
    pub(in crate::shard) follower: Pacer,
}

/// Feeds of one stream that their follower has paused.
#[derive(Debug, Default)]
pub(super) struct Pauses(HashMap<u64, Instant>);

impl Pauses {
    fn set(&mut self, attach: u64, until: Instant) {
        self.0.insert(attach, until);
    }

    pub(super) fn forget(&mut self, attach: u64) {
        self.0.remove(&attach);
    }

    /// How long the feed still has to wait.
    fn left(&mut self, attach: u64, now: Instant) -> Option<Duration> {
        let left = self.0.get(&attach)?.saturating_duration_since(now);
        if left.is_zero() {
            self.0.remove(&attach);
            return None;
        }
        Some(left)
    }
}

/// The partition has its turn again when the wait is over.
pub(super) fn queue_after(stream: u64, id: TopicIdPartition, wait: Duration) {
    tokio::task::spawn_local(async move {
        tokio::time::sleep(wait).await;
        with_local(|shard| shard.cx.links_out.queue(stream, id));
    });
}

impl Shard {
    /// The follower asks not to be sent more of a partition for a while.
    pub(super) fn on_pause(&mut self, stream: u64, pause: &Pause) {
        if let Some(link) = self.cx.links_out.links.get_mut(&stream)
            && link.attached.contains_key(&pause.attach_id)
        {
            let wait = Duration::from_millis(u64::from(pause.millis)).min(PAUSE_MAX);
            link.pauses.set(pause.attach_id, Instant::now() + wait);
        }
    }

    /// Records of this partition came by the stream: when more than the rate allows have, the leader is asked to pause.
    pub(super) fn on_throttled_bytes(&mut self, key: LinkKey, frame: &PartitionFrame) {
        let (node, attach_id) = (self.cx.node, frame.attach_id);
        if key.1 == Lane::Live || frame.records.is_empty() {
            return;
        }
        let Some(id) = self.cx.links_in.attached(key, attach_id) else {
            return;
        };
        let Some(partition) = self.partitions.get(&id) else {
            return;
        };
        if !partition.settings.throttled.follower.contains(id.partition, node) {
            return;
        }
        let booking = self
            .cx
            .background
            .quotas
            .follower
            .book(frame.records.len() as u64, Instant::now());
        if self.cx.links_in.note_owed(key, attach_id, booking) {
            self.ask_for_pause(key, attach_id);
        }
    }

    /// Asks the leader for a pause for as long as the attachment's bytes are owed, again and again: the rate may be altered
    /// meanwhile.
    fn ask_for_pause(&mut self, key: LinkKey, attach_id: u64) {
        let Some(booking) = self.cx.links_in.owed(key, attach_id) else {
            return;
        };
        let Some(wait) = self.cx.background.quotas.follower.wait(booking, Instant::now()) else {
            self.cx.links_in.note_paid(key, attach_id);
            return;
        };
        let millis = u32::try_from(wait.min(PAUSE_MAX).as_millis()).unwrap_or(u32::MAX);
        self.cx.links_in.pause(key, Pause { attach_id, millis });
        tokio::task::spawn_local(async move {
            tokio::time::sleep(wait.min(RENEW_AFTER)).await;
            with_local(|shard| shard.ask_for_pause(key, attach_id));
        });
    }
}

impl Partition {
    /// What a turn sends counts for this broker's rate as a leader, if the partition is throttled.
    pub(super) fn book_sent(&self, cx: &Context, turn: &Turn) {
        let (Turn::Sent { part, .. } | Turn::Ended { part: Some(part), .. }) = turn else {
            return;
        };
        if self.is_throttled_leader(cx) {
            let bytes: usize = part.records.iter().map(Bytes::len).sum();
            cx.background.quotas.leader.book(bytes as u64, Instant::now());
        }
    }

    fn is_throttled_leader(&self, cx: &Context) -> bool {
        let throttled = &self.settings.throttled.leader;
        throttled.contains(self.id.partition, cx.node)
    }

    /// How long the follower of the stream has to wait before it gets more of the partition: it has asked for a pause, which it
    /// does in the catch-up lane only, or is behind, and this broker's rate as a leader is used up.
    pub(super) fn throttle(&self, cx: &mut Context, shared: &LinkShared) -> Option<Duration> {
        let may_be_paused = shared.lane == Lane::CatchUp;
        if !may_be_paused && self.settings.throttled.leader == ThrottledReplicas::None {
            return None;
        }
        let Role::Leader(role) = &self.role else {
            return None;
        };
        let (mut feeds, now) = (role.feeds.iter(), Instant::now());
        let feed = feeds.find(|feed| feed.attachment.stream == shared.stream)?;
        let link = cx.links_out.links.get_mut(&shared.stream)?;
        let paused = link.pauses.left(feed.attachment.attach, now);
        let behind = || self.is_throttled_leader(cx) && !role.leader.in_maximal_isr(shared.follower);
        let wait = paused.or_else(|| cx.background.quotas.leader.owed(now).filter(|_| behind()));
        wait.map(|wait| wait.min(RENEW_AFTER))
    }
}

//! One partition on its owner: the log, the role, and who waits for it.
//!
//! Never touched by another thread; no method awaits or blocks, but for the page-cache write of an append.

use super::api::ReplicaRole;
use super::context::Context;
use super::fetch_wait::FetchWaiters;
use super::mailbox::with_local;
use super::moves::Move;
use super::replica_health::Damage;
use super::role::{LeaderRole, Role};
use super::settings::PartitionSettings;
use milena_log::{LogError, PartitionLog};
use milena_replication::{FollowerHighWatermark, LogEnds, check_leader_epoch, flush_is_due};
use milena_types::{ErrorCode, LeaderEpoch, Offset, PartitionEpoch, TopicIdPartition, TopicPartition};
use std::rc::Rc;

/// One replica.
pub(crate) struct Partition {
    pub(super) id: TopicIdPartition,
    pub(super) name: TopicPartition,
    pub(super) settings: Rc<PartitionSettings>,
    /// Index of its log directory.
    pub(super) dir: usize,
    pub(super) log: PartitionLog,
    /// Damage begins there, at the earliest: the replica takes no role until it is repaired.
    pub(super) damaged: Option<Box<Damage>>,
    pub(super) role: Role,
    /// Known to be committed; the leader's own count while this broker leads.
    pub(super) high_watermark: FollowerHighWatermark,
    pub(super) waiters: FetchWaiters,
    /// Its files wait for a flush.
    pub(super) flush_queued: bool,
    /// Flushes that are under way.
    pub(super) flush_tickets: u16,
    /// It is being moved to another log directory.
    pub(super) moving: Option<Box<Move>>,
    /// `flush.ms` is running.
    pub(super) flush_timed: bool,
    /// The registration that the role was taken from.
    pub(super) leader_epoch: LeaderEpoch,
    pub(super) partition_epoch: PartitionEpoch,
}

impl Partition {
    /// The committed end as this replica knows it.
    pub(super) fn high_watermark(&self) -> Offset {
        match &self.role {
            Role::Leader(role) => role.leader.high_watermark(),
            Role::Follower(_) | Role::Idle => self.high_watermark.get(),
        }
    }

    /// Read-committed consumers read below: the first unstable offset, but not above the high watermark.
    pub(super) fn last_stable_offset(&self) -> Offset {
        let high_watermark = self.high_watermark();
        self.log
            .first_unstable_offset()
            .map_or(high_watermark, |first| first.min(high_watermark))
    }

    /// Its log's ends, advertised as `ack.durability` says.
    pub(super) fn ends(&self) -> LogEnds {
        let (log_end, flushed) = (self.log.log_end_offset(), self.log.flushed_offset());
        LogEnds::of_log(self.settings.ack_durability, log_end, flushed)
    }

    /// The role for coordinators.
    pub(super) fn replica_role(&self) -> ReplicaRole {
        match &self.role {
            Role::Leader(role) => ReplicaRole::Leader(role.leader.leader_epoch()),
            Role::Follower(_) | Role::Idle => ReplicaRole::Follower,
        }
    }

    /// The leader's state.
    ///
    /// # Errors
    /// NOT_LEADER_OR_FOLLOWER.
    pub(super) fn leader(&self) -> Result<&LeaderRole, ErrorCode> {
        match &self.role {
            Role::Leader(role) => Ok(role),
            Role::Follower(_) | Role::Idle => Err(ErrorCode::NotLeaderOrFollower),
        }
    }

    /// A client's request must reach the leader of the epoch that it believes in.
    ///
    /// # Errors
    /// NOT_LEADER_OR_FOLLOWER, FENCED_LEADER_EPOCH, UNKNOWN_LEADER_EPOCH.
    pub(super) fn check_leader(&self, epoch: Option<LeaderEpoch>) -> Result<&LeaderRole, ErrorCode> {
        self.check_epoch(epoch)?;
        self.leader()
    }

    /// The client must believe in this replica's leader epoch, if it names one.
    ///
    /// # Errors
    /// FENCED_LEADER_EPOCH, UNKNOWN_LEADER_EPOCH.
    pub(super) fn check_epoch(&self, epoch: Option<LeaderEpoch>) -> Result<(), ErrorCode> {
        if let Some(epoch) = epoch {
            check_leader_epoch(self.leader_epoch, epoch)?;
        }
        Ok(())
    }

    /// The log has grown (on a leader or a follower): it must be flushed, or counts at once.
    pub(super) fn after_append(&mut self, cx: &mut Context) {
        let unflushed = self.log.log_end_offset().since(self.log.flushed_offset());
        let settings = &self.settings;
        if flush_is_due(settings.ack_durability, unflushed, settings.flush_messages) {
            self.queue_flush(cx);
        } else if let Some(after) = settings.flush_after.filter(|_| !self.flush_timed) {
            self.flush_timed = true;
            let id = self.id;
            tokio::task::spawn_local(async move {
                tokio::time::sleep(after).await;
                with_local(|shard| shard.flush_now(id));
            });
        }
    }

    /// Asks for a flush unless one is asked for already.
    pub(super) fn queue_flush(&mut self, cx: &mut Context) {
        if !self.flush_queued {
            self.flush_queued = true;
            cx.flush.queue(self.dir, self.id);
        }
    }

    /// More of the log counts: flushed, or appended where that is enough.
    pub(super) fn on_advertised(&mut self, cx: &mut Context) {
        let ends = self.ends();
        match &mut self.role {
            Role::Leader(role) => {
                role.leader.on_advertised(ends.advertised);
                self.advance_high_watermark(cx);
            }
            Role::Follower(role) => {
                if let Some(attach) = role.queue_ack() {
                    cx.links_in.queue_ack(role.leader(), attach, self.id);
                }
            }
            Role::Idle => {}
        }
        cx.checkpoint_dirty.insert(self.id);
        if !cx.refills.is_empty() {
            self.look_at_refill(cx);
        }
    }

    /// Moves the leader's high watermark if it may move, and tells everybody who waits for that.
    pub(super) fn advance_high_watermark(&mut self, cx: &mut Context) {
        let Role::Leader(role) = &mut self.role else {
            return;
        };
        let in_contact = || cx.control.in_contact(cx.image.version);
        if let Some(high_watermark) = role.leader.advance_high_watermark(cx.now(), in_contact) {
            role.parked.complete(&role.leader);
            if let Some(took) = role.first_ack.on_committed(high_watermark, || cx.now()) {
                cx.background.availability.first_ack.observe(took);
            }
            self.log.on_high_watermark(high_watermark);
            self.waiters.wake();
            cx.checkpoint_dirty.insert(self.id);
            for feed in &role.feeds {
                cx.links_out.news_without_data(feed.attachment.stream, self.id);
            }
        }
        if role.leader.has_uncommitted() {
            cx.uncommitted.insert(self.id);
        } else {
            cx.uncommitted.remove(&self.id);
        }
    }

    /// Every replica's log reaches it: below it compaction may drop tombstones and markers. Of interest, and told to
    /// followers, for compacted topics only.
    pub(super) fn replicated_offset(&self) -> Offset {
        match &self.role {
            Role::Leader(role) if self.settings.log.compact => role.leader.replicated_offset(),
            Role::Follower(role) if self.settings.log.compact => role.replicated(),
            Role::Leader(_) | Role::Follower(_) | Role::Idle => Offset::ZERO,
        }
    }

    /// A follower came, went or got further: the others may have to know how far all replicas are.
    pub(super) fn tell_replicated(&self, cx: &mut Context) {
        if !self.settings.log.compact {
            return;
        }
        let replicated = self.replicated_offset();
        let Role::Leader(role) = &self.role else { return };
        for feed in role
            .feeds
            .iter()
            .filter(|feed| !feed.queued && feed.sent_replicated != replicated)
        {
            cx.links_out.news_without_data(feed.attachment.stream, self.id);
        }
    }

    /// Puts every attached follower on its link's ready list.
    pub(super) fn feed_followers(&mut self, cx: &mut Context) {
        let Role::Leader(role) = &mut self.role else {
            return;
        };
        for feed in role.feeds.iter_mut().filter(|feed| !feed.queued) {
            feed.queued = true;
            cx.links_out.queue(feed.attachment.stream, self.id);
        }
    }

    /// Closes the log's files, and gives back the memory that work has left, if nothing is left to do. True when it is idle.
    ///
    /// # Errors
    /// Those of [`PartitionLog::release_idle`].
    pub(super) fn release_idle(&mut self) -> Result<bool, LogError> {
        let released = self.log.release_idle()?;
        if released {
            self.waiters.shrink();
            if let Role::Leader(role) = &mut self.role {
                role.parked.shrink();
            }
        }
        Ok(released)
    }
}

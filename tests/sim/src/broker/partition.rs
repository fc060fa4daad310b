//! One replica in a process: its log, its role, who waits.

use crate::client::message::ToLeader;
use milena_log::{LogConfig, PartitionLog};
use milena_replication::{
    AttachmentId, FollowerHighWatermark, Following, Held, Leader, LeaderRules, LogEnds,
};
use milena_types::{
    AckDurability, BrokerId, LeaderEpoch, Offset, PartitionEpoch, TopicIdPartition, TopicPartition,
};
use std::collections::VecDeque;
use std::sync::Arc;

/// What a topic's configuration means for its partitions.
#[derive(Clone, Debug)]
pub struct TopicSettings {
    /// For the log.
    pub log: Arc<LogConfig>,
    /// For the leader.
    pub rules: Arc<LeaderRules>,
    /// What may be counted.
    pub durability: AckDurability,
}

/// A replica.
#[derive(Debug)]
pub struct Partition {
    /// Which.
    pub id: TopicIdPartition,
    /// Its name.
    pub name: TopicPartition,
    /// The topic's settings.
    pub settings: TopicSettings,
    /// Its log.
    pub log: PartitionLog,
    /// What it is for.
    pub role: Role,
    /// Known to be committed, while it does not lead.
    pub known_committed: FollowerHighWatermark,
    /// Its files wait for a flush.
    pub flush_queued: bool,
    /// Flushes that are under way.
    pub flush_tickets: u16,
    /// The registration that the role was taken from.
    pub leader_epoch: LeaderEpoch,
    /// Its version.
    pub partition_epoch: PartitionEpoch,
}

/// What a broker is for a partition.
#[derive(Debug)]
pub enum Role {
    /// Nobody leads, as far as is known.
    Idle,
    /// It leads.
    Leader(Box<LeaderRole>),
    /// It follows.
    Follower(FollowerRole),
}

/// State of a led partition.
#[derive(Debug)]
pub struct LeaderRole {
    /// The decisions.
    pub leader: Leader,
    /// Batches that wait to be committed: their end, their offset, and who waits.
    pub parked: VecDeque<(Offset, Offset, Box<ToLeader>)>,
    /// Attached followers.
    pub feeds: Vec<Feed>,
}

/// One attached follower.
#[derive(Debug)]
pub struct Feed {
    /// Who.
    pub follower: BrokerId,
    /// By which attachment.
    pub attachment: AttachmentId,
    /// Where to go on.
    pub next: Offset,
    /// The news that it was sent last.
    pub sent: Option<(Offset, Offset)>,
}

/// State of a followed partition.
#[derive(Debug)]
pub struct FollowerRole {
    /// The decisions.
    pub following: Following,
    /// Rounds of truncation since it began to follow.
    pub rounds: u32,
}

impl Partition {
    /// What is committed, as this replica knows.
    #[must_use]
    pub fn high_watermark(&self) -> Offset {
        match &self.role {
            Role::Leader(role) => role.leader.high_watermark(),
            Role::Follower(_) | Role::Idle => self.known_committed.get(),
        }
    }

    /// Its log's ends.
    #[must_use]
    pub fn ends(&self) -> LogEnds {
        let (log_end, flushed) = (self.log.log_end_offset(), self.log.flushed_offset());
        LogEnds::of_log(self.settings.durability, log_end, flushed)
    }

    /// The role as the replication's decisions name it.
    #[must_use]
    pub fn held(&self) -> Held {
        match &self.role {
            Role::Idle => Held::Idle,
            Role::Leader(_) => Held::Leader,
            Role::Follower(role) => Held::Follower(role.following.leader()),
        }
    }

    /// The decisions of a leader.
    #[must_use]
    pub fn leader(&self) -> Option<&Leader> {
        match &self.role {
            Role::Leader(role) => Some(&role.leader),
            Role::Follower(_) | Role::Idle => None,
        }
    }

    pub(super) fn leading(&mut self) -> Option<&mut LeaderRole> {
        match &mut self.role {
            Role::Leader(role) => Some(role),
            Role::Follower(_) | Role::Idle => None,
        }
    }

    pub(super) fn follows(&mut self) -> Option<&mut FollowerRole> {
        match &mut self.role {
            Role::Follower(role) => Some(role),
            Role::Leader(_) | Role::Idle => None,
        }
    }
}

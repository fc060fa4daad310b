//! What a broker is for one of its partitions. What it becomes is decided by [`milena_replication::transition`].

use super::availability::FirstAck;
use super::link::ReadAhead;
use super::parked::Parked;
use super::tail_ring::TailRing;
use milena_replication::{AttachmentId, Following, Held, Leader};
use milena_types::{BrokerId, Offset};

/// The role, with the state that exists only in it.
#[derive(Debug)]
pub(crate) enum Role {
    /// It leads.
    Leader(Box<LeaderRole>),
    /// It follows.
    Follower(Box<Following>),
    /// Nobody leads, as far as is known.
    Idle,
}

impl Role {
    /// Which one it is.
    pub(crate) fn held(&self) -> Held {
        match self {
            Role::Leader(_) => Held::Leader,
            Role::Follower(role) => Held::Follower(role.leader()),
            Role::Idle => Held::Idle,
        }
    }
}

/// State of a led partition.
#[derive(Debug)]
pub(crate) struct LeaderRole {
    pub(crate) leader: Leader,
    pub(crate) parked: Parked,
    pub(crate) ring: TailRing,
    /// One for each follower that is attached, and no room for more: an idle partition has them too.
    pub(crate) feeds: Box<[Feed]>,
    /// For the figures.
    pub(crate) first_ack: FirstAck,
}

impl LeaderRole {
    /// A follower is fed from now on, by this attachment only.
    pub(crate) fn add_feed(&mut self, feed: Feed) {
        let (feeds, follower) = (std::mem::take(&mut self.feeds).into_iter(), feed.follower);
        let others = feeds.filter(|other| other.follower != follower);
        self.feeds = others.chain([feed]).collect();
    }

    /// The follower is fed no more by this attachment.
    pub(crate) fn end_feed(&mut self, follower: BrokerId, attachment: AttachmentId) {
        self.leader.detach(follower, attachment);
        let feeds = std::mem::take(&mut self.feeds).into_iter();
        self.feeds = feeds.filter(|feed| feed.attachment != attachment).collect();
    }
}

/// One attached follower: what it has been sent.
#[derive(Debug)]
pub(crate) struct Feed {
    pub(crate) follower: BrokerId,
    pub(crate) attachment: AttachmentId,
    /// Where to go on sending.
    pub(crate) next: Offset,
    pub(crate) sent_high_watermark: Offset,
    pub(crate) sent_log_start: Offset,
    pub(crate) sent_replicated: Offset,
    /// It is on its link's ready list.
    pub(crate) queued: bool,
    /// Of a follower that is behind the tail; boxed, because most are not.
    pub(crate) read_ahead: Option<Box<ReadAhead>>,
}

impl Feed {
    /// The news that was sent last: high watermark, log start, replicated offset.
    pub(crate) fn has_sent(&self) -> (Offset, Offset, Offset) {
        (
            self.sent_high_watermark,
            self.sent_log_start,
            self.sent_replicated,
        )
    }

    /// These news are on their way.
    pub(crate) fn note_sent(&mut self, news: (Offset, Offset, Offset)) {
        (
            self.sent_high_watermark,
            self.sent_log_start,
            self.sent_replicated,
        ) = news;
    }
}

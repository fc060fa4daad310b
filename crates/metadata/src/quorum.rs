//! The quorum of controllers as DescribeQuorum tells it: who votes, who only follows, how far each is.

use milena_types::{BrokerId, Offset};
use std::time::Duration;

/// The quorum as its leader sees it. Offsets are those of the metadata log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QuorumDescription {
    /// The active controller.
    pub leader: BrokerId,
    /// The raft term.
    pub leader_epoch: u64,
    /// The offset after the last committed entry.
    pub high_watermark: Offset,
    /// In the order of the configuration, the leader among them.
    pub voters: Vec<QuorumReplica>,
    /// Brokers that follow the metadata log and do not vote, by id.
    pub observers: Vec<QuorumReplica>,
}

/// One replica of the metadata log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QuorumReplica {
    /// Its `node.id`.
    pub id: BrokerId,
    /// Host and port of its controller listener; an observer has none.
    pub address: Option<(String, u16)>,
    /// The offset after its last entry, as last heard of; `None` while nothing was heard.
    pub log_end_offset: Option<Offset>,
    /// Since the leader last heard of it.
    pub last_contact: Option<Duration>,
    /// Since it last had everything that the leader had.
    pub last_caught_up: Option<Duration>,
}

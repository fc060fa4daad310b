//! What this node knows of the quorum.

use crate::bootstrap::VoteGate;
use crate::config::Voter;
use crate::planner::View;
use crate::publish::CommittedLog;
use crate::raft::caught_up::CaughtUp;
use crate::raft::majority;
use crate::raft::peers::{broker_id, voter_key};
use crate::raft::pulse::LastHeard;
use crate::raft::types::{Raft, TypeConfig};
use milena_metadata::liveness::Contact;
use milena_rpc::NotLeader;
use milena_rpc::proto;
use milena_types::{BrokerId, ClusterId, Timestamp};
use openraft::alias::InstantOf;
use openraft::async_runtime::WatchReceiver;
use openraft::errors::Fatal;
use openraft::{Instant, ReadPolicy};
use std::sync::Arc;
use std::time::Duration;

/// The quorum as this node sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QuorumStatus {
    /// Who leads: this node while a majority follows it, or the leader that it follows while it hears of it. `None`
    /// when nobody does, although raft may remember a leader.
    pub leader: Option<BrokerId>,
    /// The raft term: Kafka's leader epoch of `__cluster_metadata`.
    pub leader_epoch: u64,
    /// The last committed log index plus one.
    pub high_watermark: u64,
    /// The voters in the order of the configuration.
    pub voters: Vec<VoterStatus>,
}

/// One voter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VoterStatus {
    /// Who and where.
    pub voter: Voter,
    /// Its last known log index plus one; `None` when this node is not raft's leader, or has heard nothing of it.
    pub log_end_offset: Option<u64>,
    /// Milliseconds since the leader last heard of it; `None` when this node is not raft's leader.
    pub last_contact_ms: Option<u64>,
    /// Milliseconds since it last had everything that the leader had; `None` when this node is not raft's leader or it never
    /// had.
    pub last_caught_up_ms: Option<u64>,
}

/// Where the answers come from; cheap to clone.
#[derive(Clone)]
pub(crate) struct Quorum {
    pub(crate) raft: Raft,
    pub(crate) committed: Arc<CommittedLog>,
    pub(crate) gate: Arc<VoteGate>,
    pub(crate) voters: Arc<[Voter]>,
    pub(crate) node: BrokerId,
    pub(crate) heard: LastHeard,
    /// How long a leader may be silent: the longest election timeout.
    pub(crate) patience: Duration,
    pub(crate) caught_up: CaughtUp,
}

impl Quorum {
    /// False while this voter's log is not restored.
    pub(crate) fn may_vote(&self) -> bool {
        self.gate.is_open()
    }

    /// Who leads. Raft goes on naming a leader whose voters are gone, and one that died: neither counts.
    pub(crate) fn leader(&self) -> Option<BrokerId> {
        let named = self
            .raft
            .metrics()
            .borrow_watched()
            .current_leader
            .map(broker_id)?;
        let leads = match named == self.node {
            true => majority::follows(&self.raft, majority::lease(self.patience)),
            false => self.heard.within(self.patience),
        };
        leads.then_some(named)
    }

    /// So many milliseconds ago a majority acknowledged this node as the leader; the largest number when it does not lead.
    pub(crate) fn age_ms(&self) -> u64 {
        let silence = majority::silence(&self.raft).map(|silence| silence.as_millis());
        // A part of a millisecond has passed, too.
        silence.map_or(u64::MAX, |ms| {
            u64::try_from(ms).map_or(u64::MAX, |ms| ms.saturating_add(1))
        })
    }

    /// Nobody needs to stand for election: this node leads, if only for the moment, or its leader lives. A leader that
    /// raft only remembers from before a restart does not count.
    pub(crate) fn has_leader(&self) -> bool {
        self.raft.metrics().borrow_watched().state.is_leader() || self.heard.within(self.patience)
    }

    /// This node leads, as a majority confirms now, and has applied everything that was committed before.
    pub(crate) async fn is_current(&self) -> bool {
        let confirmed = self.raft.ensure_linearizable(ReadPolicy::ReadIndex);
        matches!(tokio::time::timeout(self.patience, confirmed).await, Ok(Ok(_)))
    }

    pub(crate) fn cluster(&self) -> Option<ClusterId> {
        self.committed.image().cluster.clone()
    }

    fn address(&self, id: BrokerId) -> Option<String> {
        self.voters
            .iter()
            .find(|voter| voter.id == id)
            .map(Voter::address)
    }

    /// Where to go instead of here.
    pub(crate) fn not_leader(&self) -> NotLeader {
        // A leader that is not ready yet sends nobody to itself: "none is known, ask again".
        let leader = self.leader().filter(|leader| *leader != self.node);
        NotLeader {
            leader,
            address: leader.and_then(|id| self.address(id)),
        }
    }

    pub(crate) fn status(&self) -> QuorumStatus {
        let metrics = self.raft.metrics().borrow_watched().clone();
        let leads = metrics.state.is_leader();
        let voter = |voter: &Voter| {
            let key = voter_key(voter.id);
            let own = voter.id == self.node;
            let matched = metrics
                .replication
                .as_ref()
                .and_then(|all| all.get(&key))
                .copied()
                .flatten();
            let contact = metrics
                .heartbeat
                .as_ref()
                .and_then(|all| all.get(&key))
                .cloned()
                .flatten();
            let age_ms =
                |at: InstantOf<TypeConfig>| u64::try_from(at.elapsed().as_millis()).unwrap_or(u64::MAX);
            let contact_ms = contact.map(|at| age_ms(*at));
            let caught_up_ms = self.caught_up.get(key).filter(|_| leads).map(age_ms);
            VoterStatus {
                voter: voter.clone(),
                log_end_offset: match own {
                    true => Some(metrics.last_log_index.map_or(0, |index| index + 1)),
                    false => matched.filter(|_| leads).map(|id| id.index + 1),
                },
                last_contact_ms: if own && leads { Some(0) } else { contact_ms },
                last_caught_up_ms: if own && leads { Some(0) } else { caught_up_ms },
            }
        };
        QuorumStatus {
            leader: self.leader(),
            leader_epoch: metrics.current_term,
            high_watermark: metrics.cluster_committed.map_or(0, |id| id.index + 1),
            voters: self.voters.iter().map(voter).collect(),
        }
    }

    pub(crate) async fn find_cluster(&self) -> Result<proto::FindClusterResponse, Fatal<TypeConfig>> {
        let leader = self.leader();
        // Not from the metrics: these are published later.
        let vote = self.raft.with_raft_state(|state| *state.vote_ref()).await?;
        Ok(proto::FindClusterResponse {
            cluster: self.cluster().map(|id| id.0),
            leader_id: leader.map(|id| id.0),
            leader_address: leader.and_then(|id| self.address(id)).unwrap_or_default(),
            node_id: self.node.0,
            initialized: self.raft.is_initialized().await.unwrap_or(true),
            may_vote: self.may_vote(),
            has_leader: self.has_leader(),
            vote_term: vote.leader_id.term,
            vote_node: vote.leader_id.node_id,
        })
    }
}

impl From<QuorumStatus> for proto::DescribeQuorumResponse {
    fn from(status: QuorumStatus) -> Self {
        let voter = |voter: VoterStatus| proto::QuorumVoter {
            id: voter.voter.id.0,
            host: voter.voter.host,
            port: u32::from(voter.voter.port),
            log_end_offset: voter.log_end_offset,
            last_contact_ms: voter.last_contact_ms,
            last_caught_up_ms: voter.last_caught_up_ms,
        };
        Self {
            leader_id: status.leader.map(|id| id.0),
            leader_epoch: status.leader_epoch,
            high_watermark: status.high_watermark,
            voters: status.voters.into_iter().map(voter).collect(),
            observers: Vec::new(),
        }
    }
}

/// How far the brokers are that follow the metadata log and do not vote, as their heartbeats tell. An offset counts
/// entries of the raft log, a broker counts versions of the image: what it lacks of the one it lacks of the other.
pub(crate) fn observers(
    voters: &[Voter],
    view: &View<'_>,
    high_watermark: u64,
) -> Vec<proto::QuorumObserver> {
    let votes = |id: BrokerId| voters.iter().any(|voter| voter.id == id);
    let age = |at: Timestamp| u64::try_from(view.context.now.0.saturating_sub(at.0)).unwrap_or(0);
    let contacts = view.liveness.contacts().filter(|contact| !votes(contact.broker));
    let row = |contact: Contact| {
        let behind = view.image.version.0.saturating_sub(contact.applied.0);
        proto::QuorumObserver {
            id: contact.broker.0,
            log_end_offset: contact.heard.then(|| high_watermark.saturating_sub(behind)),
            last_contact_ms: contact.heard.then(|| age(contact.at)),
            last_caught_up_ms: contact.caught_up.map(age),
        }
    };
    contacts.map(row).collect()
}

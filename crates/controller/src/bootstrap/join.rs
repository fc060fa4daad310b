//! An empty or half-restored voter on its way into the quorum.

use super::ask::{ASK_INTERVAL, ask_others};
use super::decision::{Decision, Survey, decide};
use super::gate::VoteGate;
use crate::config::Voter;
use crate::raft::peers::{Peers, voter_key};
use crate::raft::types::{Raft, TypeConfig, Vote};
use crate::store::{JoinMarker, Memory};
use openraft::errors::Fatal;
use openraft::impls::BasicNode;
use openraft::raft::VoteRequest;
use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// How long the others may take.
const ASK_TIMEOUT: Duration = Duration::from_millis(500);

/// Why a voter did not get past its start.
#[derive(Debug, thiserror::Error)]
pub(crate) enum JoinError {
    #[error("the metadata store failed: {0}")]
    Store(#[from] io::Error),
    #[error("raft has stopped: {0}")]
    Raft(#[from] Fatal<TypeConfig>),
    #[error("raft cannot be initialized: {0}")]
    Initialize(String),
}

/// An empty or half-restored voter on its way into the quorum.
pub(crate) struct Joiner {
    pub(crate) raft: Raft,
    pub(crate) peers: Peers,
    pub(crate) voters: Arc<[Voter]>,
    pub(crate) gate: Arc<VoteGate>,
    pub(crate) marker: JoinMarker,
}

impl Joiner {
    /// Before raft runs: closes the gate when the log was never restored to its end, or is empty and there is no telling
    /// why. True when [`Joiner::join`] is to run.
    pub(crate) async fn prepare(&self) -> io::Result<bool> {
        let memory = self.marker.check().await?;
        let votes = memory != Memory::Lost;
        self.gate.set(votes);
        self.raft.runtime_config().elect(votes);
        Ok(memory != Memory::Whole)
    }

    /// After raft runs, when [`Joiner::prepare`] said true: returns when this voter is one like any other.
    pub(crate) async fn join(&self) -> Result<(), JoinError> {
        let own = *self.raft.node_id();
        let lower = self
            .voters
            .iter()
            .filter(|voter| voter_key(voter.id) < own)
            .count();
        let rank = u32::try_from(lower).unwrap_or(u32::MAX);
        let begun = Instant::now();
        loop {
            let initialized = self.raft.is_initialized().await?;
            if initialized && self.gate.follows() {
                // A leader has reached this voter, or it was stopped while it was being restored.
                return self.restore(None).await;
            }
            let survey = self.ask().await;
            if !self.gate.follows() && survey.knows_all_leaders() {
                self.follow(survey.vote).await?;
            }
            match decide(&survey, rank, begun.elapsed()) {
                _ if initialized => {}
                Decision::Wait => {}
                Decision::Restore if !self.gate.follows() => {}
                Decision::Restore => return self.restore(survey.cluster.as_deref()).await,
                Decision::Vote => self.open().await?,
                Decision::Initialize => {
                    self.open().await?;
                    return self.initialize().await;
                }
            }
            if self.gate.is_open() && self.raft.is_initialized().await? {
                return Ok(());
            }
            tokio::time::sleep(ASK_INTERVAL).await;
        }
    }

    /// Takes the highest vote of the others for its own, so that no leader before that one gets anything confirmed, and
    /// then takes what a leader sends.
    async fn follow(&self, (term, node): (u64, u64)) -> Result<(), JoinError> {
        let (own, last) = self
            .raft
            .with_raft_state(|state| (*state.vote_ref(), state.log_ids.last().copied()))
            .await?;
        let reached = |own: Vote| (own.leader_id.term, own.leader_id.node_id) >= (term, node);
        if !reached(own) {
            // As if it were asked by that candidate; nobody hears the answer.
            let mut request = VoteRequest::new(Vote::new(term, node), last);
            request.leadership_transfer = true;
            let answer = self.raft.vote(request).await;
            let answer = answer.map_err(|error| JoinError::Initialize(error.to_string()))?;
            if !reached(answer.vote) {
                return Ok(());
            }
        }
        self.gate.follow();
        Ok(())
    }

    async fn open(&self) -> Result<(), JoinError> {
        if !self.gate.is_open() {
            self.marker.lift().await?;
            self.raft.runtime_config().elect(true);
            self.gate.set(true);
        }
        Ok(())
    }

    async fn restore(&self, cluster: Option<&str>) -> Result<(), JoinError> {
        if self.gate.is_open() {
            return Ok(());
        }
        match cluster {
            Some(cluster) => tracing::warn!(
                cluster,
                "this controller's metadata log is empty, but the cluster exists: it is new here, or its disk was \
                 lost; it follows, and votes once it has caught up"
            ),
            None => tracing::info!("this controller's metadata log is being restored by the leader"),
        }
        if let Err(error) = self.raft.wait_for_recovery(None).await {
            return Err(JoinError::Initialize(error.to_string()));
        }
        self.open().await?;
        tracing::info!("this controller has caught up and votes");
        Ok(())
    }

    async fn initialize(&self) -> Result<(), JoinError> {
        let node = |voter: &Voter| {
            (
                voter_key(voter.id),
                BasicNode {
                    addr: voter.address(),
                },
            )
        };
        let members: BTreeMap<_, _> = self.voters.iter().map(node).collect();
        tracing::info!(voters = members.len(), "founding a new metadata quorum");
        match self.raft.initialize(members).await {
            Ok(()) => Ok(()),
            // A leader was faster: as good.
            Err(_) if self.raft.is_initialized().await? => Ok(()),
            Err(error) => Err(JoinError::Initialize(error.to_string())),
        }
    }

    async fn ask(&self) -> Survey {
        let own = *self.raft.node_id();
        let mut survey = Survey {
            others: self.peers.len().saturating_sub(1),
            ..Survey::default()
        };
        for (_, answer) in ask_others(&self.peers, own, ASK_TIMEOUT).await {
            survey.answered += 1;
            survey.voting += usize::from(answer.may_vote);
            survey.vote = survey.vote.max((answer.vote_term, answer.vote_node));
            survey.any_initialized |= answer.initialized;
            survey.cluster = answer.cluster.or(survey.cluster);
        }
        survey
    }
}

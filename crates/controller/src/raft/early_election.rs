//! A dead leader process is replaced at once instead of after its lease.
//!
//! Evidence is a leader's append stream that broke *and* a new connection to it that fails. The voter then gives up the lease
//! that it holds for the leader, and asks for pre-votes: when a majority has the same evidence, an election follows; a voter
//! that only cannot see a living leader gets none from those who do, and disturbs nobody. A leader that is silent but
//! alive (stopped, cut off from all) is left to the ordinary election timeout.

use super::lease;
use super::peers::Peers;
use super::types::{Raft, TypeConfig, Vote};
use super::wire::Wire;
use crate::planner::Observed;
use milena_rpc::dial::Dialled;
use milena_types::BrokerId;
use openraft::async_runtime::WatchReceiver;
use openraft::vote::RaftLeaderId;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::Instant;

/// How long one dial may take.
const DIAL_TIMEOUT: Duration = Duration::from_millis(200);
/// Dials before a leader counts as alive, and the pause after each: 200 ms in all, less than an election timeout.
const DIALS: u32 = 20;
const DIAL_PAUSE: Duration = Duration::from_millis(10);
/// How long each next voter waits for those before it.
const TURN: Duration = Duration::from_millis(80);
/// Rounds of pre-votes, and the pause after each: the others may have the same evidence a moment later.
const ROUNDS: u32 = 20;
const ROUND_PAUSE: Duration = Duration::from_millis(20);

/// An append stream of the leader under this vote has ended.
#[derive(Clone, Debug)]
pub(crate) struct Evidence {
    vote: Vote,
    /// When it ended.
    at: Instant,
}

/// Watches one append stream; its drop is the evidence.
pub(crate) struct LeaderLink {
    vote: Option<Vote>,
    evidence: mpsc::Sender<Evidence>,
}

impl LeaderLink {
    pub(crate) fn new(evidence: mpsc::Sender<Evidence>) -> Self {
        Self { vote: None, evidence }
    }

    /// The stream carried a request under this vote.
    pub(crate) fn seen(&mut self, vote: Vote) {
        self.vote = Some(vote);
    }
}

impl Drop for LeaderLink {
    fn drop(&mut self) {
        if let Some(vote) = self.vote.take() {
            // Full means that evidence waits already.
            let _ = self.evidence.try_send(Evidence {
                vote,
                at: Instant::now(),
            });
        }
    }
}

/// Judges evidence until all streams' senders are gone.
pub(crate) async fn run(raft: Raft, peers: Peers, mut evidence: mpsc::Receiver<Evidence>, planner: Observed) {
    while let Some(Evidence { vote, at }) = evidence.recv().await {
        let leader = *vote.leader_id().node_id();
        if leader == *raft.node_id() || !is_current(&raft, &vote) {
            continue;
        }
        let Some(peer) = peers.get(leader) else { continue };
        if !becomes_silent(peer.as_ref(), || is_current(&raft, &vote)).await {
            continue;
        }
        // Whoever is elected fences its broker: that has been dead since then.
        let broker = BrokerId(i32::try_from(leader).unwrap_or(-1));
        planner.availability.suspect(broker, planner.clock.timestamp(at));
        tracing::info!(
            leader,
            "the active controller cannot be reached: asking the other voters for an election"
        );
        if let Err(error) = succeed(&raft, &peers, vote, leader).await {
            tracing::warn!(%error, "no early election");
        }
        // What is no death must not count as the beginning of a later one.
        if is_current(&raft, &vote) && peer.dial(DIAL_TIMEOUT).await == Dialled::Answered {
            planner.availability.clear(broker);
        }
    }
}

fn is_current(raft: &Raft, vote: &Vote) -> bool {
    vote.is_committed() && raft.metrics().borrow_watched().vote == *vote
}

/// True when the leader cannot be reached, now or soon, while it matters. A process that dies closes its sockets one after
/// the other: its streams may break a moment before its listener is gone. After a broken stream any failure will do.
async fn becomes_silent(peer: &dyn Wire, matters: impl Fn() -> bool) -> bool {
    for _ in 0..DIALS {
        if peer.dial(DIAL_TIMEOUT).await != Dialled::Answered {
            return matters();
        }
        tokio::time::sleep(DIAL_PAUSE).await;
        if !matters() {
            return false;
        }
    }
    false
}

/// The remaining voters stand in the order of their ids, one turn apart, until one has won or none has found a majority.
async fn succeed(
    raft: &Raft,
    peers: &Peers,
    vote: Vote,
    dead: u64,
) -> Result<(), openraft::errors::Fatal<TypeConfig>> {
    let own = *raft.node_id();
    if !lease::give_up(raft, vote, dead).await? {
        return Ok(());
    }
    let before = peers.iter().filter(|(id, _)| *id != dead && *id < own).count();
    let turn = TURN * u32::try_from(before).unwrap_or(u32::MAX);
    tokio::time::sleep(turn).await;
    for _ in 0..ROUNDS {
        if !is_current(raft, &vote) {
            break;
        }
        raft.trigger().elect(true).await?;
        tokio::time::sleep(ROUND_PAUSE).await;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::raft::grpc::Grpc;
    use crate::raft::wire::Connect;

    #[tokio::test]
    async fn a_listener_that_goes_a_moment_later_is_proof_too() {
        let way = |listener: &std::net::TcpListener| {
            let address = listener.local_addr().unwrap().to_string();
            Grpc.connect(&address).unwrap()
        };
        let listener = crate::cluster_test::listener();
        let peer = way(&listener);
        // The second look at whether it matters comes after the first dial has found the listener.
        let looks = std::cell::Cell::new(0);
        let held = std::cell::RefCell::new(Some(listener));
        let refused = becomes_silent(peer.as_ref(), || {
            looks.set(looks.get() + 1);
            held.borrow_mut().take();
            true
        });
        assert!(refused.await);
        assert!(looks.get() >= 2, "the first dial was answered");
        let alive = crate::cluster_test::listener();
        let peer = way(&alive);
        assert!(
            !becomes_silent(peer.as_ref(), || true).await,
            "it listens all the time"
        );
        assert!(
            !becomes_silent(peer.as_ref(), || false).await,
            "another leader is known"
        );
    }

    #[tokio::test]
    async fn a_stream_without_a_request_is_no_evidence() {
        let (sender, mut receiver) = mpsc::channel(4);
        drop(LeaderLink::new(sender.clone()));
        assert!(receiver.try_recv().is_err());
        let mut link = LeaderLink::new(sender);
        link.seen(Vote::new_committed(3, 1));
        drop(link);
        assert_eq!(receiver.try_recv().unwrap().vote, Vote::new_committed(3, 1));
    }
}

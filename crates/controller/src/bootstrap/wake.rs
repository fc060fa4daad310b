//! A quorum whose voters all start again elects a leader as soon as they meet, not after an election timeout.
//!
//! ```text
//! start ─► ask the other voters ─► a leader is known ─► follow it
//!               │  a majority answers, none knows a leader, no lower id among them ─► stand for election at once
//!               └─ anything else ─► ask again, until the election timeout has passed and raft acts by itself
//! ```
//!
//! After a restart raft keeps the lease of the leader that it remembers, though nobody has heard of it since: each voter
//! gives it up before it can be asked. Safety is raft's own: this is an election like any other, only earlier, and
//! pre-votes protect a leader that this voter could not see.

use super::ask::{ASK_INTERVAL, ask_others};
use crate::raft::lease;
use crate::raft::peers::Peers;
use crate::raft::types::{Raft, TypeConfig};
use crate::service::Quorum;
use milena_rpc::proto::FindClusterResponse;
use openraft::errors::Fatal;
use std::time::Duration;
use tokio::time::Instant;

/// How long the others may take.
const ASK_TIMEOUT: Duration = Duration::from_millis(200);

/// Gives up the lease of the leader from before the restart. Must be done before other voters can reach this one.
pub(crate) async fn forget_lease(raft: &Raft, peers: &Peers) -> Result<(), Fatal<TypeConfig>> {
    // Not from the metrics: these are published later.
    let vote = raft.with_raft_state(|state| *state.vote_ref()).await?;
    let other = peers.iter().map(|(id, _)| id).find(|id| id != raft.node_id());
    if let Some(other) = other.filter(|_| vote.is_committed()) {
        lease::give_up(raft, vote, other).await?;
    }
    Ok(())
}

/// Runs once, after a start with a log, for at most an election timeout.
pub(crate) async fn run(quorum: Quorum, peers: Peers) {
    let own = *quorum.raft.node_id();
    let others = peers.iter().filter(|(id, _)| *id != own).count();
    let begun = Instant::now();
    while begun.elapsed() < quorum.patience && !quorum.has_leader() {
        let answers = ask_others(&peers, own, ASK_TIMEOUT).await;
        if quorum.has_leader() {
            return;
        }
        tracing::debug!(answers = answers.len(), "looking for a leader after the start");
        if may_stand(own, others, &answers) {
            tracing::info!("no voter has a leader: standing for election");
            // Refused: raft has stopped.
            let _ = quorum.raft.trigger().elect(true).await;
            return;
        }
        tokio::time::sleep(ASK_INTERVAL).await;
    }
}

/// One voter of those that are there stands, so that votes are not split: the lowest id.
fn may_stand(own: u64, others: usize, answers: &[(u64, FindClusterResponse)]) -> bool {
    let majority = others.div_ceil(2) + 1;
    let leaderless = answers.iter().all(|(_, answer)| !answer.has_leader);
    let votes = 1 + answers.iter().filter(|(_, answer)| answer.may_vote).count();
    leaderless && votes >= majority && answers.iter().all(|(id, _)| own < *id)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn voter(has_leader: bool, may_vote: bool) -> FindClusterResponse {
        FindClusterResponse {
            has_leader,
            may_vote,
            ..FindClusterResponse::default()
        }
    }

    #[test]
    fn the_lowest_of_a_leaderless_majority_stands() {
        let (free, led, mute) = (voter(false, true), voter(true, true), voter(false, false));
        type Case<'a> = (u64, &'a [(u64, &'a FindClusterResponse)], bool);
        let cases: [Case<'_>; 7] = [
            (1, &[(2, &free), (3, &free)], true),
            (2, &[(1, &free), (3, &free)], false),
            (2, &[(3, &free)], true),
            (1, &[], false),
            (1, &[(2, &led), (3, &free)], false),
            (1, &[(2, &mute), (3, &mute)], false),
            (1, &[(2, &free), (3, &mute)], true),
        ];
        for (own, answers, expected) in cases {
            let answers: Vec<_> = answers
                .iter()
                .map(|(id, answer)| (*id, (*answer).clone()))
                .collect();
            assert_eq!(may_stand(own, 2, &answers), expected, "{own}: {answers:?}");
        }
        assert!(may_stand(1, 0, &[]), "a single voter");
        let answer = [(2, voter(false, true))];
        assert!(!may_stand(1, 3, &answer), "two of four are no majority");
    }
}

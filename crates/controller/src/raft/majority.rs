//! Whether a majority follows this node: raft's leader keeps the name when its voters are gone.

use super::types::Raft;
use openraft::Instant;
use std::time::Duration;

/// How long a leader leads after a majority last acknowledged it: as the active controller, and in what is said of it.
pub(crate) fn lease(election_max: Duration) -> Duration {
    election_max * 3
}

/// True when this node leads and a majority of the voters, itself included, acknowledged it less than `lease` ago.
pub(crate) fn follows(raft: &Raft, lease: Duration) -> bool {
    let Ok(leader) = raft.as_leader() else {
        return false;
    };
    let is_alone = raft.voter_ids().count() <= 1;
    is_alone || leader.last_quorum_acked().is_some_and(|at| at.elapsed() < lease)
}

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
    silence(raft).is_some_and(|silence| silence < lease)
}

/// How long ago that was sent to the voters which a majority of them, this node included, has acknowledged; `None` when nothing was,
/// or this node does not lead.
///
/// Whoever was elected in its place was so later: one of these voters has voted for it since.
pub(crate) fn silence(raft: &Raft) -> Option<Duration> {
    let leader = raft.as_leader().ok()?;
    if raft.voter_ids().count() <= 1 {
        return Some(Duration::ZERO);
    }
    leader.last_quorum_acked().map(|at| at.elapsed())
}

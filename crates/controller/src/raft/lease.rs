//! A voter gives up the lease that it holds for a leader, so that an election is not refused because of it.
//!
//! Raft's safety does not rest on the lease, nor does what a broker takes for its session: the answer to a heartbeat says how long ago
//! a majority last acknowledged the controller (see `majority`).

use super::types::{Raft, TypeConfig, Vote};
use openraft::errors::Fatal;
use openraft::raft::TransferLeaderRequest;

/// Gives up the lease under `vote`; `other` is any voter but this one. False: another vote holds by now.
pub(crate) async fn give_up(raft: &Raft, vote: Vote, other: u64) -> Result<bool, Fatal<TypeConfig>> {
    // A transfer to somebody else changes nothing here but the lease.
    let transfer = TransferLeaderRequest::new(vote, other, None);
    Ok(raft.handle_transfer_leader(transfer).await?.is_ok())
}

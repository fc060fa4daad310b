//! Asking the other voters what they know of the cluster.

use crate::raft::peers::Peers;
use futures::future::join_all;
use milena_rpc::proto::FindClusterResponse;
use std::time::Duration;

/// The pause between two rounds.
pub(super) const ASK_INTERVAL: Duration = Duration::from_millis(25);

/// What the others said within `patience`, with their ids; who did not answer is left out.
pub(super) async fn ask_others(
    peers: &Peers,
    own: u64,
    patience: Duration,
) -> Vec<(u64, FindClusterResponse)> {
    let calls = peers.iter().filter(|(id, _)| *id != own).map(|(id, peer)| {
        let answer = peer.find_cluster();
        async move {
            let answer = tokio::time::timeout(patience, answer).await;
            Some((id, answer.ok()?.ok()?))
        }
    });
    join_all(calls).await.into_iter().flatten().collect()
}

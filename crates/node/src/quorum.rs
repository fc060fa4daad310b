//! Asks controllers about their quorum, over gRPC: what `milena quorum` shows.

use milena_rpc::channel;
use milena_rpc::proto::controller_client::ControllerClient;
use milena_rpc::proto::{DescribeQuorumRequest, DescribeQuorumResponse, FindClusterRequest};
use std::time::{Duration, Instant};
use tonic::transport::Channel;

/// How long one controller may take.
const TIMEOUT: Duration = Duration::from_secs(2);

/// A quorum as one of its members sees it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Quorum {
    /// Absent until the quorum has agreed on one.
    pub cluster: Option<String>,
    /// The active controller; absent during an election.
    pub leader: Option<i32>,
    /// The raft term.
    pub leader_epoch: u64,
    /// The last committed log index plus one.
    pub high_watermark: u64,
    /// All voters.
    pub voters: Vec<QuorumMember>,
}

/// One voter of a quorum.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QuorumMember {
    /// `node.id`.
    pub id: i32,
    /// `host:port` of its controller listener.
    pub address: String,
    /// Last log index known there plus one; only the leader knows it.
    pub log_end_offset: Option<u64>,
    /// Since the leader last heard from it.
    pub last_contact_ms: Option<u64>,
}

/// Why nobody could be asked.
#[derive(Debug, thiserror::Error)]
pub enum QuorumError {
    /// No address was given.
    #[error("no controller was named; allowed: host:port, several separated by commas")]
    NoAddress,
    /// None of them answered.
    #[error("no controller answers: {0}")]
    Unreachable(String),
    /// The runtime cannot be made.
    #[error("cannot start: {0}")]
    Runtime(#[from] std::io::Error),
}

/// Asks each of `controllers` (`host:port`, separated by commas) until the leader has answered; else the answer of
/// the member with the highest epoch counts. Blocks.
///
/// # Errors
/// When none answers.
pub fn describe(controllers: &str) -> Result<Quorum, QuorumError> {
    let addresses: Vec<&str> = controllers
        .split(',')
        .map(str::trim)
        .filter(|a| !a.is_empty())
        .collect();
    if addresses.is_empty() {
        return Err(QuorumError::NoAddress);
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(ask_all(&addresses))
}

/// Resolves once no controller has led for `patience`; asks all of `addresses` again and again.
pub(crate) async fn leaderless_for(patience: Duration, addresses: &[String]) {
    let addresses: Vec<&str> = addresses.iter().map(String::as_str).collect();
    let mut since = Instant::now();
    while since.elapsed() < patience {
        let known = ask_all(&addresses).await;
        if known.is_ok_and(|quorum| quorum.leader.is_some()) {
            since = Instant::now();
        }
        tokio::time::sleep(patience / 8).await;
    }
}

async fn ask_all(addresses: &[&str]) -> Result<Quorum, QuorumError> {
    let mut answers = Vec::new();
    let mut failures = Vec::new();
    for address in addresses {
        match tokio::time::timeout(TIMEOUT, ask(address)).await {
            Ok(Ok((quorum, node_id))) => {
                let is_leader = quorum.leader == Some(node_id);
                answers.push((node_id, quorum));
                if is_leader {
                    break;
                }
            }
            Ok(Err(reason)) => failures.push(format!("{address}: {reason}")),
            Err(_) => failures.push(format!("{address}: no answer within {} s", TIMEOUT.as_secs())),
        }
    }
    best(answers).ok_or_else(|| QuorumError::Unreachable(failures.join("; ")))
}

/// The answer of whoever leads by its own account, else the best; what a follower says of a leader that denies it does
/// not count: the follower hears it, and a majority does not.
fn best(mut answers: Vec<(i32, Quorum)>) -> Option<Quorum> {
    let said: Vec<_> = answers
        .iter()
        .map(|(id, quorum)| (*id, quorum.leader, quorum.leader_epoch))
        .collect();
    for (_, quorum) in &mut answers {
        let (named, epoch) = (quorum.leader, quorum.leader_epoch);
        let denies = |(id, leader, of): &(i32, Option<i32>, u64)| {
            Some(*id) == named && *of >= epoch && *leader != named
        };
        if said.iter().any(denies) {
            quorum.leader = None;
        }
    }
    let by_rank = |(id, quorum): &(i32, Quorum)| (quorum.leader == Some(*id), rank(quorum));
    answers.into_iter().max_by_key(by_rank).map(|(_, quorum)| quorum)
}

/// A later epoch knows better, and in one epoch who knows the leader.
fn rank(quorum: &Quorum) -> (u64, bool) {
    (quorum.leader_epoch, quorum.leader.is_some())
}

/// Asks one controller; also gives its node id.
async fn ask(address: &str) -> Result<(Quorum, i32), String> {
    let channel: Channel = channel::connect_lazy(address).map_err(|e| e.to_string())?;
    let mut client = ControllerClient::new(channel);
    let status = |status: tonic::Status| status.message().to_owned();
    let found = client
        .find_cluster(FindClusterRequest {})
        .await
        .map_err(status)?
        .into_inner();
    let state = client
        .describe_quorum(DescribeQuorumRequest { of_leader: false })
        .await
        .map_err(status)?
        .into_inner();
    let node_id = found.node_id;
    Ok((quorum(found.cluster, state), node_id))
}

fn quorum(cluster: Option<String>, state: DescribeQuorumResponse) -> Quorum {
    let member = |v: milena_rpc::proto::QuorumVoter| QuorumMember {
        id: v.id,
        address: channel::authority(&v.host, u16::try_from(v.port).unwrap_or_default()),
        log_end_offset: v.log_end_offset,
        last_contact_ms: v.last_contact_ms,
    };
    Quorum {
        cluster,
        leader: state.leader_id,
        leader_epoch: state.leader_epoch,
        high_watermark: state.high_watermark,
        voters: state.voters.into_iter().map(member).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_leads_is_who_says_so_itself() {
        let of = |leader, leader_epoch| Quorum {
            leader,
            leader_epoch,
            ..Quorum::default()
        };
        for (answers, expected) in [
            (vec![], None),
            (vec![(2, of(None, 3))], Some(None)),
            (vec![(2, of(Some(1), 3)), (3, of(None, 4))], Some(None)),
            (vec![(2, of(None, 3)), (3, of(Some(1), 3))], Some(Some(1))),
            (vec![(2, of(Some(1), 3)), (3, of(Some(3), 4))], Some(Some(3))),
            // The follower of 1 hears it, a majority does not.
            (vec![(2, of(Some(1), 3)), (1, of(None, 3))], Some(None)),
            // 1 has not heard yet that it was elected again.
            (vec![(2, of(Some(1), 4)), (1, of(None, 3))], Some(Some(1))),
        ] {
            assert_eq!(best(answers.clone()).map(|q| q.leader), expected, "{answers:?}");
        }
    }
}

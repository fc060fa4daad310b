//! What `kafka-leader-election.sh` does, and what an unclean election would lose before it is asked for.
//!
//! ```text
//! brokers and partitions (cluster) ─► each live replica's log: ends, epochs (replica) ─► what each would lose (plan, pure)
//!                                  └► ElectLeaders (elect)
//! ```
//!
//! Source: `LeaderElectionCommand.java`, KIP-460.

mod cluster;
mod connection;
mod elect;
mod json;
mod plan;
mod replica;

pub use elect::{Outcome, elect};
pub use json::partitions_of_json;
pub use plan::{Candidate, Forecast, Loss};

use cluster::{Cluster, PartitionState};
use milena_types::BrokerId;
use plan::forecast;

/// Which partitions are meant; `None` stands for all.
pub type Wanted = Option<Vec<(String, i32)>>;

/// Why nothing could be asked or done.
#[derive(Debug, thiserror::Error)]
pub enum ElectionError {
    /// No address, or one that nobody answers at.
    #[error("no broker answers at {0}")]
    Unreachable(String),
    /// A broker answered, and not what was asked.
    #[error("broker at {address}: {reason}")]
    Answer {
        /// Where.
        address: String,
        /// What is wrong.
        reason: String,
    },
    /// The cluster has no such topic or partition.
    #[error("there is no partition {topic}-{partition}")]
    UnknownPartition {
        /// Its topic.
        topic: String,
        /// Its number.
        partition: i32,
    },
}

/// One partition, and what an unclean election of each replica would cost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartitionPlan {
    /// `topic-number`.
    pub name: String,
    /// Its leader: an unclean election changes nothing then.
    pub leader: Option<BrokerId>,
    /// The epoch that it had last.
    pub leader_epoch: i32,
    /// In sync; eligible; the last known leader.
    pub holders: [Vec<BrokerId>; 3],
    /// Who would be elected now.
    pub next: Option<BrokerId>,
    /// One for each replica, in assignment order.
    pub replicas: Vec<(BrokerId, Result<Forecast, String>)>,
}

/// Says for every partition without a leader (for the others only that they have one) what each of its replicas would lose as the
/// next leader: offsets that another replica has which can be asked. Changes nothing. Blocks.
///
/// # Errors
/// When nobody answers, or a partition is not there. A replica that cannot be asked is in the answer.
pub fn plan(bootstrap: &str, wanted: &Wanted) -> Result<Vec<PartitionPlan>, ElectionError> {
    let mut cluster = Cluster::ask(bootstrap)?;
    let partitions = cluster.partitions(wanted)?;
    Ok(partitions
        .iter()
        .map(|state| plan_of(&mut cluster, state))
        .collect())
}

fn plan_of(cluster: &mut Cluster, state: &PartitionState) -> PartitionPlan {
    let mut plan = PartitionPlan {
        name: format!("{}-{}", state.topic, state.partition),
        leader: state.leader,
        leader_epoch: state.leader_epoch,
        holders: state.holders.clone(),
        next: None,
        replicas: Vec::new(),
    };
    if plan.leader.is_some() {
        return plan;
    }
    let mut known = Vec::new();
    for broker in &state.replicas {
        let asked = match state.offline.contains(broker) {
            true => Err("it, or its log, is offline".to_owned()),
            false => replica::ask(cluster, *broker, state).map_err(|error| error.to_string()),
        };
        match asked {
            Ok(candidate) => {
                plan.next = plan.next.or(Some(*broker));
                known.push(candidate);
            }
            Err(reason) => plan.replicas.push((*broker, Err(reason))),
        }
    }
    let epoch_end = |broker, epoch| replica::epoch_end(cluster, broker, state, epoch);
    for (broker, found) in forecast(&known, epoch_end) {
        plan.replicas
            .push((broker, found.map_err(|error| error.to_string())));
    }
    let place = |broker: &BrokerId| state.replicas.iter().position(|replica| replica == broker);
    plan.replicas.sort_by_key(|(broker, _)| place(broker));
    plan
}

//! When each follower last had everything that this leader had: what DescribeQuorum tells. Looked at with every
//! heartbeat, so it is known to within one heartbeat interval.

use super::types::TypeConfig;
use openraft::RaftMetrics;
use openraft::alias::InstantOf;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

type Instant = InstantOf<TypeConfig>;

/// By voter; cheap to clone.
#[derive(Clone, Debug, Default)]
pub(crate) struct CaughtUp(Arc<Mutex<BTreeMap<u64, Instant>>>);

impl CaughtUp {
    /// Notes who has everything, as of the moment when it was last heard.
    pub(super) fn note(&self, metrics: &RaftMetrics<TypeConfig>) {
        let (Some(matched), Some(heard)) = (&metrics.replication, &metrics.heartbeat) else {
            return;
        };
        let mut times = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for (id, matched) in matched {
            let has_all = matched.as_ref().map(|log_id| log_id.index) >= metrics.last_log_index;
            if let Some(at) = heard.get(id).cloned().flatten().filter(|_| has_all) {
                times.insert(*id, *at);
            }
        }
    }

    /// When `voter` last had everything.
    pub(crate) fn get(&self, voter: u64) -> Option<Instant> {
        let times = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        times.get(&voter).copied()
    }
}

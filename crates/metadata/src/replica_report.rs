//! What a broker tells the controller about a replica.
//!
//! ```text
//! condition of the replica here ─┐
//! what the metadata says of it  ─┴─► wanted_report ─► report ─► answer, and the metadata that follows from it ─► again
//! ```
//!
//! Reports follow from comparing the two sides, at every change of either, so that none is lost: one that could not be
//! delivered, or was overtaken, is found wanting again. What the controller makes of one is
//! [`plan::replica_states`](crate::plan::replica_states).

use crate::record::PartitionRegistration;
use crate::request::ReplicaState;
use milena_types::BrokerId;

/// How a replica is, as its broker finds it, with an open log or without one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReplicaCondition {
    /// It can do its work.
    InUse,
    /// Its directory is offline.
    Offline,
    /// Its log is damaged, where it had been on disk for certain.
    Damaged,
    /// The tail of its log may be: for a while others may lead who know better.
    Doubtful {
        /// That while is over.
        waited: bool,
    },
    /// There is no space to append to it, or there was none, or too few files or too little memory, to open it; or its disk does not
    /// come back from a flush.
    NotNow,
}

/// What the controller is to be told of the replica of `broker` at this moment, if anything.
#[must_use]
pub fn wanted_report(
    condition: ReplicaCondition,
    broker: BrokerId,
    state: &PartitionRegistration,
) -> Option<ReplicaState> {
    let listed = state.offline.contains(&broker);
    let others_in_sync = state.isr.iter().any(|member| *member != broker);
    let other_leads = state.leader.is_some_and(|leader| leader != broker);
    match condition {
        ReplicaCondition::InUse => listed.then_some(ReplicaState::Online),
        ReplicaCondition::Offline => (!listed).then_some(ReplicaState::Offline),
        // It keeps its place while a leader may be one that is dead, or has not opened its own log yet.
        ReplicaCondition::Doubtful { .. } if !listed => Some(ReplicaState::Offline),
        ReplicaCondition::Doubtful { waited: false } => None,
        ReplicaCondition::Doubtful { waited: true } if other_leads => Some(ReplicaState::Refill),
        ReplicaCondition::Doubtful { waited: true } => Some(ReplicaState::Cut),
        ReplicaCondition::Damaged if other_leads => Some(ReplicaState::Refill),
        ReplicaCondition::Damaged => (!listed).then_some(ReplicaState::Offline),
        ReplicaCondition::NotNow => {
            let in_the_way = !listed && others_in_sync && state.isr.contains(&broker);
            in_the_way.then_some(ReplicaState::Full)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ME: BrokerId = BrokerId(1);

    fn registered(leader: Option<i32>, isr: &[i32], offline: &[i32]) -> PartitionRegistration {
        let ids = |list: &[i32]| list.iter().copied().map(BrokerId).collect();
        PartitionRegistration {
            leader: leader.map(BrokerId),
            offline: ids(offline),
            ..PartitionRegistration::new(ids(&[1, 2, 3]), ids(isr))
        }
    }

    #[test]
    fn reports_follow_from_the_condition_and_the_metadata() {
        use ReplicaCondition::{Damaged, Doubtful, InUse, NotNow, Offline};
        use ReplicaState as R;
        let (fresh, waited) = (Doubtful { waited: false }, Doubtful { waited: true });
        for (condition, leader, isr, offline, expected) in [
            (InUse, Some(1), &[1, 2][..], &[][..], None),
            (InUse, Some(2), &[2], &[1], Some(R::Online)),
            (Offline, Some(1), &[1, 2], &[], Some(R::Offline)),
            (Offline, Some(2), &[2], &[], Some(R::Offline)),
            (Offline, Some(2), &[2], &[1], None),
            (Damaged, Some(1), &[1, 2], &[], Some(R::Offline)),
            (Damaged, None, &[], &[1], None),
            (Damaged, Some(2), &[2], &[1], Some(R::Refill)),
            (Damaged, Some(2), &[1, 2], &[], Some(R::Refill)),
            (fresh, Some(1), &[1, 2], &[], Some(R::Offline)),
            (fresh, None, &[1, 2], &[1], None),
            (fresh, None, &[2], &[1], None),
            (fresh, Some(2), &[1, 2], &[], Some(R::Offline)),
            (fresh, Some(2), &[2], &[1], None),
            (fresh, None, &[1, 2], &[1, 2], None),
            (waited, None, &[1, 2], &[1], Some(R::Cut)),
            (waited, None, &[], &[1], Some(R::Cut)),
            (waited, Some(2), &[2], &[1], Some(R::Refill)),
            (waited, Some(2), &[2], &[], Some(R::Offline)),
            (NotNow, Some(1), &[1, 2], &[], Some(R::Full)),
            (NotNow, Some(1), &[1], &[], None),
            (NotNow, Some(2), &[2], &[], None),
            (NotNow, Some(2), &[1, 2], &[], Some(R::Full)),
            (NotNow, Some(2), &[2], &[1], None),
        ] {
            let found = wanted_report(condition, ME, &registered(leader, isr, offline));
            assert_eq!(found, expected, "{condition:?} {leader:?} {isr:?} {offline:?}");
        }
    }
}

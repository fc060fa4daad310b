//! A partition on its way to other replicas (KIP-455): how it begins, when it is complete, what a cancellation leaves.
//!
//! ```text
//! [1,2,3] ──to [1,4]──► replicas [1,4,2,3], adding [4], removing [2,3] ──► 4 in sync ──► [1,4]
//!                                                                     └──► cancelled ──► [1,2,3]
//! ```
//!
//! Source: `PartitionReassignmentReplicas`, `PartitionReassignmentRevert`. Pure.

use crate::record::PartitionRegistration;
use milena_types::BrokerId;

/// The three lists of a reassignment that is in progress. All hold each broker at most once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reassignment {
    /// All replicas: those of the target in its order, then those that go.
    pub replicas: Vec<BrokerId>,
    /// Those of `replicas` that the partition did not have before.
    pub adding: Vec<BrokerId>,
    /// Those of `replicas` that the target does not have.
    pub removing: Vec<BrokerId>,
}

/// Who is left when a reassignment is complete, or cancelled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settled {
    /// The assignment.
    pub replicas: Vec<BrokerId>,
    /// Who of it is in sync.
    pub isr: Vec<BrokerId>,
}

impl Reassignment {
    /// From what a partition has to what it is to have. A reassignment that is in progress is replaced: what it was
    /// adding counts as there.
    #[must_use]
    pub fn to(current: &[BrokerId], target: &[BrokerId]) -> Self {
        let removing = difference(current, target);
        let mut replicas = target.to_vec();
        replicas.extend(&removing);
        Self {
            replicas,
            adding: difference(target, current),
            removing,
        }
    }

    /// The one that a partition is in; `None` when nothing comes or goes.
    #[must_use]
    pub fn of(partition: &PartitionRegistration) -> Option<Self> {
        if partition.adding.is_empty() && partition.removing.is_empty() {
            return None;
        }
        Some(Self {
            replicas: partition.replicas.clone(),
            adding: partition.adding.clone(),
            removing: partition.removing.clone(),
        })
    }

    /// What is left once it is complete with this ISR; `None` while it has to wait.
    ///
    /// It waits for every replica that comes: it could be unhealthy. Where the assignment shrinks it waits for all of
    /// the target, so that the ISR does not shrink without need. A replica that stays and is dead holds up nothing else.
    /// Beyond Kafka: it also waits while the ISR that is left would be smaller than `min_isr` and somebody goes who has
    /// everything, in sync or `eligible`: a partition that takes writes goes on taking them, and what was acknowledged stays with as
    /// many.
    #[must_use]
    pub fn completed(&self, isr: &[BrokerId], eligible: &[BrokerId], min_isr: usize) -> Option<Settled> {
        if self.adding.is_empty() && self.removing.is_empty() {
            return None;
        }
        let after = Settled {
            replicas: difference_in_order(&self.replicas, &self.removing),
            isr: difference_in_order(isr, &self.removing),
        };
        let in_sync = |brokers: &[BrokerId]| brokers.iter().all(|broker| after.isr.contains(broker));
        let shrinks = self.adding.len() < self.removing.len();
        let has_everything = |broker: &BrokerId| isr.contains(broker) || eligible.contains(broker);
        let starves =
            after.isr.len() < min_isr.min(after.replicas.len()) && self.removing.iter().any(has_everything);
        let waits = after.isr.is_empty()
            || after.replicas.is_empty()
            || !in_sync(&self.adding)
            || (shrinks && !in_sync(&after.replicas))
            || starves;
        (!waits).then_some(after)
    }

    /// What is left when it is cancelled. The ISR is empty when only replicas that came with it are in sync.
    #[must_use]
    pub fn reverted(&self, isr: &[BrokerId]) -> Settled {
        Settled {
            replicas: difference_in_order(&self.replicas, &self.adding),
            isr: difference_in_order(isr, &self.adding),
        }
    }

    /// How many replicas the target has.
    #[must_use]
    pub fn target_len(&self) -> usize {
        self.replicas.len() - self.removing.len()
    }
}

fn difference_in_order(all: &[BrokerId], without: &[BrokerId]) -> Vec<BrokerId> {
    all.iter()
        .copied()
        .filter(|broker| !without.contains(broker))
        .collect()
}

fn difference(all: &[BrokerId], without: &[BrokerId]) -> Vec<BrokerId> {
    let mut left = difference_in_order(all, without);
    left.sort_unstable();
    left
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(list: &[i32]) -> Vec<BrokerId> {
        list.iter().copied().map(BrokerId).collect()
    }

    fn to(current: &[i32], target: &[i32]) -> Reassignment {
        Reassignment::to(&ids(current), &ids(target))
    }

    fn settled(replicas: &[i32], isr: &[i32]) -> Settled {
        Settled {
            replicas: ids(replicas),
            isr: ids(isr),
        }
    }

    #[test]
    fn the_target_comes_first_and_who_goes_stays_until_the_end() {
        let lists = |r: Reassignment| (r.replicas, r.adding, r.removing);
        assert_eq!(
            lists(to(&[3, 2, 1], &[1, 5, 4])),
            (ids(&[1, 5, 4, 2, 3]), ids(&[4, 5]), ids(&[2, 3]))
        );
        assert_eq!(
            lists(to(&[1, 2, 3], &[3, 1, 2])),
            (ids(&[3, 1, 2]), ids(&[]), ids(&[]))
        );
        assert_eq!(to(&[1, 2, 3], &[4]).target_len(), 1);
    }

    #[test]
    fn it_waits_for_who_comes() {
        let swap = to(&[1, 2, 3], &[1, 2, 4]);
        assert_eq!(swap.completed(&ids(&[1, 2, 3]), &[], 1), None);
        assert_eq!(
            swap.completed(&ids(&[1, 2, 3, 4]), &[], 1),
            Some(settled(&[1, 2, 4], &[1, 2, 4]))
        );
    }

    #[test]
    fn a_dead_replica_that_stays_holds_up_nothing() {
        let swap = to(&[1, 2, 3], &[1, 2, 4]);
        assert_eq!(
            swap.completed(&ids(&[1, 3, 4]), &[], 2),
            Some(settled(&[1, 2, 4], &[1, 4]))
        );
    }

    #[test]
    fn a_smaller_assignment_waits_for_all_of_it() {
        // Kafka's own example: going on would leave [5] in sync, where [0, 1] were.
        let smaller = to(&[0, 1, 2, 3, 4], &[2, 3, 4, 5]);
        assert_eq!(smaller.completed(&ids(&[0, 1, 5]), &[], 1), None);
        assert!(smaller.completed(&ids(&[0, 1, 2, 3, 4, 5]), &[], 1).is_some());
        assert_eq!(
            to(&[1, 2, 3], &[1]).completed(&ids(&[1, 2]), &[], 2),
            Some(settled(&[1], &[1]))
        );
    }

    #[test]
    fn it_never_ends_below_min_isr_while_it_can_wait_above() {
        let swap = to(&[1, 2, 3], &[4, 2, 5]);
        // 2 is away: [4, 5] would be enough for two, not for three.
        let isr = ids(&[1, 3, 4, 5]);
        assert_eq!(swap.completed(&isr, &[], 3), None);
        assert!(swap.completed(&isr, &[], 2).is_some());
        let one = to(&[3, 2], &[4, 2]);
        assert_eq!(one.completed(&ids(&[3, 4]), &[], 2), None, "{one:?}");
        assert!(one.completed(&ids(&[4]), &[], 2).is_some(), "nobody in sync goes");
        assert_eq!(
            one.completed(&ids(&[4]), &ids(&[3]), 2),
            None,
            "3 has everything too"
        );
        assert!(one.completed(&ids(&[4]), &ids(&[2]), 2).is_some(), "2 stays");
    }

    #[test]
    fn it_never_ends_without_anybody_in_sync() {
        assert_eq!(to(&[1, 2], &[2]).completed(&ids(&[1]), &[], 1), None);
        assert_eq!(to(&[1], &[2]).completed(&ids(&[]), &[], 1), None);
    }

    #[test]
    fn a_cancellation_leaves_what_was() {
        let change = to(&[3, 2, 1], &[5, 1, 4]);
        assert_eq!(change.reverted(&ids(&[1, 4, 2])), settled(&[1, 2, 3], &[1, 2]));
        assert!(change.reverted(&ids(&[4, 5])).isr.is_empty());
    }
}

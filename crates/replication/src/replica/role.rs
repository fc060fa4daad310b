//! What a broker is for one of its partitions, and what the metadata makes of it.
//!
//! ```text
//! Idle ──► Follower ◄──► Leader     every change comes from the metadata; a newer leader epoch always starts a new role
//!   ▲─────────┴─────────────┘       Idle: no leader is known, or nothing can be appended
//! ```

use crate::LeaderTerm;
use milena_types::{BrokerId, ErrorCode, LeaderEpoch, PartitionEpoch};
use std::cmp::Ordering;

/// What the metadata says of a partition, as far as the roles of its replicas depend on it.
#[derive(Clone, Copy, Debug)]
pub struct Assigned<'a> {
    /// Who leads; `None` while no eligible replica is alive.
    pub leader: Option<BrokerId>,
    /// Its epoch.
    pub leader_epoch: LeaderEpoch,
    /// The version of this registration.
    pub partition_epoch: PartitionEpoch,
    /// All replicas.
    pub replicas: &'a [BrokerId],
    /// The committed ISR.
    pub isr: &'a [BrokerId],
    /// Its leader was elected uncleanly, and has not said yet that it has recovered.
    pub recovering: bool,
}

impl Assigned<'_> {
    /// By what a registration is newer than another one of the same partition.
    #[must_use]
    pub fn epochs(&self) -> (LeaderEpoch, PartitionEpoch) {
        (self.leader_epoch, self.partition_epoch)
    }

    /// The term in which `leader` leads, whom it names.
    #[must_use]
    pub fn term(&self, leader: BrokerId) -> LeaderTerm {
        LeaderTerm {
            leader,
            leader_epoch: self.leader_epoch,
            partition_epoch: self.partition_epoch,
            replicas: self.replicas.into(),
            isr: self.isr.into(),
            recovering: self.recovering,
        }
    }
}

/// The role that a replica has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Held {
    /// None.
    Idle,
    /// It leads.
    Leader,
    /// It follows this broker.
    Follower(BrokerId),
}

/// What a registration does to a role.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transition {
    /// Nothing: the role was taken from this registration, or a newer one.
    Ignore,
    /// It is newer; the role goes on.
    Keep,
    /// It leads from now on, in a new term.
    Lead,
    /// It leads as before; another ISR or other replicas were committed.
    Update,
    /// It follows this broker from now on.
    Follow(BrokerId),
    /// It has no role from now on; who waits for it as the leader is told this.
    Leave(ErrorCode),
}

/// Which role `next` makes of the one that broker `me` has held since the registration `at`; of all that is not
/// [`Transition::Ignore`] the caller remembers the epochs.
///
/// `can_append` is false while there is no space: such a replica does not follow, but leads if nobody else was elected.
#[must_use]
pub fn transition(
    me: BrokerId,
    held: Held,
    at: (LeaderEpoch, PartitionEpoch),
    can_append: bool,
    next: &Assigned<'_>,
) -> Transition {
    if next.epochs() <= at && held != Held::Idle {
        return Transition::Ignore;
    }
    let same_epoch = next.leader_epoch == at.0;
    match next.leader {
        None => Transition::Leave(ErrorCode::NotLeaderOrFollower),
        Some(leader) if leader == me && same_epoch && held == Held::Leader => Transition::Update,
        Some(leader) if leader == me => Transition::Lead,
        Some(_) if !can_append => Transition::Leave(ErrorCode::KafkaStorageError),
        Some(leader) if same_epoch && held == Held::Follower(leader) => Transition::Keep,
        Some(leader) => Transition::Follow(leader),
    }
}

/// The epoch that a peer or client believes in must be the `current` one.
///
/// # Errors
/// FENCED_LEADER_EPOCH when it is older, UNKNOWN_LEADER_EPOCH when it is newer.
pub fn check_leader_epoch(current: LeaderEpoch, believed: LeaderEpoch) -> Result<(), ErrorCode> {
    match believed.cmp(&current) {
        Ordering::Less => Err(ErrorCode::FencedLeaderEpoch),
        Ordering::Greater => Err(ErrorCode::UnknownLeaderEpoch),
        Ordering::Equal => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ME: BrokerId = BrokerId(1);
    const REPLICAS: [BrokerId; 3] = [BrokerId(1), BrokerId(2), BrokerId(3)];
    const LEAVE: Transition = Transition::Leave(ErrorCode::NotLeaderOrFollower);

    fn assigned(leader: Option<i32>, epochs: (i32, i32)) -> Assigned<'static> {
        Assigned {
            leader: leader.map(BrokerId),
            leader_epoch: LeaderEpoch(epochs.0),
            partition_epoch: PartitionEpoch(epochs.1),
            replicas: &REPLICAS,
            isr: &REPLICAS[..2],
            recovering: true,
        }
    }

    /// A role that was taken from (3, 7).
    fn after(held: Held, leader: Option<i32>, epochs: (i32, i32), can_append: bool) -> Transition {
        let at = (LeaderEpoch(3), PartitionEpoch(7));
        transition(ME, held, at, can_append, &assigned(leader, epochs))
    }

    #[test]
    fn a_registration_that_is_not_newer_changes_no_role() {
        let follower = Held::Follower(BrokerId(2));
        for held in [Held::Leader, follower] {
            for leader in [None, Some(1), Some(2)] {
                for epochs in [(3, 7), (3, 6), (2, 9)] {
                    assert_eq!(after(held, leader, epochs, true), Transition::Ignore);
                }
            }
        }
        assert_eq!(after(Held::Idle, Some(1), (3, 7), true), Transition::Lead);
        let follow = Transition::Follow(BrokerId(2));
        assert_eq!(after(Held::Idle, Some(2), (3, 7), true), follow);
        assert_eq!(after(Held::Idle, None, (3, 7), true), LEAVE);
    }

    #[test]
    fn a_newer_leader_epoch_always_starts_a_new_role() {
        let (two, three) = (Held::Follower(BrokerId(2)), Transition::Follow(BrokerId(3)));
        for (held, leader, epochs, expected) in [
            (Held::Leader, Some(1), (3, 8), Transition::Update),
            (Held::Leader, Some(1), (4, 8), Transition::Lead),
            (two, Some(1), (3, 8), Transition::Lead),
            (two, Some(1), (4, 8), Transition::Lead),
            (two, Some(2), (3, 8), Transition::Keep),
            (two, Some(2), (4, 8), Transition::Follow(BrokerId(2))),
            (two, Some(3), (4, 8), three),
            (two, Some(3), (3, 8), three),
            (Held::Leader, Some(3), (4, 8), three),
            (Held::Leader, None, (4, 8), LEAVE),
            (two, None, (3, 8), LEAVE),
        ] {
            let found = after(held, leader, epochs, true);
            assert_eq!(found, expected, "{held:?} {leader:?} {epochs:?}");
        }
    }

    #[test]
    fn without_space_nobody_is_followed() {
        let full = Transition::Leave(ErrorCode::KafkaStorageError);
        for held in [Held::Idle, Held::Leader, Held::Follower(BrokerId(2))] {
            assert_eq!(after(held, Some(2), (4, 8), false), full);
            assert_eq!(after(held, Some(1), (4, 8), false), Transition::Lead);
            assert_eq!(after(held, None, (4, 8), false), LEAVE);
        }
    }

    #[test]
    fn a_term_is_what_was_assigned() {
        let term = assigned(Some(1), (3, 8)).term(ME);
        assert_eq!((term.leader, term.leader_epoch), (ME, LeaderEpoch(3)));
        assert_eq!(term.partition_epoch, PartitionEpoch(8));
        assert_eq!((&*term.replicas, &*term.isr), (&REPLICAS[..], &REPLICAS[..2]));
        assert!(term.recovering);
    }

    #[test]
    fn a_believed_epoch_is_the_current_one_or_refused() {
        let check = |believed| check_leader_epoch(LeaderEpoch(3), LeaderEpoch(believed));
        assert_eq!(check(2), Err(ErrorCode::FencedLeaderEpoch));
        assert_eq!(check(3), Ok(()));
        assert_eq!(check(4), Err(ErrorCode::UnknownLeaderEpoch));
    }
}

//! Where a consumer that names its rack may read besides the leader.

use super::state::Leader;
use crate::Moment;
use milena_types::{BrokerId, Offset};

/// A follower that has the offset that a consumer wants, and on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReadableFollower {
    /// Who.
    pub broker: BrokerId,
    /// Its log end, as its last ack said.
    pub log_end: Offset,
    /// When it last had everything.
    pub last_caught_up: Option<Moment>,
}

impl Leader {
    /// The followers in the committed ISR whose log holds `offset`, or ends there. One outside may fall further and further
    /// behind the consumer. Source: `ReplicaManager.findPreferredReadReplica`.
    pub fn readable_followers(&self, offset: Offset) -> impl Iterator<Item = ReadableFollower> {
        let in_sync = self
            .followers
            .iter()
            .filter(|f| self.term.isr.contains(&f.broker));
        in_sync.filter_map(move |follower| {
            let ends = follower.ends().filter(|_| follower.attachment().is_some())?;
            (follower.log_start <= offset && offset <= ends.log_end).then(|| ReadableFollower {
                broker: follower.broker,
                log_end: ends.log_end,
                last_caught_up: follower.last_caught_up(),
            })
        })
    }
}

/// Chooses for a consumer in `rack` from the followers that it may read, given each one's rack: the one whose log goes
/// furthest, then the one that had everything last. `None`: the consumer stays with the leader, which is in its rack, or
/// nobody is. Source: `RackAwareReplicaSelector.java`, `ReplicaView.comparator`, KIP-392.
pub fn rack_aware<'a>(
    rack: &str,
    leader_rack: Option<&str>,
    followers: impl Iterator<Item = (ReadableFollower, Option<&'a str>)>,
) -> Option<BrokerId> {
    if leader_rack == Some(rack) {
        return None;
    }
    let near = followers.filter(|(_, its_rack)| *its_rack == Some(rack));
    near.map(|(follower, _)| follower)
        .max_by_key(|follower| (follower.log_end, follower.last_caught_up, follower.broker))
        .map(|follower| follower.broker)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn follower(broker: i32, log_end: i64, caught_up: u64) -> ReadableFollower {
        ReadableFollower {
            broker: BrokerId(broker),
            log_end: Offset(log_end),
            last_caught_up: Some(Moment(caught_up)),
        }
    }

    #[test]
    fn the_furthest_in_the_rack_is_chosen_unless_the_leader_is_there() {
        let all = [
            (follower(2, 10, 5), Some("b")),
            (follower(3, 12, 4), Some("b")),
            (follower(4, 12, 6), Some("b")),
            (follower(5, 12, 6), Some("b")),
            (follower(6, 20, 9), Some("c")),
            (follower(7, 20, 9), None),
        ];
        let choose = |rack, leader_rack, count| {
            rack_aware(rack, leader_rack, all[..count].iter().copied()).map(|broker| broker.0)
        };
        assert_eq!(choose("b", Some("a"), 1), Some(2));
        assert_eq!(choose("b", Some("a"), 2), Some(3));
        assert_eq!(choose("b", Some("a"), 3), Some(4));
        assert_eq!(choose("b", None, 6), Some(5));
        assert_eq!(choose("c", Some("a"), 6), Some(6));
        assert_eq!(choose("b", Some("b"), 6), None, "the leader is there");
        assert_eq!(choose("d", Some("a"), 6), None, "nobody is there");
    }
}

//! Peers that may be dead: their streams broke, and whether their process is gone is being found out.
//!
//! A client that loses its broker asks another one at once who leads now. The answer of that millisecond still names the dead
//! broker, and a client that has got it does not ask again soon: librdkafka looks at partitions whose broker is down once a
//! second (`rd_kafka_topic_scan_all`). So whoever answers such questions waits while a peer is in doubt, which ends as soon as
//! the peer is fenced, is known to live, or has been doubted for [`HOLD`].

use milena_metadata::MetadataImage;
use milena_types::{BrokerEpoch, BrokerId};
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::time::Instant;

/// The longest time that answers wait for one doubt: a new active controller is elected in less.
pub(super) const HOLD: Duration = Duration::from_secs(1);
/// A peer whose streams keep breaking is doubted once in this time, so that it holds up few answers.
const AGAIN: Duration = Duration::from_secs(5);

/// The peers in doubt. Pure: told what happens, and when.
#[derive(Debug, Default)]
pub(super) struct Doubts(BTreeMap<BrokerId, Doubt>);

#[derive(Debug)]
struct Doubt {
    epoch: BrokerEpoch,
    since: Instant,
    dispelled: bool,
}

impl Doubts {
    /// A peer's stream broke. Returns whether it is in doubt from now on, and was not before.
    pub(super) fn raise(&mut self, image: &MetadataImage, peer: BrokerId, now: Instant) -> bool {
        let Some(epoch) = alive(image, peer) else {
            return false;
        };
        let known = self.0.get(&peer);
        if known.is_some_and(|doubt| doubt.epoch == epoch && now.duration_since(doubt.since) < AGAIN) {
            return false;
        }
        let doubt = Doubt {
            epoch,
            since: now,
            dispelled: false,
        };
        self.0.insert(peer, doubt);
        true
    }

    /// The peer lives. Returns whether that is news.
    pub(super) fn dispel(&mut self, peer: BrokerId) -> bool {
        let doubt = self.0.get_mut(&peer);
        doubt.is_some_and(|doubt| !std::mem::replace(&mut doubt.dispelled, true))
    }

    /// Forgets the peers that the image shows fenced, gone, or registered anew. Returns whether there were any.
    pub(super) fn follow(&mut self, image: &MetadataImage) -> bool {
        let before = self.0.len();
        self.0
            .retain(|peer, doubt| alive(image, *peer) == Some(doubt.epoch));
        self.0.len() < before
    }

    /// The peer was in doubt and lives.
    #[cfg(test)]
    pub(super) fn is_dispelled(&self, peer: BrokerId) -> bool {
        self.0.get(&peer).is_some_and(|doubt| doubt.dispelled)
    }

    /// Until when answers wait, should nothing happen before; `None` when nobody is in doubt.
    pub(super) fn held_until(&self, now: Instant) -> Option<Instant> {
        let open = self.0.values().filter(|doubt| !doubt.dispelled);
        open.map(|doubt| doubt.since + HOLD)
            .filter(|until| *until > now)
            .max()
    }
}

fn alive(image: &MetadataImage, peer: BrokerId) -> Option<BrokerEpoch> {
    let broker = image.broker(peer).filter(|broker| !broker.fenced);
    broker.map(|broker| broker.epoch)
}

#[cfg(test)]
mod tests {
    use super::super::tests::{fenced, image, registered};
    use super::*;

    const PEER: BrokerId = BrokerId(2);

    #[test]
    fn answers_wait_until_the_peer_is_fenced_lives_or_the_time_is_up() {
        let (now, registered) = (Instant::now(), image([registered(2, 7)]));
        let ends: [fn(&mut Doubts) -> bool; 4] = [
            |doubts| doubts.follow(&image([fenced(2, 7)])),
            |doubts| doubts.follow(&image([super::super::tests::registered(2, 8)])),
            |doubts| doubts.follow(&image([])),
            |doubts| doubts.dispel(PEER),
        ];
        for end in ends {
            let mut doubts = Doubts::default();
            assert!(doubts.raise(&registered, PEER, now));
            assert!(!doubts.follow(&registered));
            assert_eq!(doubts.held_until(now), Some(now + HOLD));
            assert_eq!(doubts.held_until(now + HOLD), None);
            assert!(end(&mut doubts));
            assert_eq!(doubts.held_until(now), None);
        }
    }

    #[test]
    fn a_peer_is_doubted_once_in_a_while_and_anew_under_a_new_registration() {
        let (now, first) = (Instant::now(), image([registered(2, 7)]));
        let mut doubts = Doubts::default();
        assert!(doubts.raise(&first, PEER, now));
        assert!(doubts.dispel(PEER));
        let soon = now + AGAIN - Duration::from_millis(1);
        assert!(!doubts.raise(&first, PEER, soon));
        assert_eq!(doubts.held_until(soon), None);
        assert!(doubts.raise(&image([registered(2, 8)]), PEER, soon));
        assert_eq!(doubts.held_until(soon), Some(soon + HOLD));
        assert!(doubts.raise(&image([registered(2, 8)]), PEER, soon + AGAIN));
    }

    #[test]
    fn who_is_fenced_or_unknown_is_not_doubted() {
        let mut doubts = Doubts::default();
        assert!(!doubts.raise(&image([fenced(2, 7)]), PEER, Instant::now()));
        assert!(!doubts.raise(&image([]), PEER, Instant::now()));
        assert!(!doubts.dispel(PEER));
    }
}

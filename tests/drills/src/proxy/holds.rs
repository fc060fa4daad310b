//! Which chunks are held, and how long.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// What a connection is for; known from the listener and its first bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// A client's connection to a broker.
    Broker,
    /// A follower's connection to the broker that leads it.
    Replication,
    /// A broker's, or another controller's, connection to a controller.
    Controller,
}

/// A connection.
#[derive(Clone, Copy, Debug)]
pub(super) struct Link {
    /// The node that was connected to.
    pub(super) node: i32,
    /// The node that has connected; `None` for a client.
    pub(super) from: Option<i32>,
    pub(super) side: Side,
}

/// Chunks in one direction of connections to one node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hold {
    /// The node that was connected to.
    pub node: i32,
    /// Only connections of this node; else of everybody.
    pub from: Option<i32>,
    /// What the connection is for.
    pub side: Side,
    /// Only what the node answers; else only what it is asked.
    pub answers: bool,
    /// So long each chunk is held. Their order stays.
    pub time: Duration,
}

/// The holds in force.
#[derive(Default)]
pub(super) struct Holds {
    list: Mutex<Vec<Hold>>,
    count: AtomicU64,
}

impl Holds {
    pub(super) fn add(&self, hold: Hold) {
        self.list
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(hold);
    }

    pub(super) fn clear(&self) {
        self.list.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    pub(super) fn count(&self) -> u64 {
        self.count.load(Ordering::Relaxed)
    }

    /// How long the chunk that was just read is held.
    pub(super) fn of(&self, link: Link, answers: bool) -> Duration {
        let list = self.list.lock().unwrap_or_else(PoisonError::into_inner);
        let matching = |hold: &&Hold| {
            let to = (hold.node, hold.side, hold.answers) == (link.node, link.side, answers);
            to && (hold.from.is_none() || hold.from == link.from)
        };
        match list.iter().find(matching) {
            Some(hold) => {
                self.count.fetch_add(1, Ordering::Relaxed);
                hold.time
            }
            None => Duration::ZERO,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Duration, Hold, Holds, Link, Side};

    #[test]
    fn only_what_is_named_is_held() {
        let holds = Holds::default();
        let time = Duration::from_secs(3);
        holds.add(Hold {
            node: 1,
            from: Some(2),
            side: Side::Broker,
            answers: true,
            time,
        });
        let of = |node, from, side, answers| holds.of(Link { node, from, side }, answers);
        assert_eq!(of(1, Some(2), Side::Broker, true), time);
        assert_eq!(of(1, Some(2), Side::Broker, false), Duration::ZERO);
        assert_eq!(of(1, Some(2), Side::Replication, true), Duration::ZERO);
        assert_eq!(of(1, Some(3), Side::Broker, true), Duration::ZERO);
        assert_eq!(of(1, None, Side::Broker, true), Duration::ZERO);
        assert_eq!(of(2, Some(2), Side::Broker, true), Duration::ZERO);
        assert_eq!(holds.count(), 1);
        holds.clear();
        assert_eq!(of(1, Some(2), Side::Broker, true), Duration::ZERO);
    }
}

//! The deadlines of one shard: one ordered queue, no task per group.
//!
//! Moving a deadline later, which every heartbeat does, costs one hash lookup: the queue entry stays and is moved when it
//! comes up. Each armed key has exactly one live queue entry, at or before its deadline.

use crate::clock::Deadline;
use crate::group::{GroupId, MemberId};
use std::collections::{BTreeMap, HashMap};

/// What is due.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Timer {
    /// A member, or pending member, has been silent for its session timeout.
    Session(GroupId, MemberId),
    /// Members have had their time to rejoin.
    Join(GroupId),
    /// Members have had their time to sync.
    Sync(GroupId),
    /// Offsets are to be looked through for expired ones.
    Retention,
}

#[derive(Clone, Copy, Debug)]
struct Armed {
    deadline: Deadline,
    queued: (Deadline, u64),
}

/// The deadlines of one shard.
#[derive(Debug, Default)]
pub(crate) struct Timers {
    armed: HashMap<Timer, Armed>,
    queue: BTreeMap<(Deadline, u64), Timer>,
    sequence: u64,
}

impl Timers {
    /// Arms `timer`, or moves its deadline.
    pub(crate) fn schedule(&mut self, timer: Timer, deadline: Deadline) {
        if let Some(armed) = self.armed.get_mut(&timer) {
            armed.deadline = deadline;
            if armed.queued.0 <= deadline {
                return;
            }
            let stale = armed.queued;
            self.queue.remove(&stale);
        }
        self.enqueue(timer, deadline);
    }

    fn enqueue(&mut self, timer: Timer, deadline: Deadline) {
        self.sequence += 1;
        let queued = (deadline, self.sequence);
        self.armed.insert(timer.clone(), Armed { deadline, queued });
        self.queue.insert(queued, timer);
    }

    /// Disarms `timer`.
    pub(crate) fn cancel(&mut self, timer: &Timer) {
        if let Some(armed) = self.armed.remove(timer) {
            self.queue.remove(&armed.queued);
        }
    }

    /// When to look again: never later than the earliest deadline, and possibly before it.
    pub(crate) fn next(&self) -> Option<Deadline> {
        self.queue.keys().next().map(|(deadline, _)| *deadline)
    }

    /// Takes one timer that is due at `now`, disarmed.
    pub(crate) fn pop(&mut self, now: Deadline) -> Option<Timer> {
        loop {
            let entry = self.queue.first_entry().filter(|entry| entry.key().0 <= now)?;
            let timer = entry.remove();
            match self.armed.get(&timer).map(|armed| armed.deadline) {
                Some(deadline) if deadline > now => self.enqueue(timer, deadline),
                Some(_) => {
                    self.armed.remove(&timer);
                    return Some(timer);
                }
                None => debug_assert!(false, "a queue entry outlived its timer"),
            }
        }
    }

    /// How many timers are armed.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        debug_assert_eq!(self.armed.len(), self.queue.len());
        self.armed.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn session(member: &str) -> Timer {
        Timer::Session("g".into(), member.into())
    }

    #[test]
    fn timers_come_due_in_order_and_once() {
        let mut timers = Timers::default();
        timers.schedule(session("b"), Deadline(20));
        timers.schedule(session("a"), Deadline(10));
        assert_eq!(timers.next(), Some(Deadline(10)));
        assert_eq!(timers.pop(Deadline(9)), None);
        assert_eq!(timers.pop(Deadline(25)), Some(session("a")));
        assert_eq!(timers.pop(Deadline(25)), Some(session("b")));
        assert_eq!(timers.pop(Deadline(25)), None);
        assert_eq!(timers.len(), 0);
    }

    #[test]
    fn a_deadline_moves_later_earlier_and_away() {
        let mut timers = Timers::default();
        timers.schedule(session("a"), Deadline(10));
        timers.schedule(session("a"), Deadline(30));
        assert_eq!(timers.pop(Deadline(29)), None);
        assert_eq!(timers.len(), 1);
        timers.schedule(session("a"), Deadline(5));
        assert_eq!(timers.pop(Deadline(5)), Some(session("a")));
        timers.schedule(session("a"), Deadline(10));
        timers.cancel(&session("a"));
        assert_eq!(timers.pop(Deadline(100)), None);
        assert_eq!(timers.next(), None);
    }
}

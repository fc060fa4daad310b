//! The history while it is written, by the threads of all clients.

use crate::clock::Clock;
use crate::oracle::{End, History, Id, Op, Seen};
use std::collections::HashMap;
use std::ops::RangeInclusive;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

#[derive(Default)]
struct Pages {
    ops: Vec<Op>,
    /// Where each record is in `ops`.
    index: HashMap<Id, usize>,
    polled: Vec<Seen>,
    /// Why a producer gave up for good.
    fatal: Option<String>,
}

/// Shared by the clients of one topic.
#[derive(Clone)]
pub struct Ledger {
    clock: Clock,
    pages: Arc<Mutex<Pages>>,
}

impl Ledger {
    /// An empty one.
    #[must_use]
    pub fn new(clock: Clock) -> Self {
        Self {
            clock,
            pages: Arc::default(),
        }
    }

    fn pages(&self) -> MutexGuard<'_, Pages> {
        // A thread that panicked has noted a whole entry or none.
        self.pages
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// A record is about to be handed to its producer.
    pub fn invoke(&self, id: Id, partition: i32) {
        let invoked = self.clock.now();
        let mut pages = self.pages();
        let at = pages.ops.len();
        pages.index.insert(id, at);
        pages.ops.push(Op {
            id,
            partition,
            invoked,
            end: None,
        });
    }

    /// The producer was told of it.
    pub fn end(&self, id: Id, end: End) {
        let now = self.clock.now();
        let mut pages = self.pages();
        if let Some(at) = pages.index.get(&id).copied() {
            pages.ops[at].end = Some((now, end));
        }
    }

    /// A producer sends nothing any more: it was told what cannot be, such as a gap in the sequence of its records.
    pub fn fatal(&self, reason: &str) {
        self.pages().fatal.get_or_insert_with(|| reason.to_owned());
    }

    /// Why a producer sends nothing any more.
    #[must_use]
    pub fn why_fatal(&self) -> Option<String> {
        self.pages().fatal.clone()
    }

    /// A consumer was given it.
    pub fn polled(&self, seen: Seen) {
        self.pages().polled.push(seen);
    }

    /// Acknowledgements so far of records of these partitions that were handed over after `since`.
    #[must_use]
    pub fn acknowledged_of(&self, partitions: &[i32], since: Duration) -> usize {
        let pages = self.pages();
        let recent = pages.ops.iter().rev().take_while(|op| op.invoked >= since);
        let ok = |op: &&Op| {
            op.end.as_ref().is_some_and(|(_, end)| end.is_ok()) && partitions.contains(&op.partition)
        };
        recent.filter(ok).count()
    }

    /// Records of these partitions that were handed over within `sent`, and acknowledged only after `late`.
    #[must_use]
    pub fn acknowledged_late(
        &self,
        partitions: &[i32],
        sent: RangeInclusive<Duration>,
        late: Duration,
    ) -> usize {
        let pages = self.pages();
        let of = pages.ops.iter().filter(|op| partitions.contains(&op.partition));
        let is_late = |op: &&Op| op.end.as_ref().is_some_and(|(at, end)| end.is_ok() && *at > late);
        of.filter(|op| sent.contains(&op.invoked)).filter(is_late).count()
    }

    /// What is written so far; `in_the_end` is empty.
    #[must_use]
    pub fn history(&self) -> History {
        let pages = self.pages();
        History {
            ops: pages.ops.clone(),
            polled: pages.polled.clone(),
            ..History::default()
        }
    }
}

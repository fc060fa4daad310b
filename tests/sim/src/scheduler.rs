//! The only source of progress: events in the order of their time, and of their making where that is the same.

use crate::event::Event;
use crate::time::Micros;
use std::cmp::Ordering;
use std::collections::BinaryHeap;

/// What is going to happen.
#[derive(Debug, Default)]
pub struct Scheduler {
    heap: BinaryHeap<Entry>,
    made: u64,
}

#[derive(Debug)]
struct Entry {
    at: Micros,
    number: u64,
    event: Event,
}

impl Ord for Entry {
    fn cmp(&self, other: &Self) -> Ordering {
        (other.at, other.number).cmp(&(self.at, self.number))
    }
}

impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        self.number == other.number
    }
}

impl Eq for Entry {}

impl Scheduler {
    /// Makes an event happen at that time.
    pub fn at(&mut self, at: Micros, event: Event) {
        let number = self.made;
        self.made += 1;
        self.heap.push(Entry { at, number, event });
    }

    /// The next event, if it happens before `end`.
    pub fn pop(&mut self, end: Micros) -> Option<(Micros, Event)> {
        if self.heap.peek()?.at > end {
            return None;
        }
        self.heap.pop().map(|entry| (entry.at, entry.event))
    }

    /// How many events were made so far.
    #[must_use]
    pub fn made(&self) -> u64 {
        self.made
    }
}

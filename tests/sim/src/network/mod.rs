//! The network: requests that are lost, doubled and late, streams in order that break, and links that are cut in one direction.

pub mod call;
pub mod stream;

use crate::event::Host;
use milena_types::BrokerId;
use std::collections::{BTreeMap, BTreeSet};

/// A place in the network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// A broker's machine.
    Broker(BrokerId),
    /// The controllers, seen as one.
    Controller,
}

/// Who reaches whom, and the streams.
#[derive(Debug, Default)]
pub struct Network {
    /// Directions that are cut, with the number of the cut.
    cuts: BTreeMap<(Place, Place), u64>,
    /// Grows with each disturbance.
    disturbances: u64,
    /// Processes that stand still.
    pub paused: BTreeSet<BrokerId>,
    /// Streams that at least one end takes for open.
    pub(crate) streams: BTreeMap<u64, stream::Stream>,
    next_stream: u64,
    next_call: u64,
}

impl Network {
    /// True when messages from `from` come through to `to`.
    #[must_use]
    pub fn is_open(&self, from: Place, to: Place) -> bool {
        !self.cuts.contains_key(&(from, to))
    }

    /// Cuts one direction. The number names the disturbance.
    pub fn cut(&mut self, from: Place, to: Place) -> u64 {
        self.disturbances += 1;
        self.cuts.insert((from, to), self.disturbances);
        self.disturbances
    }

    /// Mends one direction.
    pub fn mend(&mut self, from: Place, to: Place) {
        self.cuts.remove(&(from, to));
    }

    /// A process stands still, or goes on.
    pub fn pause(&mut self, broker: BrokerId, stands: bool) {
        if stands {
            self.paused.insert(broker);
        } else {
            self.paused.remove(&broker);
        }
    }

    /// Both directions between two brokers are open.
    #[must_use]
    pub fn is_sound(&self, one: BrokerId, other: BrokerId) -> bool {
        let (one, other) = (Place::Broker(one), Place::Broker(other));
        self.is_open(one, other) && self.is_open(other, one)
    }

    /// A number for the next call.
    pub fn name_call(&mut self) -> u64 {
        self.next_call += 1;
        self.next_call
    }

    /// The streams of one process, or of all.
    #[must_use]
    pub fn streams_of(&self, host: Option<Host>) -> Vec<u64> {
        let of = |stream: &stream::Stream| {
            host.is_none_or(|host| stream.follower == host || stream.leader == host)
        };
        let found = self.streams.iter().filter(|(_, stream)| of(stream));
        found.map(|(number, _)| *number).collect()
    }
}

//! The network: requests that are lost, doubled and late, streams in order that break, and links that are cut in one direction.

pub mod call;
pub mod stream;

use crate::event::Host;
use crate::time::Micros;
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

/// Messages that may be held on their way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Held {
    /// The metadata, to that broker.
    Metadata(BrokerId),
    /// What that broker asks the controller to change about its partitions.
    Alter(BrokerId),
    /// Replication, from the first to the second.
    Replication(BrokerId, BrokerId),
    /// Likewise, by the streams only that are open when it begins.
    OpenStreams(BrokerId, BrokerId),
}

/// Who reaches whom, and the streams.
#[derive(Debug, Default)]
pub struct Network {
    /// Directions that are cut, with the number of the cut.
    cuts: BTreeMap<(Place, Place), u64>,
    /// Grows with each disturbance.
    disturbances: u64,
    /// Until when what is sent is held, and the last stream that was opened before.
    held: BTreeMap<Held, (Micros, u64)>,
    /// The broker on the machine of a controller that was deposed and does not know it.
    pub beside: Option<BrokerId>,
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

    /// Such messages are held until then.
    pub fn hold(&mut self, what: Held, until: Micros) {
        self.held.insert(what, (until, self.next_stream));
    }

    /// When such a message arrives that would do so at `usual`.
    #[must_use]
    pub fn arrives(&self, what: Held, usual: Micros) -> Micros {
        self.held.get(&what).map_or(usual, |(until, _)| usual.max(*until))
    }

    /// Likewise, of a message by that stream.
    #[must_use]
    pub fn arrives_by(&self, stream: u64, what: Held, usual: Micros) -> Micros {
        let held = self.held.get(&what).filter(|(_, last)| stream <= *last);
        held.map_or(usual, |(until, _)| usual.max(*until))
    }

    /// Everything that is sent from now on arrives as usual.
    pub fn release(&mut self) {
        self.held.clear();
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

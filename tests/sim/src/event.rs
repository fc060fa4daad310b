//! Everything that can happen next.

use crate::client::message::{Answer, ProducerTimer, ToLeader};
use crate::network::call::{Reply, Request, Sender};
use crate::network::stream::{End, Message};
use milena_replication::ProposalId;
use milena_types::{BrokerEpoch, BrokerId, TopicIdPartition};

/// One run of a broker's process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Host {
    /// Which broker.
    pub broker: BrokerId,
    /// Which run of it, from 1.
    pub run: u32,
}

/// An event.
#[derive(Debug)]
pub enum Event {
    /// A request reaches the controller.
    Request(Box<Request>),
    /// Its answer reaches who asked.
    Reply(Sender, u64, Box<Reply>),
    /// A broker asks for the metadata from its version on.
    Subscribe(Host),
    /// Metadata up to that version reaches a broker.
    News(Host, u64),
    /// Something of the controller is due.
    Controller(ControllerTimer),
    /// Something of a broker's process is due.
    Broker(Host, BrokerTimer),
    /// A broker's machine starts its process.
    Boot(BrokerId),
    /// A message reaches one end of a stream.
    Message(u64, End, Box<Message>),
    /// One end of a stream learns that it is broken.
    Broken(u64, End),
    /// One end of a stream looks whether it has heard of the other; with the number of the disturbance that began.
    KeepAlive(u64, End, u64),
    /// A client's request reaches a broker.
    ToLeader(Host, Box<ToLeader>),
    /// Its answer reaches the client.
    Answer(Box<Answer>),
    /// Something of a producer is due.
    Producer(usize, ProducerTimer),
    /// A consumer asks again.
    Consumer(usize),
    /// The administrator does something.
    Admin,
    /// The fault of that number begins.
    Fault(usize),
    /// The fault of that number ends.
    FaultEnds(usize),
}

/// What the controller does by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ControllerTimer {
    /// A batch is committed, in that term.
    Committed(u64),
    /// Sessions and periodic elections are looked at.
    Tick,
    /// The active controller is gone.
    Fail,
    /// A controller is elected.
    Elected,
    /// A controller that was deposed hears of it.
    Undeceived,
    /// Somebody looks whether a process still lives that may have ended.
    Probe(Host),
}

/// What a broker's process does by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BrokerTimer {
    /// Registers.
    Register,
    /// A heartbeat is due.
    Heartbeat,
    /// An attempt of a call has taken too long.
    Attempt(u64),
    /// The partitions follow the metadata that has come.
    Follow,
    /// Asks for metadata again if none has come.
    Subscription,
    /// A log is open.
    Opened(TopicIdPartition),
    /// The group that is being flushed is on disk.
    Flushed,
    /// Followers that lag are looked at.
    IsrTick,
    /// A proposal may be made again.
    IsrRetry(TopicIdPartition, ProposalId),
    /// Checkpoints are written.
    Checkpoint,
    /// A stream to that leader is tried.
    Connect(BrokerId),
    /// A partition is attached again.
    Attach(TopicIdPartition),
    /// Others have been waited for long enough.
    Waited(TopicIdPartition),
    /// A report may be made again.
    Settle(TopicIdPartition),
    /// A killed process that was to die amid a write dies at last.
    Die,
    /// The stop that was asked for takes too long.
    StopOverdue(Option<BrokerEpoch>),
}

//! Replication streams: in order in each direction, stalled by a cut, and broken for each end at its own time.

use super::{Held, Network, Place};
use crate::cx::Cx;
use crate::event::{Event, Host};
use crate::settings::Class;
use crate::time::Micros;
use bytes::Bytes;
use milena_replication::LogEnds;
use milena_types::{BrokerEpoch, ErrorCode, LeaderEpoch, Offset, TopicIdPartition};

/// An end of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Who opened it.
    Follower,
    /// Who feeds.
    Leader,
}

impl End {
    fn other(self) -> Self {
        match self {
            End::Follower => End::Leader,
            End::Leader => End::Follower,
        }
    }
}

/// What goes over a stream.
#[derive(Clone, Debug)]
pub enum Message {
    /// The follower says who it is.
    Hello(BrokerEpoch),
    /// It wants a partition.
    Attach {
        /// How it names the attachment.
        attach: u64,
        /// Which.
        id: TopicIdPartition,
        /// The epoch of the leader that it believes in.
        leader_epoch: LeaderEpoch,
        /// The epoch of its last record.
        last_epoch: Option<LeaderEpoch>,
        /// How far it is.
        ends: LogEnds,
    },
    /// How far it is now.
    Ack {
        /// By which attachment.
        attach: u64,
        /// How far.
        ends: LogEnds,
        /// Its first offset.
        log_start: Offset,
    },
    /// It wants a partition no more.
    Detach(u64),
    /// The leader's word on an attachment.
    Frame(u64, Frame),
}

/// The leader's word on one attachment.
#[derive(Clone, Debug)]
pub enum Frame {
    /// Records, and news.
    Data {
        /// Whole batches; may be none.
        records: Bytes,
        /// The leader's high watermark.
        high_watermark: Offset,
        /// Its first offset.
        log_start: Offset,
    },
    /// The logs have parted.
    Diverged(LeaderEpoch, Offset, Offset, Option<LeaderEpoch>),
    /// The follower's end lies outside of the leader's log.
    OutOfRange(Offset, Offset, Option<LeaderEpoch>),
    /// Not now.
    Refused(ErrorCode),
}

/// One stream.
#[derive(Debug)]
pub struct Stream {
    /// Who opened it.
    pub follower: Host,
    /// Who feeds.
    pub leader: Host,
    open: [bool; 2],
    last: [Micros; 2],
    stalled: [Vec<Message>; 2],
}

impl Stream {
    /// The process at an end.
    #[must_use]
    pub fn host(&self, end: End) -> Host {
        match end {
            End::Follower => self.follower,
            End::Leader => self.leader,
        }
    }

    fn way(&self, from: End) -> (Place, Place) {
        let place = |end| Place::Broker(self.host(end).broker);
        (place(from), place(from.other()))
    }

    /// That end takes it for open.
    #[must_use]
    pub fn is_open(&self, end: End) -> bool {
        self.open[end as usize]
    }
}

/// Opens a stream; the leader's process is the one that listens now.
pub fn open(cx: &mut Cx, follower: Host, leader: Host, epoch: BrokerEpoch) -> u64 {
    cx.network.next_stream += 1;
    let number = cx.network.next_stream;
    let stream = Stream {
        follower,
        leader,
        open: [true, true],
        last: [cx.now; 2],
        stalled: [Vec::new(), Vec::new()],
    };
    cx.network.streams.insert(number, stream);
    send(cx, number, End::Follower, Message::Hello(epoch));
    number
}

/// Sends a message from one end.
pub fn send(cx: &mut Cx, number: u64, from: End, message: Message) {
    let latency = cx.settings.latency(Class::Replication, &mut cx.random);
    let Some(stream) = cx.network.streams.get(&number) else {
        return;
    };
    if !stream.is_open(from) {
        return;
    }
    let (there, here) = stream.way(from);
    let is_cut = !cx.network.is_open(there, here);
    let usual = (stream.last[from as usize] + 1).max(cx.now + latency);
    let (one, other) = (stream.host(from).broker, stream.host(from.other()).broker);
    let at = cx.network.arrives(Held::Replication(one, other), usual);
    let at = cx.network.arrives_by(number, Held::OpenStreams(one, other), at);
    let Some(stream) = cx.network.streams.get_mut(&number) else {
        return;
    };
    let way = from as usize;
    if is_cut || !stream.stalled[way].is_empty() {
        stream.stalled[way].push(message);
        return;
    }
    stream.last[way] = at;
    cx.scheduler
        .at(at, Event::Message(number, from.other(), Box::new(message)));
}

/// True when a message or word of the break may be given to that end.
#[must_use]
pub fn takes(network: &Network, number: u64, end: End) -> bool {
    network
        .streams
        .get(&number)
        .is_some_and(|stream| stream.is_open(end))
}

/// One end gives the stream up; the other one hears of it if the link lets it, or by the silence.
pub fn close(cx: &mut Cx, number: u64, end: End) {
    let latency = cx.settings.latency(Class::Replication, &mut cx.random);
    let silence = cx
        .random
        .between(cx.settings.keep_alive / 3, cx.settings.keep_alive);
    let Some(stream) = cx.network.streams.get_mut(&number) else {
        return;
    };
    stream.open[end as usize] = false;
    if !stream.open[end.other() as usize] {
        cx.network.streams.remove(&number);
        return;
    }
    let (there, here) = stream.way(end);
    let last = stream.last[end as usize];
    let is_open = cx.network.is_open(there, here);
    let at = match is_open {
        true => (last + 1).max(cx.now + latency),
        false => cx.now + silence,
    };
    cx.scheduler.at(at, Event::Broken(number, end.other()));
}

/// A whole process, or its machine, is gone. Of a machine without power nothing is heard.
pub fn drop_host(cx: &mut Cx, host: Host, is_silent: bool) {
    for number in cx.network.streams_of(Some(host)) {
        let Some(stream) = cx.network.streams.get_mut(&number) else {
            continue;
        };
        let end = if stream.follower == host {
            End::Follower
        } else {
            End::Leader
        };
        if is_silent {
            stream.open[end as usize] = false;
            let silence = cx
                .random
                .between(cx.settings.keep_alive / 3, cx.settings.keep_alive);
            cx.after(silence, Event::Broken(number, end.other()));
        } else {
            close(cx, number, end);
        }
    }
}

/// A link was cut, or a process stands still: whoever does not hear of the other for too long gives the stream up.
pub fn watch(cx: &mut Cx, disturbance: u64, touched: impl Fn(&Stream) -> bool) {
    for number in cx.network.streams_of(None) {
        if !cx.network.streams.get(&number).is_some_and(&touched) {
            continue;
        }
        for end in [End::Follower, End::Leader] {
            let patience = cx
                .random
                .between(cx.settings.keep_alive / 3, cx.settings.keep_alive);
            cx.after(patience, Event::KeepAlive(number, end, disturbance));
        }
    }
}

/// A cut was mended: what was stalled goes on.
pub fn resume(cx: &mut Cx) {
    for number in cx.network.streams_of(None) {
        for from in [End::Follower, End::Leader] {
            let Some(stream) = cx.network.streams.get_mut(&number) else {
                continue;
            };
            let (there, here) = stream.way(from);
            if !cx.network.is_open(there, here) {
                continue;
            }
            let Some(stream) = cx.network.streams.get_mut(&number) else {
                continue;
            };
            for message in std::mem::take(&mut stream.stalled[from as usize]) {
                send(cx, number, from, message);
            }
        }
    }
}

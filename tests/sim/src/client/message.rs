//! What clients and leaders say to each other.

use crate::cx::Cx;
use crate::event::{Event, Host};
use crate::settings::Class;
use bytes::Bytes;
use milena_types::{Acks, ErrorCode, Offset, TopicIdPartition};

/// A client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Party {
    /// A producer.
    Producer(usize),
    /// A consumer.
    Consumer(usize),
    /// The administrator.
    Admin,
}

/// What is asked of a leader.
#[derive(Clone, Debug)]
pub enum Ask {
    /// To append one batch.
    Produce(Bytes, Acks),
    /// To read from that offset on.
    Fetch(Offset),
    /// Where the end is.
    Latest,
    /// Where the beginning is.
    Earliest,
    /// To delete the records below that part, of a thousand, of what is committed.
    DeleteRecords(i64),
}

/// A request to a leader.
#[derive(Clone, Debug)]
pub struct ToLeader {
    /// Who asks.
    pub from: Party,
    /// Which request of theirs.
    pub number: u64,
    /// Of which partition.
    pub id: TopicIdPartition,
    /// What.
    pub ask: Ask,
}

/// A leader's answer.
#[derive(Clone, Debug)]
pub struct Answer {
    /// Who asked.
    pub to: Party,
    /// Which request.
    pub number: u64,
    /// Kafka's code.
    pub error: ErrorCode,
    /// Where a batch lies.
    pub base: Option<Offset>,
    /// What was read.
    pub records: Bytes,
    /// Where to go on.
    pub next: Offset,
}

/// What is due at a producer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProducerTimer {
    /// It has something to write.
    Write,
    /// Batches without an answer are sent again.
    Retry,
}

/// Sends a request to a leader; it may be lost.
pub fn ask(cx: &mut Cx, to: Host, request: ToLeader) {
    if !cx.healed && cx.random.chance(cx.settings.lost) {
        return;
    }
    let latency = cx.settings.latency(Class::Client, &mut cx.random);
    cx.after(latency, Event::ToLeader(to, Box::new(request)));
}

fn send(cx: &mut Cx, asked: &ToLeader, answer: impl FnOnce(Party, u64) -> Answer) {
    if !cx.healed && cx.random.chance(cx.settings.lost) {
        return;
    }
    let latency = cx.settings.latency(Class::Client, &mut cx.random);
    cx.after(latency, Event::Answer(Box::new(answer(asked.from, asked.number))));
}

/// Refuses a request.
pub fn refuse(cx: &mut Cx, from: Host, asked: &ToLeader, error: ErrorCode) {
    cx.trace
        .note(&[0xee, u64::from(from.run), i64::from(error.code()).cast_unsigned()]);
    send(cx, asked, |to, number| Answer {
        to,
        number,
        error,
        base: None,
        records: Bytes::new(),
        next: Offset::ZERO,
    });
}

/// Says where a batch lies, or why that does not count.
pub fn acknowledge(cx: &mut Cx, from: Host, asked: &ToLeader, base: Offset, error: ErrorCode) {
    cx.trace
        .note(&[0xac, u64::from(from.run), base.0.cast_unsigned()]);
    send(cx, asked, |to, number| Answer {
        to,
        number,
        error,
        base: error.is_none().then_some(base),
        records: Bytes::new(),
        next: Offset::ZERO,
    });
}

/// Gives records, or the offset that was asked for.
pub fn records(
    cx: &mut Cx,
    _from: Host,
    asked: &ToLeader,
    records: Bytes,
    next: Offset,
    _high_watermark: Offset,
) {
    send(cx, asked, |to, number| Answer {
        to,
        number,
        error: ErrorCode::None,
        base: None,
        records,
        next,
    });
}

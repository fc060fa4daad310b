//! Producers. Those that want all acknowledgements are idempotent, have up to five batches in flight in each partition, and send
//! each again until it is acknowledged; the others send each batch once.

use super::look_up;
use super::message::{Answer, Ask, Party, ProducerTimer, ToLeader, ask};
use crate::broker::Broker;
use crate::cx::Cx;
use crate::event::Event;
use crate::oracle::Sent;
use crate::say;
use crate::time::{MILLI, Micros, timestamp};
use bytes::Bytes;
use milena_record::{BatchBuilder, Compression, TimestampType};
use milena_types::{Acks, ErrorCode, Offset, ProducerEpoch, ProducerId, TopicPartition};
use std::collections::VecDeque;

const IN_FLIGHT_MAX: usize = 5;
/// After so many refusals of the first batch as out of order the producer begins anew.
const OUT_OF_ORDER_MAX: u32 = 4;

/// A producer.
#[derive(Debug)]
pub struct Producer {
    number: usize,
    acks: Acks,
    id: i64,
    lanes: Vec<Lane>,
    next_request: u64,
    stopped: bool,
}

/// What it writes to one partition.
#[derive(Debug)]
struct Lane {
    name: TopicPartition,
    next_sequence: i32,
    written: u64,
    in_flight: VecDeque<Batch>,
    out_of_order: u32,
}

/// A batch without an acknowledgement.
#[derive(Debug)]
struct Batch {
    first: u64,
    count: i32,
    sequence: i32,
    bytes: Bytes,
    /// The request under way, and until when it is waited for.
    asked: Option<(u64, Micros)>,
    /// It was sent before, in vain as far as is known.
    retried: bool,
    /// It is acknowledged; one before it is not.
    done: bool,
}

impl Producer {
    /// One that writes to these partitions.
    #[must_use]
    pub fn new(number: usize, acks: Acks, names: &[TopicPartition]) -> Self {
        let lane = |name: &TopicPartition| Lane {
            name: name.clone(),
            next_sequence: 0,
            written: 0,
            in_flight: VecDeque::new(),
            out_of_order: 0,
        };
        Self {
            number,
            acks,
            id: 1_000 + i64::try_from(number).unwrap_or(0) * 1_000,
            lanes: names.iter().map(lane).collect(),
            next_request: 0,
            stopped: false,
        }
    }

    /// Writes nothing new any more.
    pub fn stop(&mut self) {
        self.stopped = true;
    }

    /// True when nothing waits to be acknowledged.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.lanes.iter().all(|lane| lane.in_flight.is_empty())
    }

    /// What waits, for people.
    #[must_use]
    pub fn waits_for(&self) -> String {
        let waiting = self.lanes.iter().filter(|lane| !lane.in_flight.is_empty());
        let waiting: Vec<String> = waiting
            .map(|lane| format!("{} from {}", lane.name, lane.in_flight[0].sequence))
            .collect();
        format!("producer {}: {}", self.number, waiting.join(", "))
    }

    /// Something is due.
    pub fn on_timer(&mut self, cx: &mut Cx, brokers: &[Broker], timer: ProducerTimer) {
        match timer {
            ProducerTimer::Write => {
                if self.stopped {
                    return;
                }
                let lane = cx.random.below(self.lanes.len() as u64);
                self.write(cx, usize::try_from(lane).unwrap_or(0));
                let pause = cx
                    .random
                    .between(cx.settings.write_pause / 4, cx.settings.write_pause);
                cx.after(pause, Event::Producer(self.number, ProducerTimer::Write));
            }
            ProducerTimer::Retry => {
                let pause = cx.random.between(40, 120) * MILLI;
                cx.after(pause, Event::Producer(self.number, ProducerTimer::Retry));
            }
        }
        for lane in 0..self.lanes.len() {
            self.send(cx, brokers, lane);
        }
    }

    fn write(&mut self, cx: &mut Cx, at: usize) {
        let count = i32::try_from(1 + cx.random.below(cx.settings.batch_records)).unwrap_or(1);
        let Some(lane) = self.lanes.get_mut(at) else {
            return;
        };
        if lane.in_flight.len() >= IN_FLIGHT_MAX {
            if self.acks == Acks::All {
                return;
            }
            lane.in_flight.clear();
        }
        let (first, sequence) = (lane.written, lane.next_sequence);
        lane.written += u64::try_from(count).unwrap_or(0);
        lane.next_sequence += count;
        let producer = (self.acks == Acks::All).then_some(ProducerId(self.id));
        let bytes = build(cx, self.number, at, first, count, producer, sequence);
        let sent = Sent {
            producer: self.number,
            lane: at,
            first,
            count,
            idempotent: producer.is_some(),
            repeated: false,
        };
        cx.oracle.on_sent(&bytes, sent);
        let Some(lane) = self.lanes.get_mut(at) else {
            return;
        };
        lane.in_flight.push_back(Batch {
            first,
            count,
            sequence,
            bytes,
            asked: None,
            retried: false,
            done: false,
        });
    }

    /// Sends what is not under way, in order.
    fn send(&mut self, cx: &mut Cx, brokers: &[Broker], at: usize) {
        let (from, acks) = (Party::Producer(self.number), self.acks);
        let Some(lane) = self.lanes.get_mut(at) else {
            return;
        };
        let now = cx.now;
        let due = |batch: &Batch| !batch.done && batch.asked.is_none_or(|(_, until)| until <= now);
        if !lane.in_flight.iter().any(due) {
            return;
        }
        let Some((id, Some(leader))) = look_up(cx, brokers, &lane.name) else {
            return;
        };
        // A partition that does not know the producer takes any sequence for its first: it is to be the first one. And behind
        // one that is sent again the others wait. Source: `RecordAccumulator.shouldStopDrainBatchesForPartition`.
        let alone = lane
            .in_flight
            .front()
            .is_some_and(|first| first.retried || first.sequence == 0);
        let sent_at_once = if alone { 1 } else { IN_FLIGHT_MAX };
        for batch in lane.in_flight.iter_mut().take(sent_at_once) {
            if !due(batch) {
                continue;
            }
            self.next_request += 1;
            let number = self.next_request;
            batch.retried |= batch.asked.is_some();
            batch.asked = Some((number, cx.now + 2_000 * MILLI));
            let request = ToLeader {
                from,
                number,
                id,
                ask: Ask::Produce(batch.bytes.clone(), acks),
            };
            ask(cx, leader, request);
        }
        if acks != Acks::All {
            lane.in_flight.clear();
        }
    }

    /// A leader has answered.
    pub fn on_answer(&mut self, cx: &mut Cx, answer: &Answer) {
        let is_it = |batch: &Batch| batch.asked.is_some_and(|(number, _)| number == answer.number);
        let found = self.lanes.iter().enumerate().find_map(|(lane, known)| {
            let batch = known.in_flight.iter().position(is_it)?;
            Some((lane, batch))
        });
        let Some((at, position)) = found else { return };
        let Some(lane) = self.lanes.get_mut(at) else {
            return;
        };
        match answer.error {
            ErrorCode::None | ErrorCode::DuplicateSequenceNumber => {
                lane.out_of_order = 0;
                if let Some(batch) = lane.in_flight.get_mut(position) {
                    batch.done = true;
                }
                // The span of sequences in flight is bounded, not only their number: the broker knows five.
                while lane.in_flight.front().is_some_and(|first| first.done) {
                    lane.in_flight.pop_front();
                }
                cx.coverage.acked += 1;
            }
            error => {
                if let Some(batch) = lane.in_flight.get_mut(position) {
                    let pause = cx.random.between(10, 100) * MILLI;
                    batch.asked = Some((u64::MAX, cx.now + pause));
                }
                if error == ErrorCode::OutOfOrderSequenceNumber && position == 0 {
                    lane.out_of_order += 1;
                    if lane.out_of_order > OUT_OF_ORDER_MAX {
                        self.begin_anew(cx, at);
                    }
                }
            }
        }
    }

    /// The partition does not know where this producer is: it goes on under another id, and what was under way may be there
    /// twice. Source: `TransactionManager.bumpIdempotentProducerEpoch`.
    fn begin_anew(&mut self, cx: &mut Cx, at: usize) {
        say!(cx, "producer {} begins anew in lane {at}", self.number);
        cx.coverage.producer_begun_anew += 1;
        self.id += 1;
        let (number, producer) = (self.number, ProducerId(self.id));
        // Other lanes' sequences go on from 0 under the new id as well.
        for (at, lane) in self.lanes.iter_mut().enumerate() {
            lane.out_of_order = 0;
            lane.in_flight.retain(|batch| !batch.done);
            let mut sequence = 0;
            for batch in &mut lane.in_flight {
                let bytes = build(cx, number, at, batch.first, batch.count, Some(producer), sequence);
                let sent = Sent {
                    producer: number,
                    lane: at,
                    first: batch.first,
                    count: batch.count,
                    idempotent: true,
                    repeated: true,
                };
                cx.oracle.on_sent(&bytes, sent);
                (batch.bytes, batch.sequence, batch.asked) = (bytes, sequence, None);
                batch.retried = true;
                sequence += batch.count;
            }
            lane.next_sequence = sequence;
        }
    }
}

/// A batch whose values are unique.
fn build(
    cx: &mut Cx,
    number: usize,
    lane: usize,
    first: u64,
    count: i32,
    producer: Option<ProducerId>,
    sequence: i32,
) -> Bytes {
    let producer = producer.map(|id| (id, ProducerEpoch(0), sequence));
    let (codec, times) = (Compression::None, TimestampType::CreateTime);
    let mut builder = BatchBuilder::new(Offset::ZERO, codec, times, producer, false, false);
    let now = timestamp(cx.now);
    for record in 0..u64::try_from(count).unwrap_or(0) {
        let filler = usize::try_from(cx.random.below(40)).unwrap_or(0);
        let mut value = vec![b'.'; 18 + filler];
        value[..8].copy_from_slice(&(first + record).to_be_bytes());
        value[8..16].copy_from_slice(&(number as u64).to_be_bytes());
        value[16..18].copy_from_slice(&(lane as u16).to_be_bytes());
        builder.append(now, None, Some(&value), &[]);
    }
    builder.build().freeze()
}

//! Consumers: they read one partition after the other up to what is committed, and ask where the end is.

use super::look_up;
use super::message::{Answer, Ask, Party, ToLeader, ask};
use crate::broker::Broker;
use crate::cx::Cx;
use crate::event::Event;
use crate::time::MILLI;
use milena_types::{ErrorCode, Offset, TopicPartition};

/// A consumer.
#[derive(Debug)]
pub struct Consumer {
    number: usize,
    /// Where it is; `None`: it has to ask where to begin.
    positions: Vec<(TopicPartition, Option<Offset>)>,
    asked: Option<(u64, usize)>,
    next_request: u64,
}

impl Consumer {
    /// One that reads these partitions from their beginning.
    #[must_use]
    pub fn new(number: usize, names: &[TopicPartition]) -> Self {
        Self {
            number,
            positions: names.iter().map(|name| (name.clone(), None)).collect(),
            asked: None,
            next_request: 0,
        }
    }

    /// It asks again.
    pub fn poll(&mut self, cx: &mut Cx, brokers: &[Broker]) {
        let again = cx.random.between(60, 260) * MILLI;
        cx.after(again, Event::Consumer(self.number));
        let at = usize::try_from(cx.random.below(self.positions.len() as u64)).unwrap_or(0);
        let Some((name, position)) = self.positions.get(at).cloned() else {
            return;
        };
        let Some((id, Some(leader))) = look_up(cx, brokers, &name) else {
            return;
        };
        let latest = cx.random.one_in(5);
        self.next_request += 1;
        self.asked = Some((self.next_request, if latest { usize::MAX } else { at }));
        let request = ToLeader {
            from: Party::Consumer(self.number),
            number: self.next_request,
            id,
            ask: match position {
                _ if latest => Ask::Latest,
                Some(position) => Ask::Fetch(position),
                None => Ask::Earliest,
            },
        };
        ask(cx, leader, request);
    }

    /// A leader has answered.
    pub fn on_answer(&mut self, cx: &mut Cx, answer: &Answer) {
        let Some((_, at)) = self.asked.take_if(|(number, _)| *number == answer.number) else {
            return;
        };
        let Some((_, position)) = self.positions.get_mut(at) else {
            return;
        };
        match answer.error {
            ErrorCode::None => {
                cx.coverage.read += u64::from(!answer.records.is_empty());
                *position = Some(answer.next);
            }
            ErrorCode::OffsetOutOfRange => *position = None,
            _ => {}
        }
    }
}

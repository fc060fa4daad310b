//! What a step produces: answers, and writes with what is to happen once they are reported back.

use crate::group::{GroupId, MemberId};
use crate::record::CoordinatorRecord;
use crate::request::{Reply, Request, Ticket};
use bytes::Bytes;
use milena_types::{ErrorCode, ProducerEpoch, ProducerId};
use std::collections::{BTreeMap, HashMap};

/// Names one write of a shard; they grow in the order in which they must be appended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WriteId(pub u64);

/// Records to append together, acks=all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Write {
    /// To report it back with.
    pub id: WriteId,
    /// At least one.
    pub records: Vec<CoordinatorRecord>,
    /// The transaction that they belong to: they go into a transactional batch of this producer.
    pub transaction: Option<(ProducerId, ProducerEpoch)>,
}

/// What one event led to.
#[derive(Debug, Default, PartialEq)]
pub struct Output {
    /// Answers to requests, of this event or earlier ones.
    pub replies: Vec<(Ticket, Reply)>,
    /// To append in this order.
    pub writes: Vec<Write>,
}

/// What is to happen when a write is reported back.
#[derive(Debug)]
pub(super) enum Then {
    /// Apply the records to the shard, then answer.
    Apply { answer: Option<(Ticket, Reply)> },
    /// The records delete the group: apply, answer, and let its waiting requests through.
    Delete { ticket: Option<Ticket> },
    /// The leader's assignment for a generation: hand it out, if the group is still there.
    Assignment {
        generation: i32,
        assignments: BTreeMap<MemberId, Bytes>,
    },
    /// A static member was replaced: tell it, or take it back.
    StaticMember(Box<super::static_member::Replacement>),
    /// The group became empty: nothing waits for it.
    EmptyGeneration,
}

/// A write on its way.
#[derive(Debug)]
pub(super) struct Pending {
    pub(super) group: GroupId,
    pub(super) write: Write,
    pub(super) then: Then,
}

/// A group's writes on their way.
#[derive(Debug, Default)]
pub(super) struct InFlight {
    count: usize,
    last: Option<WriteId>,
}

/// Collects what steps produce and remembers what is on its way.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    ready: Output,
    pending: BTreeMap<WriteId, Pending>,
    in_flight: HashMap<GroupId, InFlight>,
    /// Reads that must not overtake a write of their group.
    behind: BTreeMap<(WriteId, Ticket), Request>,
    next: u64,
}

impl Outbox {
    pub(super) fn reply(&mut self, ticket: Ticket, reply: Reply) {
        self.ready.replies.push((ticket, reply));
    }

    pub(super) fn write(&mut self, group: &GroupId, records: Vec<CoordinatorRecord>, then: Then) {
        self.write_in(None, group, records, then);
    }

    pub(super) fn write_in(
        &mut self,
        transaction: Option<(ProducerId, ProducerEpoch)>,
        group: &GroupId,
        records: Vec<CoordinatorRecord>,
        then: Then,
    ) {
        let id = WriteId(self.next);
        self.next += 1;
        let write = Write {
            id,
            records,
            transaction,
        };
        self.ready.writes.push(write.clone());
        let in_flight = self.in_flight.entry(group.clone()).or_default();
        in_flight.count += 1;
        in_flight.last = Some(id);
        self.pending.insert(
            id,
            Pending {
                group: group.clone(),
                write,
                then,
            },
        );
    }

    /// True when a write of the group is on its way.
    pub(super) fn is_writing(&self, group: &str) -> bool {
        self.in_flight.contains_key(group)
    }

    /// Holds `request` back until the writes of its group that are now on their way are reported back.
    /// Gives it back when there are none.
    pub(super) fn wait_behind_writes(
        &mut self,
        group: &str,
        ticket: Ticket,
        request: Request,
    ) -> Option<Request> {
        match self.in_flight.get(group).and_then(|in_flight| in_flight.last) {
            Some(last) => self.behind.insert((last, ticket), request),
            None => Some(request),
        }
    }

    /// Takes a write that was reported back.
    pub(super) fn settle(&mut self, id: WriteId) -> Option<Pending> {
        let pending = self.pending.remove(&id)?;
        if let Some(in_flight) = self.in_flight.get_mut(&pending.group) {
            in_flight.count -= 1;
            if in_flight.count == 0 {
                self.in_flight.remove(&pending.group);
            }
        }
        Some(pending)
    }

    /// The requests that waited for the write `id` or an earlier one.
    pub(super) fn released(&mut self, id: WriteId) -> Vec<(Ticket, Request)> {
        let later = self.behind.split_off(&(WriteId(id.0 + 1), Ticket(0)));
        let released = std::mem::replace(&mut self.behind, later);
        released
            .into_iter()
            .map(|((_, ticket), request)| (ticket, request))
            .collect()
    }

    /// Refuses whatever waits for a write.
    pub(super) fn refuse_pending(&mut self, error: ErrorCode) {
        self.in_flight.clear();
        for ((_, ticket), request) in std::mem::take(&mut self.behind) {
            self.reply(ticket, request.refuse(error));
        }
        for (_, pending) in std::mem::take(&mut self.pending) {
            match pending.then {
                Then::Apply {
                    answer: Some((ticket, reply)),
                } => self.reply(ticket, reply.into_refusal(error)),
                Then::Delete { ticket: Some(ticket) } => {
                    self.reply(ticket, Request::Delete(pending.group.to_string()).refuse(error));
                }
                // Parked joins and syncs are refused with their members.
                Then::Apply { answer: None }
                | Then::Delete { ticket: None }
                | Then::Assignment { .. }
                | Then::StaticMember(_)
                | Then::EmptyGeneration => {}
            }
        }
    }

    pub(super) fn take(&mut self) -> Output {
        std::mem::take(&mut self.ready)
    }
}

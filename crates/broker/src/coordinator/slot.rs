//! One partition of the offsets topic that this broker leads: its shard, and its writes on their way to the log.
//!
//! At most one append is in flight; what the shard wants written meanwhile makes the next batch. So appends are in order
//! by construction, and a batch costs one round of replication however many commits are in it.

use super::batch::{Next, WriteBatch, next_batch};
use futures_util::future::AbortHandle;
use milena_coordinator::{GroupShard, Now, Output, Reply, Request, Ticket, Write, WriteId};
use milena_types::{ErrorCode, LeaderEpoch, Offset, OffsetRange, ProducerId, TopicId, TopicIdPartition};
use std::collections::VecDeque;

/// Tells one load of a partition from the next: what an earlier one started is not for a later one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Incarnation(pub(super) u64);

/// A led partition.
#[derive(Debug)]
pub(super) struct Slot {
    pub(super) id: TopicIdPartition,
    pub(super) epoch: LeaderEpoch,
    pub(super) incarnation: Incarnation,
    pub(super) stage: Stage,
    /// The entry in the host's deadlines.
    pub(super) deadline: Option<u64>,
}

/// How far a partition is.
#[derive(Debug)]
pub(super) enum Stage {
    /// Its log is being replayed; requests are told so.
    Loading(AbortHandle),
    /// It serves.
    Active(Box<Active>),
}

/// What came of an append.
#[derive(Debug)]
pub(super) enum Appended {
    /// Carry on.
    Settled(Output),
    /// Whether the batch is in the log is unknown: only loading the partition again can tell.
    Unknown,
}

/// A shard that serves.
#[derive(Debug)]
pub(super) struct Active {
    shard: GroupShard,
    queue: VecDeque<Write>,
    in_flight: Vec<(WriteId, i64)>,
}

impl Active {
    pub(super) fn new(shard: GroupShard) -> Self {
        Self {
            shard,
            queue: VecDeque::new(),
            in_flight: Vec::new(),
        }
    }

    /// Keeps an output's writes for later and returns its answers.
    fn absorb(&mut self, output: Output) -> Vec<(Ticket, Reply)> {
        self.queue.extend(output.writes);
        output.replies
    }

    pub(super) fn loaded(&mut self, now: Now) -> Vec<(Ticket, Reply)> {
        let output = self.shard.loaded(now);
        self.absorb(output)
    }

    pub(super) fn handle(&mut self, ticket: Ticket, request: Request, now: Now) -> Vec<(Ticket, Reply)> {
        let output = self.shard.handle(ticket, request, now);
        self.absorb(output)
    }

    pub(super) fn expire(&mut self, now: Now) -> Vec<(Ticket, Reply)> {
        let output = self.shard.expire(now);
        self.absorb(output)
    }

    pub(super) fn topics_deleted(&mut self, topics: &[(String, TopicId)]) {
        let output = self.shard.topics_deleted(topics);
        self.queue.extend(output.writes);
    }

    pub(super) fn transaction_ended(&mut self, producer: ProducerId, commit: bool) {
        self.shard.transaction_ended(producer, commit);
    }

    pub(super) fn next_deadline(&self) -> Option<u64> {
        self.shard.next_deadline().map(|deadline| deadline.0)
    }

    pub(super) fn group_count(&self) -> usize {
        self.shard.group_count()
    }

    pub(super) fn unload(self, error: ErrorCode) -> Vec<(Ticket, Reply)> {
        self.shard.unload(error)
    }

    /// The next batch to append, if none is in flight. The answers are for writes that can never be appended.
    pub(super) fn begin_append(&mut self, now: Now) -> (Option<WriteBatch>, Vec<(Ticket, Reply)>) {
        let mut replies = Vec::new();
        while self.in_flight.is_empty() {
            match next_batch(&mut self.queue, now.wall) {
                Next::Idle => break,
                Next::Refused(id, error) => {
                    tracing::warn!(%error, "group state cannot be written");
                    let output = self.shard.written(id, Err(ErrorCode::UnknownServerError), now);
                    replies.extend(self.absorb(output));
                }
                Next::Batch(batch) => {
                    self.in_flight.clone_from(&batch.writes);
                    return (Some(batch), replies);
                }
            }
        }
        (None, replies)
    }

    /// The append that was in flight has ended.
    pub(super) fn end_append(&mut self, result: Result<OffsetRange, ErrorCode>, now: Now) -> Appended {
        let result = match result {
            Ok(range) => Ok(range.from),
            Err(error) if was_refused(error) => Err(error),
            Err(error) => {
                tracing::warn!(%error, "an append of group state has an unknown outcome");
                return Appended::Unknown;
            }
        };
        let mut all = Output::default();
        for (id, position) in std::mem::take(&mut self.in_flight) {
            let first = result.map(|from: Offset| from.plus(position));
            let output = self.shard.written(id, first, now);
            all.replies.extend(output.replies);
            self.queue.extend(output.writes);
        }
        Appended::Settled(all)
    }
}

/// True for errors after which a batch is certainly not in the log. Anything else, a lost leadership included, may have
/// happened after the append.
fn was_refused(error: ErrorCode) -> bool {
    matches!(
        error,
        ErrorCode::NotEnoughReplicas
            | ErrorCode::MessageTooLarge
            | ErrorCode::RecordListTooLarge
            | ErrorCode::CorruptMessage
            | ErrorCode::InvalidRecord
            | ErrorCode::InvalidTimestamp
            | ErrorCode::InvalidProducerEpoch
            | ErrorCode::OutOfOrderSequenceNumber
    )
}

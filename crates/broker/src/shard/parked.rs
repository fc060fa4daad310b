//! acks=all appends that wait for the high watermark, in the order of their offsets.

use super::api::ProduceResult;
use super::gather::Slot;
use milena_replication::{AckOutcome, Leader};
use milena_types::{ErrorCode, Offset, OffsetRange};
use std::collections::VecDeque;

/// Who waits for an append, and with what answer.
#[derive(Debug)]
pub(crate) enum Waiting {
    /// A producer.
    Produce(Box<ProduceResult>, Slot<ProduceResult>),
    /// A coordinator.
    Internal(OffsetRange, Slot<Result<OffsetRange, ErrorCode>>),
}

impl Waiting {
    /// Answers.
    pub(crate) fn finish(self, error: ErrorCode) {
        match self {
            Waiting::Produce(mut result, slot) => {
                result.error = error;
                slot.set(*result);
            }
            Waiting::Internal(range, slot) if error == ErrorCode::None => slot.set(Ok(range)),
            Waiting::Internal(_, slot) => slot.set(Err(error)),
        }
    }

    fn is_abandoned(&self) -> bool {
        match self {
            Waiting::Produce(_, slot) => slot.is_abandoned(),
            Waiting::Internal(_, slot) => slot.is_abandoned(),
        }
    }
}

/// The appends of one partition that wait. Boxed, because nothing waits for most partitions.
#[derive(Debug, Default)]
pub(crate) struct Parked(Option<Box<Queue>>);

#[derive(Debug, Default)]
struct Queue {
    queue: VecDeque<(Offset, Waiting)>,
    /// Above this length the queue is searched for callers that gave up; doubles with what had to stay.
    sweep_above: usize,
}

impl Parked {
    const SWEEP_MIN: usize = 256;

    /// Parks an append that ends before `end`.
    pub(crate) fn push(&mut self, end: Offset, waiting: Waiting) {
        let Queue { queue, sweep_above } = &mut **self.0.get_or_insert_default();
        if queue.len() >= (*sweep_above).max(Self::SWEEP_MIN) {
            queue.retain(|(_, waiting)| !waiting.is_abandoned());
            *sweep_above = queue.len() * 2;
        }
        queue.push_back((end, waiting));
    }

    /// Answers all that the leader's high watermark has passed.
    pub(crate) fn complete(&mut self, leader: &Leader) {
        let Some(Queue { queue, .. }) = self.0.as_deref_mut() else {
            return;
        };
        while let Some((end, _)) = queue.front() {
            let AckOutcome::Done(error) = leader.ack_outcome(*end) else {
                return;
            };
            if let Some((_, waiting)) = queue.pop_front() {
                waiting.finish(error);
            }
        }
        queue.shrink_to(Self::SWEEP_MIN);
    }

    /// Gives back spare memory.
    pub(crate) fn shrink(&mut self) {
        self.0.take_if(|waiting| waiting.queue.is_empty());
    }

    /// Answers all with an error: the broker does not lead any more.
    pub(crate) fn fail(&mut self, error: ErrorCode) {
        for (_, waiting) in self.0.take().into_iter().flat_map(|waiting| waiting.queue) {
            waiting.finish(error);
        }
    }
}

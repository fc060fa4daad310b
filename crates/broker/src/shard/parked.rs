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

/// The appends of one partition that wait.
#[derive(Debug, Default)]
pub(crate) struct Parked {
    queue: VecDeque<(Offset, Waiting)>,
    /// Above this length the queue is searched for callers that gave up; doubles with what had to stay.
    sweep_above: usize,
}

impl Parked {
    const SWEEP_MIN: usize = 256;

    /// Parks an append that ends before `end`.
    pub(crate) fn push(&mut self, end: Offset, waiting: Waiting) {
        if self.queue.len() >= self.sweep_above.max(Self::SWEEP_MIN) {
            self.queue.retain(|(_, waiting)| !waiting.is_abandoned());
            self.sweep_above = self.queue.len() * 2;
        }
        self.queue.push_back((end, waiting));
    }

    /// Answers all that the leader's high watermark has passed.
    pub(crate) fn complete(&mut self, leader: &Leader) {
        while let Some((end, _)) = self.queue.front() {
            let AckOutcome::Done(error) = leader.ack_outcome(*end) else {
                return;
            };
            if let Some((_, waiting)) = self.queue.pop_front() {
                waiting.finish(error);
            }
        }
        self.queue.shrink_to(Self::SWEEP_MIN);
    }

    /// Gives back spare memory.
    pub(crate) fn shrink(&mut self) {
        self.queue.shrink_to_fit();
    }

    /// Answers all with an error: the broker does not lead any more.
    pub(crate) fn fail(&mut self, error: ErrorCode) {
        for (_, waiting) in std::mem::take(&mut self.queue) {
            waiting.finish(error);
        }
    }
}

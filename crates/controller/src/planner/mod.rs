//! The active controller's single writer: jobs in, one metadata batch a round, answers when applied.
//!
//! ```text
//! queue ──► plan(applied image + this round's records) ──► one batch ──► (raft) ──► applied ──► answers
//!              ▲                                                           │
//!              └──────────── conflict, or rejected: plan again ◄───────────┘
//! ```
//!
//! What queues up while a batch is in flight goes into the next one, so that a burst costs a few WAL syncs. Answers
//! wait for the commit, those without records included when they were planned behind others: nobody is told of
//! something that is not committed. A batch has a bound in bytes (`bound`): a job whose records are above it is refused, one that
//! does not fit any more is planned again for the next batch. What brokers ask comes by a way of its own (`queue`) and goes first
//! (`waiting`).

mod availability;
mod bound;
mod clock;
mod elections;
mod handle;
mod job;
mod lead;
mod leaderless;
mod probe;
mod queue;
mod rounds;
mod unclean;
mod waiting;

#[cfg(test)]
pub(crate) use bound::BATCH_BYTES_MAX;
pub(crate) use bound::Terms;
pub(crate) use clock::Seeds;
pub(crate) use handle::{Observed, PlannerHandle, Refusal};
pub(crate) use job::View;
pub(crate) use lead::{Planner, PlannerSettings};
pub(crate) use probe::Prober;

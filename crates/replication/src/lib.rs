//! The decisions of one replicated partition: who is in sync, what is committed, what must be truncated.
//!
//! Pure: no IO, no clock, no randomness. Time is an argument ([`Moment`]), logs are described by values, and what must
//! happen next is returned. The same code runs in a broker and in a simulator.
//!
//! ```text
//! Replica   transition ─► Lead | Update | Follow | Leave                  (what the metadata makes of it)
//! Leader    attach ─► Accepted | Diverged | OutOfRange | Refused         (who may follow)
//!           on_ack, on_append, on_flushed ─► high watermark              (what is committed)
//!           propose ─► IsrProposal ─► controller ─► on_committed          (who is in sync)
//! Following attach, takes, queue_ack                                      (which frames and acks count)
//! Follower  on_diverged ─► truncate to, attach again                     (what must go, and is lost by that)
//! ```
//!
//! Source: KIP-101, KIP-279, KIP-320, KIP-497, KIP-903, KIP-966; Kafka's `Partition.scala`.

mod broker_ids;
mod follower;
mod leader;
mod moment;
mod replica;

pub use broker_ids::BrokerIds;
pub use follower::{
    CutTail, Filled, FilledLog, FollowerHighWatermark, LogTail, Loss, Refilled, Truncated, Truncation,
    adopted_log_start, loss, refilled, restart_for_batch, truncation_for_divergence, truncation_out_of_range,
};
pub use leader::{
    AckOutcome, Attach, AttachAnswer, AttachmentId, IsrProposal, Leader, LeaderRules, LeaderTerm, LogEnds,
    LogSummary, ProposalId, ReadableFollower, ReplicaStatus, rack_aware,
};
pub use moment::Moment;
pub use replica::{
    Assigned, AttachIds, Contact, Following, Held, Transition, check_leader_epoch, flush_is_due, transition,
};

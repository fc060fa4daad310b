//! One shard: the groups and offsets of one partition of `__consumer_offsets`.
//!
//! Two kinds of state. *Offsets* hold only what is committed in the log: a commit changes them when its write is
//! reported back. *Groups* run ahead of the log as Kafka's do: members join and leave in memory, and what must survive
//! (a generation with its assignment) is written before anybody is told. A failover loses a rebalance in progress, and
//! its members start it again.
//!
//! Contract with the caller: writes are appended in the order of their ids and reported back in that order through
//! [`GroupShard::written`]; every ticket is answered exactly once, by `handle`, `written`, `expire` or `unload`.

mod admin;
mod commit;
mod delete;
mod fetch;
mod group_shard;
mod heartbeat;
mod join;
mod leave;
mod outbox;
mod rebalance;
mod replay;
mod retention;
mod static_member;
mod step;
mod sync;
mod timers;
mod written;

#[cfg(test)]
mod shard_test;

pub use group_shard::GroupShard;
pub use outbox::{Output, Write, WriteId};
pub use written::coordinator_error;

//! The group coordinator as a pure state machine: classic consumer groups and committed offsets.
//!
//! ```text
//!  Request, now ──► GroupShard::handle ──► replies (at once)
//!                                      └─► writes: records for __consumer_offsets ──► appended, acks=all
//!  WriteResult, now ──► GroupShard::written ──► replies that waited for the write
//!  time ──► GroupShard::expire(now)     (sessions, rebalances, offset retention)
//!  log ──► GroupShard::replay           (after an election: the records of the partition, in order)
//! ```
//!
//! What may enter: decisions and formats of Kafka's group coordinator. What must not: IO, clocks, randomness, the wire.

pub mod api;
mod clock;
mod config;
mod group;
mod offsets;
mod partition;
pub mod record;
mod request;
mod shard;

pub use clock::{Deadline, Now};
pub use config::GroupLimits;
pub use group::GroupState;
pub use partition::{java_hash, partition_for};
pub use request::{Reply, Request, Ticket};
pub use shard::{GroupShard, Output, Write, WriteId, coordinator_error};

//! Hosting of the group coordinator beside the leaders of its partitions.
//!
//! ```text
//! kafka/handler ─► Groups (handle, any thread) ─► GroupHost (one actor, control thread)
//!                                                   │  one shard per led __consumer_offsets partition
//!                                                   └─► OffsetsLog (shard::Router): load on election, append acks=all
//! ```
//!
//! One actor owns every shard and one set of deadlines, so a group costs memory only; a shard has at most one append in
//! flight and collects what arrives meanwhile into the next batch.

mod api;
mod batch;
mod clock;
mod deletions;
mod host;
mod load;
mod router_log;
mod seam;
mod slot;
mod topic;

#[cfg(test)]
mod host_test;

pub use api::Groups;
pub use host::GroupHost;
pub use milena_coordinator::api::*;
pub use seam::{ClusterView, OffsetsLog};

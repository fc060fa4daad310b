//! The quorum in a simulation: openraft and everything of the product above it, on simulated disks and a simulated
//! network, on one thread and a clock that jumps. A seed decides everything; the same seed is the same life.
//!
//! ```text
//! script ── kills, cuts, storms, new disks, other members ──► world: nodes, net, weather
//! client ── the same request until it is answered ──► front of a node ──► planner ──► raft ──► Wire ──► other fronts
//! oracle ◄── every message that arrives, every answer: one history for all
//! ```
//!
//! Not simulated: gRPC itself and RocksDB; `cluster_test` and the storage suite are for those.

mod client;
mod lives_test;
mod net;
mod oracle;
mod past_test;
mod script;
mod trace;
mod world;

//! Kafka listeners, connections and one handler file per API.
//!
//! ```text
//! listener ─► connection (one task) ─► dispatch ─► handler/<api> ─► shard::Router | coordinator::Groups | ClusterView
//!    │             │  ▲ requests in order: one produces its answer, the next is parsed; answers in order
//!    └► http2      └── read_buffer (pooled), pending (ordered answers)
//! ```
//!
//! Everything runs on the data thread that serves the connection; nothing here is shared but [`KafkaContext`]. What
//! comes in is hostile until `milena_wire` has decoded it; a connection that breaks the protocol is closed and
//! nobody else notices.

mod admission;
mod authorized_operations;
mod auto_create;
mod connection;
mod context;
mod deadlines;
mod dispatch;
mod endpoints;
mod error_map;
mod handler;
mod listener;
mod pending;
mod producer_ids;
mod read_buffer;
mod session;
mod spread;
mod topics;

#[cfg(test)]
mod tests;

pub use context::{KafkaContext, KafkaParts};
pub use listener::{Http2Handoff, ServeError, serve};
pub use spread::ConnectionSpread;

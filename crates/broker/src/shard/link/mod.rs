//! Replication streams between brokers: the leader pushes, the follower acknowledges.
//!
//! ```text
//!  follower (data thread i)                             leader
//!  InLinks: wanted partitions, acks due                 OutLinks: per stream a list of partitions with news
//!     │ request body: attach, acks, credit ───────────►  serve.rs ─► owner of each partition
//!     │ response body: frames of many partitions ◄─────  built when HTTP/2 has room and the follower gave credit
//! ```
//!
//! Both bodies are *pulled*: HTTP/2 asks for the next message when the window has room, and the message is made then
//! from whatever is ready. So a slow peer coalesces and never queues, and cost follows readiness, not partitions.
//! Records travel as the very `Bytes` that the log wrote. The framing is gRPC (`proto/milena/v1/replication.proto`).
//!
//! Each (leader, data thread) pair has two streams: live, for partitions at the tail, and catch-up, for the others.

mod body;
mod connect;
mod feeding;
mod follower_side;
mod framing;
mod leader_side;
mod out_links;
mod partition_follow;
mod serve;
mod session;
mod throttle;

pub use serve::serve_http2;

pub(crate) use connect::follow;
pub(crate) use feeding::ReadAhead;
pub(crate) use follower_side::{InLinks, LinkKey};
pub(crate) use out_links::OutLinks;
pub(in crate::shard) use throttle::ReplicationQuotas;

/// Which of the two streams.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Lane {
    /// Partitions at the tail.
    Live,
    /// Partitions behind it.
    CatchUp,
}

impl Lane {
    fn other(self) -> Self {
        match self {
            Lane::Live => Lane::CatchUp,
            Lane::CatchUp => Lane::Live,
        }
    }
}

/// The path of the one gRPC method.
const REPLICATE_PATH: &str = "/milena.v1.Replication/Replicate";
/// HTTP/2 flow-control windows: well above what credit allows to be in flight.
const WINDOW_BYTES: u32 = 12 << 20;
/// HTTP/2 frame size: one replication frame of records usually fits.
const FRAME_BYTES: u32 = (1 << 20) + (64 << 10);
/// A peer that is silent for this long is asked for a sign of life, and given up after [`KEEP_ALIVE_TIMEOUT`].
const KEEP_ALIVE_INTERVAL: std::time::Duration = std::time::Duration::from_secs(3);
const KEEP_ALIVE_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(6);

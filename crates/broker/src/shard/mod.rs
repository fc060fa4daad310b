//! Data threads and the partitions they own.
//!
//! ```text
//! kafka handlers ─► Router ─► (same thread: a call; other thread: one message) ─► Shard ─► Partition ─► PartitionLog
//!                                                                                  │          └► Leader | Follower
//!                                       flusher threads (group commit) ◄───────────┤
//!                                       link/ (replication streams)    ◄───────────┘
//! ```
//!
//! A partition's mutable state lives on exactly one data thread, in that thread's `Rc<RefCell<Shard>>`; a borrow never
//! lives across an await. Cost is per ready partition, never per partition: an idle one has no task, timer or file.

pub mod api;
mod availability;
mod background;
mod checkpoints;
mod cleaner;
mod context;
mod control_plane;
#[cfg(test)]
mod cost_test;
mod delete_records;
mod describe;
mod dir_state;
mod doubles;
mod epochs;
mod fetch;
mod fetch_read;
mod fetch_wait;
mod flush_stall;
mod flusher;
mod former_topics;
mod found_logs;
mod full_dirs;
mod gather;
mod heavy;
#[cfg(test)]
mod heavy_test;
mod id;
mod idle_logs;
mod internal;
mod isr;
mod leadership;
mod line;
pub mod link;
mod list_offsets;
mod log_dirs;
mod log_extent;
#[cfg(test)]
mod lone_broker;
mod mailbox;
mod metadata;
#[cfg(test)]
mod metadata_test;
mod missed_logs;
mod move_destination;
#[cfg(test)]
mod move_test;
mod moves;
mod name_claims;
#[cfg(test)]
mod no_control;
mod opening;
mod pace;
mod parked;
mod partition;
mod preparers;
mod produce;
mod quarantine;
mod read_replica;
mod replica_health;
mod retention;
mod role;
mod router;
mod settings;
mod space;
mod state;
mod storage_error;
mod strays;
mod tail_ring;
mod thread;
mod turns;

pub use api::*;
pub use background::is_background_key;
pub use cleaner::CleanerRefused;
pub use control_plane::ControlPlane;
pub use id::{ShardId, owner_of};
pub use log_dirs::{LogDirs, LogDirsError};
pub use mailbox::current_shard;
#[cfg(test)]
pub(crate) use no_control::NoControl;
pub use router::Router;
pub use thread::{DataThreads, DataThreadsConfig};

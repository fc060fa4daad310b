//! What a controller keeps on disk: RocksDB under `<metadata.log.dir>/__cluster_metadata-0/`.
//!
//! ```text
//! raft ──append──► LogStore ──write──► RocksDB (log) ◄──read── LogReader
//!                     └──IOFlushed──► Flusher thread: one WAL sync for everything that waits
//! raft ──apply───► StateMachine ──► CommittedLog (image + recent batches, in memory)
//!                     └──snapshot──► RocksDB (snapshot)
//! ```
//!
//! Order: vote, appends and truncations reach the WAL in the order in which raft issued them, and each is reported done
//! only after a sync that began after its write.
//!
//! All of it stands on a small [`backend`]; tests put a simulated disk there, which loses what was not synced.

mod backend;
mod db;
mod flusher;
mod keys;
mod log_reader;
mod log_store;
mod marker;
#[cfg(test)]
pub(crate) mod memory;
mod rocks;
mod snapshot;
mod state_machine;
#[cfg(test)]
mod suite_test;

pub(crate) use db::Store;
pub use db::{StoreError, StoreOptions};
pub(crate) use marker::{JoinMarker, Memory};
pub(crate) use state_machine::StateMachine;

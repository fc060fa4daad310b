//! What a partition knows about the producers that wrote to it: duplicates, sequences, epochs, open transactions.
//!
//! Everything here follows from the log and can be replayed from it; snapshots only shorten the replay.
//! Source: `ProducerStateManager.java`, KIP-98, KIP-360.

mod check;
mod entry;
mod map;
mod snapshot;
mod state;

pub use check::{BatchOrigin, DataCheck, ProducerError};
pub use entry::{BatchMetadata, ProducerEntry};
pub use snapshot::{SnapshotError, decode_snapshot, encode_snapshot, encoded_snapshot_bytes};
pub use state::{CompletedTxn, ProducerState};

//! One partition's log on disk, in Kafka's directory layout and file formats.
//!
//! ```text
//! LogDir ── PartitionLog ─┬─ segments (log + offset index + time index + transaction index)
//!                         ├─ leader epochs      leader-epoch-checkpoint
//!                         └─ producer state     <offset>.snapshot
//! ```
//!
//! Synchronous: every call may block on the disk, none waits for anything else. A [`PartitionLog`] has one owner thread;
//! flushes ([`FlushTicket`]), cold reads ([`ReadPlan`]) and removals ([`Removal`]) may run on others. Appends reach the
//! page cache; only a synced flush ticket makes them durable.

pub mod checkpoint;
pub mod compaction;
mod config;
mod dir;
mod durable_file;
pub mod env;
mod epoch_cache;
mod error;
mod few;
pub mod format;
mod index;
mod partition;
pub mod producer;
pub mod quarantine;
mod segment;
mod small;

pub use config::LogConfig;
pub use dir::{
    CheckpointWrite, Checkpointed, DirOffsets, LogDir, LogDirError, MetaProperties, MetaPropertiesError,
};
pub use durable_file::replace_file;
pub use env::Env;
pub use epoch_cache::EpochCache;
pub use error::{
    AppendError, FollowerAppendError, LogError, OpenError, ReadError, RecordErrors, is_no_space, is_shortage,
};
pub use partition::{
    AbortedTxn, AppendContext, AppendOrigin, Appended, ClientBatch, CorruptionPolicy, DamagedTail,
    DeletedSegment, DeletionReason, FlushTicket, IdleLog, OpenOptions, OpenReport, PartitionLog, ReadPlan,
    ReadResult, Removal, Step, TailCut, TailKeeper, TailPiece, TimestampOffset, Work,
};

//! One partition's log: segments, indexes, epochs and producers under one owner.
//!
//! Invariants: `log_start <= high_watermark`, `recovery_point <= flushed <= log_end`; segments are ordered by base offset
//! and the last one is the only one that grows; no file exists before the first append. One thread owns a log; only
//! [`FlushTicket`]s, [`ReadPlan`]s and [`Removal`]s leave it. Everything here blocks on the disk and nothing waits.

mod accessors;
mod append;
mod append_follower;
mod append_leader;
mod clean_end;
mod compaction;
mod damaged_tail;
mod doubt;
mod enter;
mod epochs;
mod files;
mod floor;
mod flush;
mod home;
mod idle_log;
mod in_flight;
mod incoming;
mod listing;
mod look_through;
mod missing;
mod open;
mod options;
mod producers;
mod read;
mod recover;
mod relocate;
mod resume;
mod retention;
mod roll;
mod timestamps;
mod transactions;
mod truncate;
mod txn_index;
mod txn_index_sums;
mod versioned_file;
mod windows;
mod wrong_epoch;

pub use append_leader::{AppendContext, AppendOrigin, Appended};
pub use damaged_tail::{DamagedTail, TailKeeper, TailPiece};
pub use flush::FlushTicket;
pub use idle_log::IdleLog;
pub use incoming::{ClientBatch, Step, Work};
pub use options::{CorruptionPolicy, OpenOptions, OpenReport, TailCut};
pub use read::{ReadPlan, ReadResult};
pub use retention::{DeletedSegment, DeletionReason, Removal};
pub use timestamps::TimestampOffset;
pub use transactions::AbortedTxn;

pub(crate) use floor::{read_floor, remove_floor};
pub(crate) use flush::SmallWrite;
pub(crate) use open::{read_topic_id, topic_id_text};
pub(crate) use producers::marker_of;
pub(crate) use read::EARLY_END;
pub(crate) use txn_index::{TxnIndexSum, read_txn_index};
pub(crate) use txn_index_sums::replace_sums;

use crate::config::LogConfig;
use crate::env::Env;
use milena_types::{Offset, Timestamp, TopicId, TopicPartition};
use std::sync::Arc;

/// The log of one partition; see the module's documentation.
#[derive(Debug)]
pub struct PartitionLog {
    env: Arc<Env>,
    /// Where its directory is.
    home: home::Home,
    partition: TopicPartition,
    topic_id: TopicId,
    config: Arc<LogConfig>,
    /// Names this log in the pool of sealed segments.
    log_id: u64,
    /// Every segment on disk, by base offset; the last one is the active one.
    segments: Vec<files::SegmentMeta>,
    /// The last segment's open files; `None` while idle.
    active: Option<Box<crate::segment::ActiveSegment>>,
    log_start: Offset,
    log_end: Offset,
    /// On disk, and covered by the last ticket.
    flushed: Offset,
    submitted: Offset,
    high_watermark: Offset,
    epochs: crate::epoch_cache::EpochCache,
    /// The epochs differ from their file, or the sums of the transaction indexes from theirs.
    epochs_dirty: bool,
    sums_dirty: bool,
    producers: crate::producer::ProducerState,
    /// Offsets of the snapshots on disk, ascending.
    snapshots: crate::few::Few<Offset>,
    /// Bytes appended since the newest snapshot that this process wrote or found.
    bytes_since_snapshot: u64,
    /// What the directory's checkpoint says of this name; too high for a log that was cut or begun anew since.
    stale_offset: Offset,
    /// The directory holds a recovery floor; says that offsets may be missing between batches.
    has_floor: bool,
    has_holes: bool,
    /// Segments need not reach the next one: Kafka has compacted the log, and Milena has not since.
    parted: bool,
    /// Names in the directory have changed since it was forced to the disk; so has its own name.
    dir_dirty: bool,
    parent_dirty: bool,
    in_flight: in_flight::InFlight,
    /// Grows with each truncation: tickets of an older generation say nothing any more.
    generation: u32,
    /// A write failed and could not be undone: the log refuses appends until it is opened again.
    failed: bool,
    /// Once somebody asked; boxed, because most logs are not compacted.
    compaction: Option<Box<compaction::Compaction>>,
    /// When the last segment's file was changed last, as of the last time that the log went idle.
    modified: Timestamp,
    /// The log was resumed after a clean shutdown and no file was looked at since.
    unverified: std::cell::Cell<bool>,
}

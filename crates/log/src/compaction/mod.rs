//! Compaction: of each key only the last record stays, at its offset.
//!
//! ```text
//! owner                      cleaner thread                                    on disk
//! begin_compaction ────────► key map of the dirty part
//!                            per group of segments: filter, write, fsync       <base>.log.cleaned …
//! may_commit? ◄───────────── (tombstones that every replica has only)
//!                       ───► commit: names, manifest                           compaction-swap, <base>.log.swap …
//! swap ◄────────────────────                                                   <base>.log, old ones .deleted
//!                       ───► finish: fsync of the directory                    manifest removed
//! end ◄───────────────────── after the last group                              compaction-mark
//! ```
//!
//! - The active segment and everything at or past the last stable offset stay untouched.
//! - A `Permit` ties a running compaction to the life of its log: whatever cuts, closes or deletes the log ends it, and
//!   after that no file of it is created or renamed, so that nothing is written into another log of the same name.
//! - A group is swapped in whole or not at all: the manifest names the old and the new segments, and opening a log
//!   completes a swap that a crash interrupted. Readers that hold an old file read on from it.
//! - How far the log is clean lies in the log's own directory and dies with it.
//!
//! Source: `Cleaner.java`, `LogCleanerManager.java`, KIP-534; and two rules beyond Kafka: a tombstone or marker goes only
//! when every replica has it, and a horizon is set only on what the key map has seen.

mod error;
mod filter;
mod group;
mod job;
mod manifest;
mod map;
mod mark;
mod output;
mod permit;
mod resume;
mod rules;
mod transactions;

pub use error::CompactionError;
pub use job::{CompactionJob, CompactionStats, GroupDone, Pace};
pub use map::OffsetMap;
pub use permit::CompactionId;
pub use rules::{Cleanable, CompactionRules};

pub(crate) use filter::{FilterRules, LastRecord};
pub(crate) use group::Source;
pub(crate) use job::JobParts;
pub(crate) use manifest::Replacement;
pub(crate) use manifest::remove as forget_swap;
pub(crate) use mark::{FILE as MARK_FILE, read_mark, remove_mark};
pub(crate) use permit::{Permit, Stage};
pub(crate) use resume::{is_unfinished_swap, resume_swap};

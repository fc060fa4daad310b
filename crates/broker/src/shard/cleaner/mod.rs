//! The cleaner: threads that compact the logs of compacted topics, one log at a time each.
//!
//! ```text
//! cleaner thread                                   data thread (owner of the log)
//! candidates? ───────────────────────────────────► how dirty is each compacted log
//! the dirtiest that is due: begin ───────────────► hands out a job
//! map, groups: filter, write, fsync, throttled
//!   may it be committed? ────────────────────────► does every replica have what it forgets
//!   swap ────────────────────────────────────────► takes the new segments by name
//! over ──────────────────────────────────────────► notes how far the log is clean
//!
//! pool: how many threads, their settings (which follow the metadata), what they tell of themselves
//! ```
//! Nothing here touches a log; the data threads do only what moves names and numbers. Source: `LogCleaner.java`.

mod choose;
mod figures;
mod owner;
mod pass;
mod pool;
mod settings;

pub(super) use pool::{Cleaner, Cleaners};
pub use settings::CleanerRefused;

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
//! ```
//! Nothing here touches a log; the data threads do only what moves names and numbers. Source: `LogCleaner.java`.

mod choose;
mod owner;
mod pace;
mod thread;

pub(super) use thread::Cleaners;

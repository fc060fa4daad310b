//! A follower has to cut records that were committed, or may have been: they are set aside before that, and told of.
//!
//! ```text
//! the leader's answer ─► loss (replication) ── none ─► cut at once, attach again: a tail that was never acknowledged
//!                             │
//!                             ├─ too much, or nothing is to be kept ─► an error line, cut, attach again
//!                             └─ job: copy the tail, piece by piece, off the data thread
//!                                   kept, and nothing has changed meanwhile ─► cut, an event line, attach again
//!                                   another role, another log ─────────────► what was kept goes again
//!                                   no space, no files ───────────────────► not cut; attached again half a minute later
//! ```
//!
//! While a job runs the replica is not attached, so that its log stays as it is.
//!
//! The end of a damaged log is set aside likewise before it is cut (`damage`), by `repair` where the log is open, and else while it
//! is being opened; it goes again when its leader has filled all of it in (`refill`).

mod awaited;
mod damage;
mod event;
mod figures;
mod job;
mod refill;
mod repair;
mod room;
mod sweep;

pub(super) use damage::{DamagedLog, Keeper};
pub(super) use event::LossEvent;
pub(super) use figures::{LossKind, TruncationFigures};
pub(super) use job::RETRY_PAUSE;
pub(super) use refill::{Refill, Refills};
pub(super) use sweep::sweep;

use self::awaited::Awaited;
use self::room::{give_up, make_room};
use super::context::Context;
use super::log_dirs::LogDirs;
use milena_log::quarantine::{Quarantine, QuarantineRules};
use milena_types::TopicIdPartition;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

/// One user of a directory's quarantine at a time: else two of them could pass its limit together.
#[derive(Debug, Default)]
pub(super) struct Gates {
    each: Mutex<BTreeMap<usize, Arc<tokio::sync::Mutex<()>>>>,
    /// What is not to go unnoticed.
    awaited: Arc<Awaited>,
}

impl Gates {
    /// That of a directory.
    pub(super) fn of(&self, dir: usize) -> Arc<tokio::sync::Mutex<()>> {
        let mut gates = self.each.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(gates.entry(dir).or_default())
    }

    fn awaited(&self) -> Arc<Awaited> {
        Arc::clone(&self.awaited)
    }
}

impl Context {
    /// A tail of the partition is on its way into the quarantine: the number of that job.
    fn begin_quarantine(&mut self, id: TopicIdPartition) -> u64 {
        self.last_quarantine += 1;
        self.quarantining.insert(id, self.last_quarantine);
        self.last_quarantine
    }

    /// The job has come to its end. False: a later one, or none, is under way.
    fn end_quarantine(&mut self, id: TopicIdPartition, number: u64) -> bool {
        let is_newest = self.quarantining.get(&id) == Some(&number);
        if is_newest {
            self.quarantining.remove(&id);
        }
        is_newest
    }
}

/// The quarantine of a directory, unless that is offline.
fn quarantine(dirs: &LogDirs, dir: usize, rules: QuarantineRules) -> Option<Quarantine> {
    let (handle, _) = dirs.checkpoints(dir)?;
    Some(Quarantine::new(Arc::clone(handle.env()), handle.path(), rules))
}

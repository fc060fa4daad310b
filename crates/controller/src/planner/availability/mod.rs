//! What failures cost, as the active controller sees it: how long each failover took, and how long which topics could not be
//! written.
//!
//! ```text
//! sign ── detect ──> decision ── elect ──> committed        (then the new leader's broker: first ack)
//! ```
//! A sign is the first thing by which a broker's death showed: a broken connection, or, when nothing breaks (it hangs, or is
//! cut off), its last heartbeat. An outage of a partition begins with the sign of its leader's death, or with the commit that
//! leaves too few in sync, and ends with the commit of what ends it.

mod changes;
mod figures;
mod outages;
mod signs;

pub(super) use changes::Changes;
pub(crate) use figures::Availability;

use milena_types::Timestamp;
use std::time::Duration;

fn between(from: Timestamp, to: Timestamp) -> Duration {
    Duration::from_millis(u64::try_from(to.0.saturating_sub(from.0)).unwrap_or(0))
}

#[cfg(test)]
mod tests;

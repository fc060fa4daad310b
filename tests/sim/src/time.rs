//! Simulated time: microseconds since the beginning of a run.

use milena_replication::Moment;
use milena_types::Timestamp;

/// Microseconds of simulated time.
pub type Micros = u64;

/// A millisecond.
pub const MILLI: Micros = 1_000;
/// A second.
pub const SECOND: Micros = 1_000_000;

/// The clock that the replication's decisions are given.
#[must_use]
pub fn moment(now: Micros) -> Moment {
    Moment(now / MILLI)
}

/// The controller's and the logs' clock.
#[must_use]
pub fn timestamp(now: Micros) -> Timestamp {
    const BEGAN_MS: i64 = 1_700_000_000_000;
    Timestamp(BEGAN_MS + i64::try_from(now / MILLI).unwrap_or(i64::MAX / 2))
}

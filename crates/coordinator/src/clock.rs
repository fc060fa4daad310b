//! The two clocks that decisions need, read by the caller.

use milena_types::Timestamp;
use std::time::Duration;

/// One reading of both clocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Now {
    /// Wall-clock time: stamps commits and state changes, expires offsets.
    pub wall: Timestamp,
    /// A clock that never steps, in milliseconds from any origin: sessions and rebalances.
    pub monotonic_ms: u64,
}

impl Now {
    /// The monotonic time `delay` from now.
    #[must_use]
    pub fn after(self, delay: Duration) -> Deadline {
        Deadline(
            self.monotonic_ms
                .saturating_add(u64::try_from(delay.as_millis()).unwrap_or(u64::MAX)),
        )
    }
}

/// A point of the monotonic clock, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Deadline(pub u64);

/// A timeout as the protocol carries it; negative counts as zero.
pub(crate) fn timeout(ms: i32) -> Duration {
    Duration::from_millis(u64::try_from(ms).unwrap_or(0))
}

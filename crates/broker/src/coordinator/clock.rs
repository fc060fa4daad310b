//! The clocks of the coordinator: the only place where it reads the time.

use milena_coordinator::{Deadline, Now};
use milena_types::Timestamp;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::time::Instant;

/// Reads both clocks; the monotonic one begins when it is made.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clock {
    origin: Instant,
}

impl Clock {
    pub(super) fn new() -> Self {
        Self {
            origin: Instant::now(),
        }
    }

    pub(super) fn now(&self) -> Now {
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Now {
            wall: Timestamp(whole_ms(wall).try_into().unwrap_or(i64::MAX)),
            monotonic_ms: whole_ms(self.origin.elapsed()),
        }
    }

    pub(super) fn instant(&self, deadline: Deadline) -> Instant {
        // Far enough away to mean never, near enough for every platform's clock.
        const NEVER_MS: u64 = 365 * 24 * 3600 * 1000;
        self.origin
            + Duration::from_millis(
                deadline
                    .0
                    .min(whole_ms(self.origin.elapsed()).saturating_add(NEVER_MS)),
            )
    }
}

fn whole_ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

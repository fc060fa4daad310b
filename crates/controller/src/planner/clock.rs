//! The controller's monotonic clock and its source of randomness.

use milena_types::Timestamp;
use rand::RngCore;
use tokio::time::Instant;

/// Milliseconds since this process became a controller: what plans and sessions call `now`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    origin: Instant,
}

impl Clock {
    pub(crate) fn start() -> Self {
        Self {
            origin: Instant::now(),
        }
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.timestamp(Instant::now())
    }

    /// What the clock showed at `at`.
    pub(crate) fn timestamp(&self, at: Instant) -> Timestamp {
        let since = at.saturating_duration_since(self.origin);
        Timestamp(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
    }

    /// When the clock shows `at`.
    pub(crate) fn instant(&self, at: Timestamp) -> Instant {
        self.origin + std::time::Duration::from_millis(u64::try_from(at.0).unwrap_or(0))
    }
}

/// Where plans get their random bits from.
#[derive(Debug)]
pub(crate) enum Seeds {
    /// The thread's generator.
    Random,
    /// Always the same ones: a simulation.
    #[cfg(test)]
    Fixed(std::sync::Mutex<milena_metadata::plan::SeedRng>),
}

impl Seeds {
    /// Fresh bits for one plan.
    pub(crate) fn next(&self) -> u64 {
        match self {
            Self::Random => rand::rng().next_u64(),
            #[cfg(test)]
            Self::Fixed(generator) => generator
                .lock()
                .unwrap_or_else(std::sync::PoisonError::into_inner)
                .next_u64(),
        }
    }
}

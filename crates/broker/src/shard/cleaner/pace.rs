//! Keeps the cleaner's reads and writes below `log.cleaner.io.max.bytes.per.second`, all threads together, and ends them
//! when the broker stops.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Longest sleep before the stop is looked at again.
const SLEEP_MAX: Duration = Duration::from_millis(50);
/// Below this a sleep is put off: the timer is no finer.
const SLEEP_MIN: Duration = Duration::from_millis(1);

/// The budget that all cleaner threads share.
#[derive(Debug)]
pub(super) struct Pacer {
    bytes_per_second: f64,
    /// When everything that was granted so far will have been paid for.
    paid: Mutex<Instant>,
    stop: AtomicBool,
}

impl Pacer {
    pub(super) fn new(bytes_per_second: f64) -> Self {
        Self {
            bytes_per_second,
            paid: Mutex::new(Instant::now()),
            stop: AtomicBool::new(false),
        }
    }

    pub(super) fn request_stop(&self) {
        self.stop.store(true, Ordering::Release);
    }

    pub(super) fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::Acquire)
    }

    /// Accounts for `bytes`, sleeping as long as that takes at the given rate. False: the broker stops.
    pub(super) fn take(&self, bytes: u64) -> bool {
        let until = self.book(bytes, Instant::now());
        loop {
            if self.is_stopped() {
                return false;
            }
            let left = until.saturating_duration_since(Instant::now());
            if left < SLEEP_MIN {
                return true;
            }
            std::thread::sleep(left.min(SLEEP_MAX));
        }
    }

    /// When these bytes may be done.
    fn book(&self, bytes: u64, now: Instant) -> Instant {
        // Above it a second is too short to matter, and the arithmetic stays exact.
        const UNLIMITED: f64 = 1e15;
        if self.bytes_per_second >= UNLIMITED {
            return now;
        }
        #[expect(clippy::cast_precision_loss, reason = "bytes of one batch")]
        let seconds = bytes as f64 / self.bytes_per_second.max(1.0);
        let mut paid = self.paid.lock().unwrap_or_else(PoisonError::into_inner);
        *paid = (*paid).max(now) + Duration::from_secs_f64(seconds.min(3600.0));
        *paid
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_booked_one_after_the_other() {
        let pacer = Pacer::new(1000.0);
        let now = Instant::now();
        assert!(pacer.book(500, now) >= now + Duration::from_millis(500));
        let second = pacer.book(500, now);
        assert!(second >= now + Duration::from_secs(1), "shared by all threads");
        let later = now + Duration::from_secs(100);
        assert!(
            pacer.book(1, later) < later + Duration::from_millis(2),
            "nothing is saved up"
        );
        assert_eq!(Pacer::new(f64::MAX).book(u64::MAX, now), now);
        pacer.request_stop();
        assert!(!pacer.take(1 << 30));
    }
}

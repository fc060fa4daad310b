//! Keeps background IO below a rate that may be altered at any time, all who share the pacer together.
//!
//! Whoever has read or written some bytes books them, and goes on when they are paid for: bytes are paid at the rate, one
//! booking after the other, and nothing is saved up. Source: `Throttler.java`, `ReplicationQuotaManager.java`.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Longest sleep before it is looked again whether there is a reason to sleep.
pub(super) const SLEEP_MAX: Duration = Duration::from_millis(50);
/// Below this a sleep is put off: the timer is no finer.
const SLEEP_MIN: Duration = Duration::from_millis(1);
/// From this rate on nothing is counted: a second is too short to matter, and the arithmetic stays exact.
const UNLIMITED: f64 = 1e15;

/// A rate, and what was booked under it.
#[derive(Debug)]
pub(super) struct Pacer(Mutex<Account>);

/// A booking: everything that was booked up to it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Booking(u64);

#[derive(Debug)]
struct Account {
    bytes_per_second: f64,
    booked: u64,
    /// Booked, but not paid for at `at`.
    owed: f64,
    at: Instant,
}

impl Default for Pacer {
    /// Without a limit.
    fn default() -> Self {
        Self::new(f64::MAX)
    }
}

impl Pacer {
    /// Bytes per second; below 1 it counts as 1.
    pub(super) fn new(bytes_per_second: f64) -> Self {
        Self(Mutex::new(Account {
            bytes_per_second,
            booked: 0,
            owed: 0.0,
            at: Instant::now(),
        }))
    }

    fn account(&self) -> MutexGuard<'_, Account> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Another rate, also for what is not paid for yet.
    pub(super) fn set_rate(&self, bytes_per_second: f64, now: Instant) {
        let mut account = self.account();
        account.pay(now);
        account.bytes_per_second = bytes_per_second;
    }

    /// Counts bytes that were read or written.
    #[expect(clippy::cast_precision_loss, reason = "bytes of some batches")]
    pub(super) fn book(&self, bytes: u64, now: Instant) -> Booking {
        let mut account = self.account();
        if account.bytes_per_second < UNLIMITED {
            account.pay(now);
            account.booked = account.booked.saturating_add(bytes);
            account.owed += bytes as f64;
        }
        Booking(account.booked)
    }

    /// How long to wait at the present rate until the booking is paid for; `None`: go on.
    #[expect(clippy::cast_precision_loss, reason = "bytes of some batches")]
    pub(super) fn wait(&self, booking: Booking, now: Instant) -> Option<Duration> {
        let mut account = self.account();
        account.pay(now);
        let left = account.owed - account.booked.saturating_sub(booking.0) as f64;
        let seconds = (left / account.rate()).clamp(0.0, 3600.0);
        let wait = Duration::from_secs_f64(seconds);
        (wait >= SLEEP_MIN).then_some(wait)
    }

    /// How long to wait at the present rate until everything that is booked is paid for; `None`: go on.
    pub(super) fn owed(&self, now: Instant) -> Option<Duration> {
        let all = Booking(self.account().booked);
        self.wait(all, now)
    }

    /// Books bytes and sleeps until they are paid for, or `is_over`. False: it is over.
    pub(super) fn take(&self, bytes: u64, is_over: impl Fn() -> bool) -> bool {
        let booking = self.book(bytes, Instant::now());
        loop {
            if is_over() {
                return false;
            }
            match self.wait(booking, Instant::now()) {
                Some(wait) => std::thread::sleep(wait.min(SLEEP_MAX)),
                None => return true,
            }
        }
    }
}

impl Account {
    fn rate(&self) -> f64 {
        self.bytes_per_second.max(1.0)
    }

    fn pay(&mut self, now: Instant) {
        let seconds = now.saturating_duration_since(self.at).as_secs_f64();
        self.owed = (self.owed - seconds * self.rate()).max(0.0);
        if self.bytes_per_second >= UNLIMITED {
            self.owed = 0.0;
        }
        self.at = self.at.max(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn bytes_are_paid_one_after_the_other() {
        let pacer = Pacer::new(1000.0);
        let now = Instant::now() + Duration::from_secs(1);
        let first = pacer.book(500, now);
        assert_eq!(pacer.wait(first, now), Some(500 * MS));
        let second = pacer.book(500, now);
        assert_eq!(pacer.wait(second, now), Some(1000 * MS), "shared by all");
        assert_eq!(
            pacer.wait(first, now + 100 * MS),
            Some(400 * MS),
            "not behind the later one"
        );
        assert_eq!(pacer.wait(first, now + 500 * MS), None);
        assert_eq!(pacer.wait(second, now + 500 * MS), Some(500 * MS));
        let later = now + Duration::from_secs(100);
        let third = pacer.book(100, later);
        assert_eq!(pacer.wait(third, later), Some(100 * MS), "nothing is saved up");
    }

    #[test]
    fn a_sequence_of_pieces_keeps_to_the_rate() {
        // 100 MiB in pieces of a MiB at 10 MiB/s, each piece done in no time.
        let pacer = Pacer::new(f64::from(10 << 20));
        let began = Instant::now() + Duration::from_secs(1);
        let mut now = began;
        for _ in 0..100 {
            let booking = pacer.book(1 << 20, now);
            while let Some(wait) = pacer.wait(booking, now) {
                now += wait.min(SLEEP_MAX);
            }
        }
        let took = now - began;
        assert!(took >= Duration::from_millis(9_998), "{took:?}");
        assert!(took <= Duration::from_millis(10_002), "{took:?}");
    }

    #[test]
    fn another_rate_holds_for_what_is_owed() {
        let pacer = Pacer::new(1.0);
        let now = Instant::now() + Duration::from_secs(1);
        let booking = pacer.book(1_000_000, now);
        assert_eq!(
            pacer.wait(booking, now),
            Some(Duration::from_secs(3600)),
            "bounded"
        );
        pacer.set_rate(1_000_000.0, now);
        assert_eq!(pacer.wait(booking, now), Some(Duration::from_secs(1)));
        pacer.set_rate(f64::MAX, now);
        assert_eq!(pacer.wait(booking, now), None);
        let unlimited = pacer.book(u64::MAX, now);
        assert_eq!(pacer.wait(unlimited, now), None);
        pacer.set_rate(0.0, now);
        let slow = pacer.book(10, now);
        assert_eq!(
            pacer.wait(slow, now),
            Some(Duration::from_secs(10)),
            "0 counts as 1"
        );
    }

    #[test]
    fn who_sleeps_is_woken_when_it_is_over() {
        let pacer = Pacer::new(1.0);
        let asked = std::cell::Cell::new(0);
        let is_over = || asked.replace(asked.get() + 1) == 2;
        assert!(!pacer.take(1 << 30, is_over));
    }
}

//! When a connection has had its time: idle, a request that trickles in, answers that nobody reads. Pure: the clock is
//! an argument.

use std::time::Duration;
use tokio::time::Instant;

/// How long a frame may take before it must arrive at [`PROGRESS_BYTES_PER_SECOND`].
const PROGRESS_GRACE: Duration = Duration::from_secs(10);
/// The slowest request that is still waited for.
const PROGRESS_BYTES_PER_SECOND: usize = 1024;
/// A client that reads nothing for so long, while answers wait, is gone.
const WRITE_STALL: Duration = Duration::from_secs(30);

/// What ran out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Expired {
    #[error("idle for connections.max.idle.ms")]
    Idle,
    #[error("a request arrives slower than {PROGRESS_BYTES_PER_SECOND} bytes a second")]
    Slow,
    #[error("the client reads no answers")]
    Stalled,
}

/// The deadlines of one connection.
pub(super) struct Deadlines {
    max_idle: Duration,
    active_at: Instant,
    /// While the frame at the front is incomplete: when its progress was last looked at, and how much of it was there.
    partial: Option<(Instant, usize)>,
    /// Since when an answer could not be written.
    stalled_since: Option<Instant>,
}

impl Deadlines {
    pub(super) fn new(max_idle: Duration, now: Instant) -> Self {
        Self {
            max_idle,
            active_at: now,
            partial: None,
            stalled_since: None,
        }
    }

    /// Something was read, or a request was answered.
    pub(super) fn on_activity(&mut self, now: Instant) {
        self.active_at = now;
    }

    /// So many bytes of the next frame are there; 0 also when no further frame is wanted yet.
    pub(super) fn on_partial(&mut self, now: Instant, bytes: usize) {
        self.partial = match bytes {
            0 => None,
            _ => self.partial.or(Some((now, bytes))),
        };
    }

    /// The next frame begins anew.
    pub(super) fn on_frame(&mut self) {
        self.partial = None;
    }

    /// The socket takes nothing.
    pub(super) fn on_blocked(&mut self, now: Instant) {
        self.stalled_since = self.stalled_since.or(Some(now));
    }

    /// The socket took something.
    pub(super) fn on_written(&mut self, now: Instant) {
        self.stalled_since = None;
        self.active_at = now;
    }

    /// When to look next although nothing happens.
    pub(super) fn next(&self) -> Instant {
        let idle = self.active_at + self.max_idle;
        let partial = self.partial.map(|(since, _)| since + PROGRESS_GRACE);
        let stalled = self.stalled_since.map(|since| since + WRITE_STALL);
        [partial, stalled].into_iter().flatten().fold(idle, Instant::min)
    }

    /// Looks. `partial_bytes`: what is there of the next frame; `busy`: a request is under way, which is not idleness.
    pub(super) fn check(&mut self, now: Instant, partial_bytes: usize, busy: bool) -> Result<(), Expired> {
        if self
            .stalled_since
            .is_some_and(|since| now.duration_since(since) >= WRITE_STALL)
        {
            return Err(Expired::Stalled);
        }
        if let Some((since, bytes)) = self.partial {
            let waited = now.duration_since(since);
            if waited >= PROGRESS_GRACE {
                let seconds = usize::try_from(waited.as_secs()).unwrap_or(usize::MAX);
                if partial_bytes.saturating_sub(bytes) < seconds.saturating_mul(PROGRESS_BYTES_PER_SECOND) {
                    return Err(Expired::Slow);
                }
                self.partial = Some((now, partial_bytes));
            }
        }
        if now.duration_since(self.active_at) >= self.max_idle {
            if !busy {
                return Err(Expired::Idle);
            }
            self.active_at = now;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const IDLE: Duration = Duration::from_secs(600);

    fn after(start: Instant, seconds: u64) -> Instant {
        start + Duration::from_secs(seconds)
    }

    #[test]
    fn silence_is_idleness_unless_a_request_is_under_way() {
        let start = Instant::now();
        let mut deadlines = Deadlines::new(IDLE, start);
        assert_eq!(deadlines.next(), after(start, 600));
        assert_eq!(deadlines.check(after(start, 600), 0, true), Ok(()));
        assert_eq!(deadlines.next(), after(start, 1200));
        assert_eq!(deadlines.check(after(start, 1200), 0, false), Err(Expired::Idle));
    }

    #[test]
    fn a_byte_every_ten_seconds_is_too_slow_even_after_a_good_start() {
        let start = Instant::now();
        let mut deadlines = Deadlines::new(IDLE, start);
        deadlines.on_partial(start, 100_000);
        deadlines.on_partial(after(start, 10), 100_001);
        assert_eq!(deadlines.next(), after(start, 10));
        assert_eq!(
            deadlines.check(after(start, 10), 100_001, false),
            Err(Expired::Slow)
        );
    }

    #[test]
    fn a_large_request_that_keeps_coming_is_waited_for() {
        let start = Instant::now();
        let mut deadlines = Deadlines::new(IDLE, start);
        deadlines.on_partial(start, 10);
        for tens in 1..20 {
            let now = after(start, 10 * tens);
            deadlines.on_activity(now);
            let arrived = 20_000 * usize::try_from(tens).unwrap();
            deadlines.on_partial(now, arrived);
            assert_eq!(deadlines.check(now, arrived, false), Ok(()));
        }
        deadlines.on_frame();
        assert_eq!(deadlines.check(after(start, 230), 0, false), Ok(()));
    }

    #[test]
    fn answers_that_nobody_reads_end_the_connection() {
        let start = Instant::now();
        let mut deadlines = Deadlines::new(IDLE, start);
        deadlines.on_blocked(start);
        deadlines.on_blocked(after(start, 20));
        assert_eq!(deadlines.next(), after(start, 30));
        assert_eq!(deadlines.check(after(start, 30), 0, true), Err(Expired::Stalled));
        deadlines.on_written(after(start, 30));
        assert_eq!(deadlines.check(after(start, 31), 0, true), Ok(()));
    }
}

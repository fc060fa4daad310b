//! Waiting for a condition with a deadline.

use std::time::{Duration, Instant};

/// Polls `condition` until it gives a value; panics with `what` once `deadline` has passed.
///
/// # Panics
/// When the deadline passes: the test has failed.
pub fn until<T>(what: &str, deadline: Duration, mut condition: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(value) = condition() {
            return value;
        }
        assert!(start.elapsed() < deadline, "not within {deadline:?}: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

//! Waiting for a condition with a deadline.

use std::time::{Duration, Instant};

/// Polls `condition` until it gives a value.
///
/// # Errors
/// When it has not once `deadline` has passed: `what` was waited for.
pub fn wait<T>(
    what: &str,
    deadline: Duration,
    mut condition: impl FnMut() -> Option<T>,
) -> Result<T, String> {
    let start = Instant::now();
    loop {
        if let Some(value) = condition() {
            return Ok(value);
        }
        if start.elapsed() >= deadline {
            return Err(format!("not within {deadline:?}: {what}"));
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Likewise, in a test that has failed when the deadline passes.
///
/// # Panics
/// When it passes.
pub fn until<T>(what: &str, deadline: Duration, condition: impl FnMut() -> Option<T>) -> T {
    wait(what, deadline, condition).unwrap_or_else(|error| panic!("{error}"))
}

//! Waiting for a condition with a deadline; a drill goes on and reports when it passes.

use crate::Outcome;
use std::time::{Duration, Instant};

/// Polls `condition` until it gives a value.
///
/// # Errors
/// When it has not within `deadline`.
pub fn wait<T>(what: &str, deadline: Duration, mut condition: impl FnMut() -> Option<T>) -> Outcome<T> {
    let start = Instant::now();
    loop {
        if let Some(value) = condition() {
            return Ok(value);
        }
        if start.elapsed() > deadline {
            return Err(format!("not within {deadline:?}: {what}"));
        }
        std::thread::sleep(Duration::from_millis(40));
    }
}

//! Logs: `tracing` events as text or JSON on standard output, with a level that can change while the node runs.

mod filter;
mod log_control;

pub use filter::{FilterError, check_level};
pub use log_control::{LogControl, LogFormat, TelemetryError, init};

//! The host against a log in memory: loading, failover, unknown outcomes, timers.

mod failover;
mod fake;
mod serving;
mod topic;

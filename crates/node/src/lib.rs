//! A node: its configuration, its roles, their life cycle, and how it is watched.
//!
//! ```text
//! config ──► storage check ──► controller ──► broker ──► ready ──SIGTERM──► broker ──► controller ──► end
//!                                  admin endpoint and logs from the first moment to the last
//! ```

pub mod admin;
pub mod config;
pub mod leader_election;
mod life;
pub mod quorum;
pub mod roles;
pub mod storage;
pub mod telemetry;

pub use life::{NodeError, run};

//! Real `milena` processes, a real client (librdkafka), and a checker that knows every acknowledged record.
//!
//! [`Cluster`] starts nodes on loopback ports below the ephemeral range and kills them; [`Load`] is an idempotent acks=all producer
//! at a steady rate that remembers what was acknowledged, where and when; [`check`] reads everything back and compares.
//! Nothing here waits for a fixed time: every wait is for a condition, with a deadline.

pub mod admin;
pub mod check;
mod cluster;
mod connection;
mod gap;
mod lines;
mod load;
mod metrics;
mod once;
mod ports;
pub mod reassign;
mod replicas;
mod wait;

pub use cluster::{Cluster, Settings};
pub use connection::Connection;
pub use gap::gap_in;
pub use lines::sample_lines;
pub use load::{Acked, Load, LoadReport, producer};
pub use metrics::{ask, metric};
pub use once::is_acknowledged;
pub use ports::free_ports;
pub use replicas::{assert_replicas_identical, replicas_difference};
pub use wait::{until, wait};

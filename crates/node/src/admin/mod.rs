//! The HTTP admin endpoint (`milena.admin.listen`): health, readiness, metrics, log level. For loopback: it asks for no password.

mod client;
mod metrics;
mod process;
mod routes;
mod server;

pub use client::{HealthError, is_ready};
pub use routes::Readiness;
pub(crate) use routes::Watched;
pub(crate) use server::serve;

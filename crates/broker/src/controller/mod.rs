//! The broker's side of the controller quorum, all on the control thread.
//!
//! ```text
//!   client          finds the active controller, retries until a deadline
//!   registration    register, heartbeat, unfence, controlled shutdown
//!   subscription    the metadata log: snapshot, then batches, into the metadata cache
//!   alter_partition ISR proposals of all partitions, one request in flight
//!   suspicion       a peer's streams broke: dial it, and report it if nothing listens
//!   cluster         the metadata image and administrative requests, for handlers and coordinators
//!   control         what the data threads see of all this
//! ```

mod alter_partition;
mod answers;
mod client;
mod cluster;
mod control;
mod registration;
mod replica_reports;
mod subscription;
mod suspicion;

#[cfg(test)]
mod fake_quorum;
#[cfg(test)]
#[path = "controller_test.rs"]
mod tests;

pub use client::{ControllerClient, ControllerError};
pub use cluster::ClusterHandle;
pub use control::BrokerControl;
pub use milena_metadata::broker_life::BrokerState;
pub use registration::{BrokerSelf, Registration, RegistrationError};
pub use subscription::Subscription;

//! Why a broker does not start.

use crate::controller::{ControllerError, RegistrationError};
use crate::shard::LogDirsError;
use milena_rpc::channel::AddressError;
use std::net::SocketAddr;

/// Why a broker does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// An address is taken or not ours.
    #[error("listen on {address} for listener {listener}")]
    Bind {
        /// The listener's name.
        listener: String,
        /// Where.
        address: SocketAddr,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// An entry of `controller.quorum.voters` is no address.
    #[error("controller.quorum.voters")]
    Voters(#[from] AddressError),
    /// No controller told the cluster's id.
    #[error("learn the cluster id")]
    ClusterId(#[source] ControllerError),
    /// The quorum has agreed on no id within `initial.broker.registration.timeout.ms`.
    #[error("the controllers have not formed a cluster yet")]
    NoCluster,
    /// A log directory is not usable.
    #[error(transparent)]
    LogDirs(#[from] LogDirsError),
    /// The controller does not take this broker.
    #[error("register with the controller")]
    Registration(#[from] RegistrationError),
    /// A thread or runtime could not be made.
    #[error("start threads")]
    Threads(#[source] std::io::Error),
    /// It was stopped before it was ready.
    #[error("stopped before the broker was ready")]
    Stopped,
    /// The control thread ended before it was ready.
    #[error("the control thread ended before the broker was ready")]
    Gone,
}

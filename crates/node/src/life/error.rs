//! Why a node did not start, or did not go on.

use crate::roles::ResolveError;
use crate::storage::StorageError;
use milena_broker::StartError;
use milena_controller::ControllerError;

/// Why a node ended without being asked to.
#[derive(Debug, thiserror::Error)]
pub enum NodeError {
    /// The directories are not this node's.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// A listener's host is unknown.
    #[error(transparent)]
    Resolve(#[from] ResolveError),
    /// The admin endpoint cannot be opened.
    #[error("milena.admin.listen: cannot listen on {address}")]
    Admin {
        /// As configured.
        address: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The controller did not start.
    #[error("the controller cannot start")]
    ControllerStart(#[source] ControllerError),
    /// The broker did not start.
    #[error("the broker cannot start")]
    BrokerStart(#[source] StartError),
    /// The controller ended by itself.
    #[error("the controller stopped")]
    ControllerEnded(#[source] ControllerError),
    /// A role ended by itself without saying why.
    #[error("the {0} stopped without being asked to")]
    Ended(&'static str),
    /// No rule can be switched off under that name.
    #[error("MILENA_MUTANT: there is no rule {0:?}")]
    Mutant(String),
    /// The runtime or its signal handlers cannot be made.
    #[error("cannot start the node's runtime")]
    Runtime(#[from] std::io::Error),
}

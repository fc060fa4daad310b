//! The life of a node, from its checked configuration to its end.

mod error;
mod limits;
mod mutant;
mod node;
mod readiness;
mod signals;
mod stop;

pub use error::NodeError;
pub use node::run;

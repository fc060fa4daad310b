//! What `deploy/` holds, tried on this machine: the compose file as processes, the quick start as it is.
//!
//! There is no container engine here: [`Stage`] starts each service of the compose file as a process with exactly its
//! environment, in which only host names, ports and paths stand for something else.

mod compose;
mod program;
mod stage;

pub use compose::{Service, parse};
pub use program::{milena, repository};
pub use stage::Stage;

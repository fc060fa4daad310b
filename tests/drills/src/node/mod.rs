//! A cluster of real processes, each in its own network namespace and with its data on its own disk.

mod cluster;
mod disk;
mod flush;
mod layout;
mod leftovers;
mod power;
mod preflight;
mod process;
mod properties;

pub use cluster::Cluster;
pub use flush::fail_one_flush;
pub use layout::Layout;
pub use preflight::may_run;
pub use process::{binary, step_back, tool};
pub use properties::{CLIENT_PORT, CONTROLLER_PORT};

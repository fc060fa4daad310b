//! The gRPC front of the controller: converts, asks the planner, converts back.

mod controller;
mod quorum;
mod subscribe;

pub(crate) use controller::ControllerService;
pub(crate) use quorum::Quorum;
pub use quorum::{QuorumStatus, VoterStatus};

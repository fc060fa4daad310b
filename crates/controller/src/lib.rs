//! The controller: the metadata quorum of a cluster and everything that only its leader does.
//!
//! ```text
//! gRPC ──► service ──► Planner: plan(image) ──► raft ──► StateMachine ──► CommittedLog ──► Subscribe streams
//!                          ▲                     │ ▲                          │
//!                       liveness, suspicion      ▼ │ peers                    └──► the planner's next image
//!                                             LogStore (RocksDB)
//! ```
//!
//! It runs on one thread of its own with a current-thread runtime, so that elections do not wait for the data path;
//! the second thread syncs the WAL. openraft and RocksDB are named nowhere else in the workspace.

mod bootstrap;
#[cfg(test)]
mod cluster_test;
mod config;
mod controller;
mod handle;
mod planner;
mod publish;
mod raft;
mod running;
mod service;
#[cfg(test)]
mod sim_test;
mod store;

pub use config::{ControllerConfig, ControllerError, Listen, StoreOptions, Voter};
pub use controller::{Controller, METADATA_FOLDER};
pub use handle::ControllerHandle;
pub use service::{QuorumStatus, VoterStatus};
pub use store::StoreError;

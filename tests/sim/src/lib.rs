//! A deterministic simulator of a whole cluster.
//!
//! The product's own decisions (`milena-metadata`: plan, apply, liveness; `milena-replication`: leader, follower, roles) and its
//! own log (`milena-log`, on a file system that loses what was not forced to the disk) run under one scheduler, whose seed
//! decides everything: how long messages take, what is lost, who dies, when. Written anew is only transport. Every step is
//! judged by what must never be ([`oracle`]), and every run ends in peace, in which the cluster has to become whole ([`liveness`]).
//!
//! ```text
//! seed ─► settings, faults ─► scheduler ─► event ─► broker │ controller │ client ─► more events
//!                                                     └──────► oracle ─► violation ─► replay line
//! ```

pub mod broker;
pub mod client;
pub mod controller;
pub mod coverage;
pub mod cx;
pub mod deposed;
pub mod disk;
pub mod event;
pub mod faults;
pub mod late;
pub mod liveness;
pub mod minimise;
#[cfg(feature = "mutants")]
pub mod model;
#[cfg(feature = "mutants")]
pub mod mutants;
pub mod network;
pub mod oracle;
pub mod random;
pub mod report;
pub mod scheduler;
pub mod settings;
pub mod time;
pub mod trace;
pub mod world;

//! Drills: real nodes, each in its own network namespace and on its own disk, real clients, and faults that a machine really has.
//!
//! `node` runs the processes, `net` cuts the links between them, `proxy` holds what passes; `client` are librdkafka's producers and
//! consumers, and single requests to brokers that ought to refuse them; `oracle` judges what clients saw, and is pure. [`drills`] are the
//! faults, one a file; [`report`] is what a run leaves. Only root can make namespaces, mounts and cuts.

mod client;
mod clock;
mod command;
pub mod control;
pub mod drills;
mod net;
mod node;
mod oracle;
mod proxy;
pub mod report;
mod stage;

pub use node::{binary, may_run, step_back};

/// What a step gives, or why the drill cannot go on.
pub type Outcome<T> = Result<T, String>;

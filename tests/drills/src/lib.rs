//! Drills: real nodes, each in its own network namespace and on its own disk, real clients, and faults that a machine really has.
//!
//! [`node`] runs the processes, [`net`] cuts the links between them, [`proxy`] holds what passes; [`client`] are librdkafka's producers and
//! consumers, and single requests to brokers that ought to refuse them; [`oracle`] judges what clients saw, and is pure. [`drills`] are the
//! faults, one a file; [`report`] is what a run leaves. Only root can make namespaces, mounts and cuts.

pub mod client;
mod clock;
mod command;
pub mod control;
pub mod drills;
pub mod net;
pub mod node;
pub mod oracle;
pub mod proxy;
pub mod report;
mod stage;
mod wait;

pub use clock::Clock;
pub use stage::{Stage, StageSettings};

/// What a step gives, or why the drill cannot go on.
pub type Outcome<T> = Result<T, String>;

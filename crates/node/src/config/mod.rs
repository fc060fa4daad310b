//! Configuration of a node: Kafka's `server.properties`, the `KAFKA_*` environment of its images, overrides.
//!
//! `properties` and `environment` read text, `layers` decides who wins, `milena_metadata::config::broker` says what each key is,
//! `load` checks everything and reports all problems at once, `topology` derives listeners, roles and voters.
//! Nothing here touches the network, and only [`load::Inputs::gather`] reads a file.

mod address;
mod contradictions;
mod environment;
mod finding;
mod layers;
mod legacy;
mod load;
mod nearest;
mod properties;
mod quorum_timing;
mod settings;
mod topology;
mod used;

pub use address::{Address, Listener, Voter};
pub use finding::{ConfigError, Problem};
pub use load::{Inputs, Loaded, load};
pub use milena_metadata::config::broker::{Allowed, KeySpec, Kind, Value, all_keys, lookup};
pub(crate) use quorum_timing::QuorumTiming;
pub use settings::{Origin, Settings};
pub use topology::{NodeConfig, Roles};
pub use used::USED_KEYS;

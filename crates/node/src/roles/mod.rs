//! From the node's configuration to each role's own.

mod broker;
mod controller;
mod resolve;

pub use broker::broker_config;
pub use controller::controller_config;
pub use resolve::ResolveError;
pub(crate) use resolve::resolve;

#[cfg(test)]
mod used_keys_test;

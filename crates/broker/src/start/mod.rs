//! Starts and stops a broker: what is made in which order, on which thread.
//!
//! ```text
//! bind listeners ─► learn the cluster id ─► open log directories ─► control thread's services ─► data threads
//!   ─► register ─► follow the metadata ─► serve brokers ─► (unfenced) serve clients
//! controlled shutdown ─► stop serving ─► close logs ─► clean-shutdown file
//! ```

mod control;
mod doors;
mod error;
mod first_image;
mod handle;
mod listeners;

pub use error::StartError;
pub use handle::{Broker, BrokerHandle};

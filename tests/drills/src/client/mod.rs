//! The clients of a drill: librdkafka's producers and consumers, and single requests that no client library would send.

mod churn;
mod consumer;
mod disk;
mod each;
mod ledger;
mod probe;
mod producer;
mod watch;

pub use churn::{Churn, configured, topic_ids};
pub use consumer::Consumers;
pub use disk::written_under;
pub use ledger::Ledger;
pub use probe::{Probe, Said};
pub use producer::{Load, is_unknown};
pub use watch::{Shown, Watch};

//! The leader's side of one partition, for one leader epoch.
//!
//! ```text
//!   log start ≤ high watermark ≤ min over the maximal ISR of the advertised offsets
//!   advertised ≤ log end, on every replica; epoch start ≤ log end of the leader
//!   maximal ISR = committed ISR ∪ every ISR proposed since that was committed
//! ```

mod at_risk;
mod attach;
mod isr;
mod progress;
mod readable;
mod state;
mod watermark;

#[cfg(test)]
mod lag_test;
#[cfg(test)]
mod model_test;
#[cfg(test)]
mod state_test;

pub use attach::{Attach, AttachAnswer, AttachmentId, LogSummary};
pub use isr::{IsrProposal, ProposalId};
pub use progress::{LogEnds, ReplicaStatus};
pub use readable::{ReadableFollower, rack_aware};
pub use state::{Leader, LeaderRules, LeaderTerm};
pub use watermark::AckOutcome;

//! The follower's side of one partition: what must be truncated before it may follow, where its
//! log begins, what it loses by that, and what it knows to be committed.

mod log_start;
mod loss;
mod refilled;
mod truncated;
mod truncation;
mod watermark;

pub use log_start::{adopted_log_start, restart_for_batch};
pub use loss::{LogTail, Loss, loss};
pub use refilled::{CutTail, Filled, FilledLog, Refilled, refilled};
pub use truncated::Truncated;
pub use truncation::{Truncation, truncation_for_divergence, truncation_out_of_range};
pub use watermark::FollowerHighWatermark;

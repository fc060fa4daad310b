//! The follower's side of one partition: what must be truncated before it may follow, and what it knows to be committed.

mod truncation;
mod watermark;

pub use truncation::{Truncation, truncation_for_divergence, truncation_out_of_range};
pub use watermark::FollowerHighWatermark;

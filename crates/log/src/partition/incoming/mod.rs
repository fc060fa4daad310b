//! What comes to a leader's log, before it may enter.
//!
//! ```text
//! PartitionLog::append_client   as far as it can be done at once ──► in the log
//!          ▲       └► Work: walk its records, or write them anew
//!          └──────────────┘ run on any thread
//! ```

mod batch;
mod heavy;
mod recompress;
mod validate;

pub use batch::{ClientBatch, Step, Work};

pub(super) use batch::Checked;
pub(super) use heavy::{is_heavy_rewrite, walk_limit};
pub(super) use recompress::{rewrite, target_codec};
pub(super) use validate::{of_client, of_coordinator};

//! Kafka's checkpoint files: small texts of a version line, a count line and one line per entry.

mod epochs;
mod offsets;
pub(crate) mod text;

pub use epochs::{encode_epochs, parse_epochs};
pub use offsets::{OffsetCheckpoint, encode_offsets, parse_offsets};
pub use text::CheckpointError;

pub(crate) use offsets::parse_offset_line;

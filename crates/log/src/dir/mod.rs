//! One of `log.dirs`: who it belongs to, what it holds, its checkpoints, how it was left.

mod clean_shutdown;
mod cleaner_offsets;
mod dir_offsets;
mod idle_logs;
mod log_dir;
mod meta_properties;

pub use dir_offsets::{CheckpointWrite, Checkpointed, DirOffsets};
pub use log_dir::{LogDir, LogDirError};
pub use meta_properties::{MetaProperties, MetaPropertiesError};

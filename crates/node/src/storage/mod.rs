//! What a node's directories say they are: `meta.properties` of every log dir and of the metadata dir.
//!
//! Nothing is locked or changed by looking; `format` writes only where nothing is.

mod directory;
mod format;
mod inspect;

pub use directory::{Directory, DirectoryState};
pub use format::{Formatted, format};
pub(crate) use format::{cluster_id, format_metadata_dir};
pub use inspect::{StorageError, agreed_cluster, inspect};

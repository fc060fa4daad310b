//! One directory as it is found.

use milena_log::MetaProperties;
use std::path::{Path, PathBuf};

/// The longest `meta.properties` that is read.
const META_BYTES_MAX: u64 = 64 * 1024;

/// A directory of the configuration.
#[derive(Clone, Debug)]
pub struct Directory {
    /// Where.
    pub path: PathBuf,
    /// What it is.
    pub state: DirectoryState,
}

/// What a directory is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DirectoryState {
    /// It is not there, or has no `meta.properties`.
    Unformatted,
    /// It belongs to a node of a cluster.
    Formatted(MetaProperties),
    /// Its `meta.properties` cannot be understood.
    Damaged(String),
    /// Its `meta.properties` cannot be read: the disk is bad.
    Unreadable(String),
}

impl Directory {
    /// Looks at a directory.
    #[must_use]
    pub(super) fn look(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
            state: state(&path.join("meta.properties")),
        }
    }
}

fn state(file: &Path) -> DirectoryState {
    let bytes = match std::fs::metadata(file) {
        Ok(found) if found.len() > META_BYTES_MAX => {
            return DirectoryState::Damaged("it is too long".to_owned());
        }
        Ok(_) => std::fs::read(file),
        Err(error) => Err(error),
    };
    match bytes {
        Ok(bytes) => match MetaProperties::parse(&String::from_utf8_lossy(&bytes)) {
            Ok(meta) => DirectoryState::Formatted(meta),
            Err(error) => DirectoryState::Damaged(error.to_string()),
        },
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => DirectoryState::Unformatted,
        Err(error) => DirectoryState::Unreadable(error.to_string()),
    }
}

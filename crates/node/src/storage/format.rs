//! Writes `meta.properties` into the directories that have none.

use super::directory::DirectoryState;
use super::inspect::{StorageError, agreed_cluster, inspect};
use crate::config::NodeConfig;
use milena_log::{LogDir, LogDirError};
use milena_types::ClusterId;
use std::path::PathBuf;

/// What `format` did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Formatted {
    /// Directories that were formatted now.
    pub written: Vec<PathBuf>,
    /// Directories that already were, for this node and cluster.
    pub left: Vec<PathBuf>,
    /// Directories that cannot be read or written, with the reason.
    pub failed: Vec<(PathBuf, String)>,
}

/// Checks the text of a cluster id.
///
/// # Errors
/// [`StorageError::ClusterId`].
pub(crate) fn cluster_id(text: &str) -> Result<ClusterId, StorageError> {
    let is_allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    match (1..=100).contains(&text.len()) && text.chars().all(is_allowed) {
        true => Ok(ClusterId(text.to_owned())),
        false => Err(StorageError::ClusterId(text.chars().take(200).collect())),
    }
}

/// Formats every directory of the node for a cluster; bad disks are named, not an error: a node can do without.
///
/// # Errors
/// When a directory is formatted already and `ignore_formatted` is false, or belongs to another node or cluster.
pub fn format(node: &NodeConfig, cluster: &str, ignore_formatted: bool) -> Result<Formatted, StorageError> {
    let cluster = cluster_id(cluster)?;
    let directories = inspect(node);
    if !ignore_formatted {
        for directory in &directories {
            if let DirectoryState::Formatted(meta) = &directory.state {
                let (path, cluster) = (directory.path.clone(), meta.cluster_id.clone());
                return Err(StorageError::AlreadyFormatted { path, cluster });
            }
        }
    }
    agreed_cluster(&directories, node.node_id, Some(&cluster))?;
    let mut done = Formatted::default();
    for directory in directories {
        match directory.state {
            DirectoryState::Unformatted => {}
            DirectoryState::Unreadable(reason) => {
                done.failed.push((directory.path, reason));
                continue;
            }
            DirectoryState::Formatted(_) | DirectoryState::Damaged(_) => {
                done.left.push(directory.path);
                continue;
            }
        }
        let opened = LogDir::open(&directory.path, node.node_id, Some(&cluster));
        match opened {
            Ok(_) => done.written.push(directory.path),
            Err(LogDirError::Log(error)) => done
                .failed
                .push((directory.path, format!("{error}: {}", error.source))),
            Err(source) => {
                let path = directory.path;
                return Err(StorageError::Format { path, source });
            }
        }
    }
    Ok(done)
}

/// Formats the metadata directory when it is not formatted yet; true when it was done now.
///
/// # Errors
/// As [`format`].
pub(crate) fn format_metadata_dir(node: &NodeConfig, cluster: &ClusterId) -> Result<bool, StorageError> {
    let path = &node.metadata_log_dir;
    let directory = super::directory::Directory::look(path);
    agreed_cluster(std::slice::from_ref(&directory), node.node_id, Some(cluster))?;
    if directory.state != DirectoryState::Unformatted {
        return Ok(false);
    }
    match LogDir::open(path, node.node_id, Some(cluster)) {
        Ok(_) => Ok(true),
        Err(source) => Err(StorageError::Format {
            path: path.clone(),
            source,
        }),
    }
}

//! Do the directories belong to this node, and all to one cluster?

use super::directory::{Directory, DirectoryState};
use crate::config::NodeConfig;
use milena_types::{BrokerId, ClusterId};
use std::path::PathBuf;

/// Why a node must not use its directories.
#[derive(Debug, thiserror::Error)]
pub enum StorageError {
    /// A directory is of another node.
    #[error("{} belongs to node {found}, this is node {expected} (node.id): refusing to use it", path.display())]
    OtherNode {
        /// The directory.
        path: PathBuf,
        /// Whose it is.
        found: BrokerId,
        /// This node.
        expected: BrokerId,
    },
    /// A directory is of another cluster.
    #[error("{} belongs to cluster {found}, this node to {expected} ({because}): refusing to use it", path.display())]
    OtherCluster {
        /// The directory.
        path: PathBuf,
        /// Whose it is.
        found: ClusterId,
        /// What this node is told or has found elsewhere.
        expected: ClusterId,
        /// Who says so: `--cluster-id`, or another directory.
        because: String,
    },
    /// A directory's `meta.properties` is damaged.
    #[error("{}/meta.properties: {reason}", path.display())]
    Damaged {
        /// The directory.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// A directory is formatted already.
    #[error("{} is already formatted, for cluster {cluster}; --ignore-formatted leaves it and formats the others", path.display())]
    AlreadyFormatted {
        /// The directory.
        path: PathBuf,
        /// Its cluster.
        cluster: ClusterId,
    },
    /// A directory cannot be formatted.
    #[error("cannot format {}", path.display())]
    Format {
        /// The directory.
        path: PathBuf,
        /// Why.
        #[source]
        source: milena_log::LogDirError,
    },
    /// A cluster id that `meta.properties` can not hold.
    #[error(
        "'{0}' is not a cluster id; allowed: 1 to 100 letters, digits, '-', '_' and '.', for example of `milena storage random-uuid`"
    )]
    ClusterId(String),
}

/// Looks at every directory of the configuration, log dirs first, each once.
#[must_use]
pub fn inspect(node: &NodeConfig) -> Vec<Directory> {
    let mut paths: Vec<&PathBuf> = node.log_dirs.iter().collect();
    if !paths.contains(&&node.metadata_log_dir) {
        paths.push(&node.metadata_log_dir);
    }
    paths.into_iter().map(|path| Directory::look(path)).collect()
}

/// The cluster that the directories belong to; `asked` when none is formatted.
///
/// # Errors
/// When a directory belongs to another node or cluster, or is damaged.
pub fn agreed_cluster(
    directories: &[Directory],
    node_id: BrokerId,
    asked: Option<&ClusterId>,
) -> Result<Option<ClusterId>, StorageError> {
    let mut agreed = asked.map(|id| (id.clone(), "--cluster-id or CLUSTER_ID".to_owned()));
    for Directory { path, state } in directories {
        let meta = match state {
            // Whether the node can do without it is seen when it is used.
            DirectoryState::Unformatted | DirectoryState::Unreadable(_) => continue,
            DirectoryState::Damaged(reason) => {
                return Err(StorageError::Damaged {
                    path: path.clone(),
                    reason: reason.clone(),
                });
            }
            DirectoryState::Formatted(meta) => meta,
        };
        if meta.node_id != node_id {
            return Err(StorageError::OtherNode {
                path: path.clone(),
                found: meta.node_id,
                expected: node_id,
            });
        }
        match &agreed {
            Some((expected, because)) if *expected != meta.cluster_id => {
                return Err(StorageError::OtherCluster {
                    path: path.clone(),
                    found: meta.cluster_id.clone(),
                    expected: expected.clone(),
                    because: because.clone(),
                });
            }
            _ => agreed = Some((meta.cluster_id.clone(), path.display().to_string())),
        }
    }
    Ok(agreed.map(|(cluster, _)| cluster))
}

#[cfg(test)]
mod tests {
    use super::*;
    use milena_log::MetaProperties;

    fn directory(path: &str, node: i32, cluster: &str) -> Directory {
        let meta = MetaProperties {
            cluster_id: ClusterId(cluster.to_owned()),
            node_id: BrokerId(node),
            directory_id: None,
        };
        Directory {
            path: PathBuf::from(path),
            state: DirectoryState::Formatted(meta),
        }
    }

    #[test]
    fn directories_of_another_node_or_cluster_are_refused_by_name() {
        let empty = Directory {
            path: PathBuf::from("/e"),
            state: DirectoryState::Unformatted,
        };
        let damaged = Directory {
            path: PathBuf::from("/d"),
            state: DirectoryState::Damaged("no version".into()),
        };
        let unreadable = Directory {
            path: PathBuf::from("/u"),
            state: DirectoryState::Unreadable("Input/output error".into()),
        };
        let a = ClusterId("a".to_owned());
        let agreed = |dirs: &[Directory], asked| agreed_cluster(dirs, BrokerId(1), asked);
        assert_eq!(agreed(std::slice::from_ref(&empty), None).unwrap(), None);
        assert_eq!(
            agreed(std::slice::from_ref(&empty), Some(&a)).unwrap(),
            Some(a.clone())
        );
        assert_eq!(
            agreed(&[empty, unreadable, directory("/x", 1, "a")], None).unwrap(),
            Some(a.clone())
        );
        for (dirs, asked, parts) in [
            (vec![directory("/x", 2, "a")], None, ["/x", "node 2", "node 1"]),
            (
                vec![directory("/x", 1, "b")],
                Some(&a),
                ["/x", "cluster b", "--cluster-id"],
            ),
            (
                vec![directory("/x", 1, "a"), directory("/y", 1, "b")],
                None,
                ["/y", "cluster b", "/x"],
            ),
            (vec![damaged], None, ["/d", "meta.properties", "no version"]),
        ] {
            let error = agreed(&dirs, asked).unwrap_err().to_string();
            assert!(parts.iter().all(|part| error.contains(part)), "{error}");
        }
    }
}

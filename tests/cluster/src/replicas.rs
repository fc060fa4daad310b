//! INV-R-9 from outside: the replicas' files, byte by byte.

use crate::cluster::Cluster;
use crate::wait::until;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Waits until all nodes hold the same bytes, and some, for each partition of `topic`; call it when nothing is written any more.
///
/// # Panics
/// When they still differ after 20 s, or one has none; names partition, nodes and position.
pub fn assert_replicas_identical(cluster: &Cluster, topic: &str, partitions: i32) {
    for partition in 0..partitions {
        let mut difference = String::new();
        let start = std::time::Instant::now();
        let dir = |id: i32| (id, cluster.partition_dir(id, topic, partition));
        let same = || match replicas_difference(&cluster.ids().into_iter().map(dir).collect::<Vec<_>>()) {
            None => Some(true),
            Some(found) => {
                difference = found;
                (start.elapsed() > Duration::from_secs(19)).then_some(false)
            }
        };
        let identical = until("identical replicas", Duration::from_secs(20), same);
        assert!(
            identical,
            "{topic}-{partition}: {difference}\n{}",
            cluster.tails()
        );
    }
}

/// How the logs in these directories, of one partition on several nodes, differ now; `None`: they are the same, and not empty.
#[must_use]
pub fn replicas_difference(dirs: &[(i32, Option<PathBuf>)]) -> Option<String> {
    let mut first: Option<(i32, Vec<u8>)> = None;
    for (id, dir) in dirs {
        let bytes = dir.as_ref().ok_or_else(|| std::io::ErrorKind::NotFound.into());
        let bytes = match bytes.and_then(|dir| log_bytes(dir)) {
            Ok(bytes) if !bytes.is_empty() => bytes,
            nothing => return Some(format!("node {id} has {nothing:?}")),
        };
        let Some((node, expected)) = &first else {
            first = Some((*id, bytes));
            continue;
        };
        if bytes != *expected {
            let at = expected.iter().zip(&bytes).position(|(a, b)| a != b);
            return Some(format!(
                "node {node} has {} bytes, node {id} has {}; they differ first at {at:?}",
                expected.len(),
                bytes.len()
            ));
        }
    }
    None
}

/// All segments, one after the other.
fn log_bytes(dir: &Path) -> std::io::Result<Vec<u8>> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(dir)? {
        files.push(entry?.path());
    }
    files.retain(|path| path.extension().is_some_and(|e| e == "log"));
    files.sort();
    let mut all = Vec::new();
    for file in files {
        all.extend(std::fs::read(file)?);
    }
    Ok(all)
}

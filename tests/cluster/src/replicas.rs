//! INV-R-9 from outside: the replicas' files, byte by byte.

use crate::cluster::Cluster;
use crate::wait::until;
use std::path::Path;
use std::time::Duration;

/// Waits until all nodes hold the same bytes for each partition of `topic`; call it when nothing is written any more.
///
/// # Panics
/// When they still differ after 20 s; names partition, nodes and position.
pub fn assert_replicas_identical(cluster: &Cluster, topic: &str, partitions: i32) {
    for partition in 0..partitions {
        let mut difference = String::new();
        let start = std::time::Instant::now();
        let same = || {
            let logs: Vec<(i32, Vec<u8>)> = cluster
                .ids()
                .into_iter()
                .map(|id| {
                    let dir = cluster.partition_dir(id, topic, partition).unwrap_or_default();
                    (id, log_bytes(&dir))
                })
                .collect();
            let (first, rest) = logs.split_first()?;
            for other in rest {
                if other.1 != first.1 {
                    let at = first.1.iter().zip(&other.1).position(|(a, b)| a != b);
                    difference = format!(
                        "{topic}-{partition}: node {} has {} bytes, node {} has {}; they differ first at {at:?}",
                        first.0,
                        first.1.len(),
                        other.0,
                        other.1.len()
                    );
                    return (start.elapsed() > Duration::from_secs(19)).then_some(false);
                }
            }
            Some(true)
        };
        let identical = until("identical replicas", Duration::from_secs(20), same);
        assert!(identical, "{difference}\n{}", cluster.tails());
    }
}

fn log_bytes(dir: &Path) -> Vec<u8> {
    let mut files: Vec<_> = std::fs::read_dir(dir)
        .map(|entries| entries.flatten().map(|e| e.path()).collect())
        .unwrap_or_default();
    files.retain(|p: &std::path::PathBuf| p.extension().is_some_and(|e| e == "log"));
    files.sort();
    files
        .iter()
        .flat_map(|f| std::fs::read(f).unwrap_or_default())
        .collect()
}

//! DescribeLogDirs (35): what lies in this broker's log directories. Source: `ReplicaManager.describeLogDirs`.

use super::text::{text, topic_name};
use crate::kafka::dispatch::Call;
use crate::shard::{LogDirDescription, ReplicaDescription};
use milena_types::ErrorCode;
use milena_wire::messages::DescribeLogDirsResponse;
use milena_wire::messages::describe_log_dirs_response::{
    DescribeLogDirsPartition, DescribeLogDirsResult, DescribeLogDirsTopic,
};
use milena_wire::split::DescribeLogDirsRequest;
use std::collections::{BTreeMap, HashSet};

/// (topic, partition) pairs to show; `None`: all.
type Filter = Option<HashSet<(String, i32)>>;

pub(in crate::kafka) async fn handle(
    call: &Call,
    request: DescribeLogDirsRequest,
) -> DescribeLogDirsResponse {
    let filter: Filter = request.elements.map(|topics| {
        let pairs = topics.iter().flat_map(|topic| {
            let name = topic.topic.as_str().to_owned();
            topic
                .partitions
                .into_iter()
                .map(move |partition| (name.clone(), partition))
        });
        pairs.collect()
    });
    let dirs = call.peer.ctx.router.describe_log_dirs().await;
    let rows = dirs.into_iter().map(|dir| row(dir, &filter));
    DescribeLogDirsResponse::default().with_results(rows.collect())
}

fn row(dir: LogDirDescription, filter: &Filter) -> DescribeLogDirsResult {
    let (total, usable) = match dir.error {
        ErrorCode::None => disk_space(&dir.path),
        _ => (-1, -1),
    };
    let mut topics: BTreeMap<String, Vec<DescribeLogDirsPartition>> = BTreeMap::new();
    for replica in dir.replicas {
        let ReplicaDescription {
            id,
            topic,
            size_bytes,
            offset_lag,
            is_future,
        } = replica;
        let key = (topic.as_str().to_owned(), id.partition.0);
        if filter.as_ref().is_none_or(|filter| filter.contains(&key)) {
            let partition = DescribeLogDirsPartition::default()
                .with_partition_index(id.partition.0)
                .with_partition_size(i64::try_from(size_bytes).unwrap_or(i64::MAX))
                .with_offset_lag(offset_lag)
                .with_is_future_key(is_future);
            topics.entry(key.0).or_default().push(partition);
        }
    }
    let topics = topics.into_iter().map(|(name, mut partitions)| {
        partitions.sort_by_key(|partition| partition.partition_index);
        DescribeLogDirsTopic::default()
            .with_name(topic_name(name))
            .with_partitions(partitions)
    });
    DescribeLogDirsResult::default()
        .with_error_code(dir.error.code())
        .with_log_dir(text(dir.path))
        .with_topics(topics.collect())
        .with_total_bytes(total)
        .with_usable_bytes(usable)
}

/// (total, usable) bytes of the file system; -1 when it does not say.
fn disk_space(path: &str) -> (i64, i64) {
    let Ok(stat) = rustix::fs::statvfs(path) else {
        return (-1, -1);
    };
    let bytes = |blocks: u64| i64::try_from(blocks.saturating_mul(stat.f_frsize)).unwrap_or(i64::MAX);
    (bytes(stat.f_blocks), bytes(stat.f_bavail))
}

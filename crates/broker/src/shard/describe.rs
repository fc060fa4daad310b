//! What a broker says about its replicas: DescribeLogDirs and the state of led partitions.

use super::api::{LogDirDescription, ReplicaDescription};
use super::gather::Gather;
use super::router::Router;
use super::state::Shard;
use milena_types::{ErrorCode, TopicIdPartition};
use std::time::Duration;

/// Longest wait for a data thread that is busy.
const DESCRIBE_TIMEOUT: Duration = Duration::from_secs(10);

impl Router {
    /// Every log directory with its replicas.
    pub async fn describe_log_dirs(&self) -> Vec<LogDirDescription> {
        let (gather, done) = Gather::new(self.mailboxes.len());
        for shard in self.mailboxes.shards() {
            let slot = gather.slot(shard.0);
            self.mailboxes
                .run_control(shard, move |shard| slot.set(shard.describe_log_dirs()));
        }
        // A data thread that does not answer in time is left out.
        let _ = tokio::time::timeout(DESCRIBE_TIMEOUT, done).await;
        let mut merged: Vec<LogDirDescription> = Vec::new();
        for part in gather.take().into_iter().flatten().flatten() {
            match merged.iter_mut().find(|known| known.path == part.path) {
                Some(known) => known.replicas.extend(part.replicas),
                None => merged.push(part),
            }
        }
        merged
    }

    /// Calls one function per item on the owner of its partition, and returns the answers in the items' order.
    pub(super) async fn per_partition<I, R>(
        &self,
        items: Vec<I>,
        id: impl Fn(&I) -> TopicIdPartition,
        work: fn(&mut Shard, &I) -> R,
        failed: impl Fn(&I, ErrorCode) -> R,
    ) -> Vec<R>
    where
        I: Clone + Send + 'static,
        R: Send + 'static,
    {
        let (gather, done) = Gather::new(items.len());
        let mut by_owner: Vec<Vec<_>> = Vec::new();
        by_owner.resize_with(self.mailboxes.len(), Vec::new);
        for (index, item) in items.iter().enumerate() {
            if let Some(queue) = by_owner.get_mut(self.mailboxes.owner_of(id(item)).0) {
                queue.push((item.clone(), gather.slot(index)));
            }
        }
        for (owner, queue) in self.mailboxes.shards().zip(by_owner) {
            if queue.is_empty() {
                continue;
            }
            // Refused work is answered below.
            let _ = self.mailboxes.run(owner, move |shard| {
                for (item, slot) in queue {
                    slot.set(work(shard, &item));
                }
            });
        }
        let _ = tokio::time::timeout(DESCRIBE_TIMEOUT, done).await;
        let mut answers = gather.take();
        answers.resize_with(items.len(), || None);
        let filled = answers.into_iter().zip(&items);
        filled
            .map(|(answer, item)| answer.unwrap_or_else(|| failed(item, ErrorCode::RequestTimedOut)))
            .collect()
    }
}

impl Shard {
    fn describe_log_dirs(&self) -> Vec<LogDirDescription> {
        let mut dirs: Vec<LogDirDescription> = self.cx.dirs.describe();
        for (id, partition) in &self.partitions {
            let Some(dir) = dirs.get_mut(partition.dir) else {
                continue;
            };
            dir.replicas.push(ReplicaDescription {
                id: *id,
                topic: partition.name.topic.clone(),
                size_bytes: partition.log.size_bytes(),
                offset_lag: partition
                    .high_watermark()
                    .since(partition.log.log_end_offset())
                    .max(0),
                is_future: false,
            });
            if let Some((moving, dir)) = partition
                .moving
                .as_ref()
                .and_then(|moving| Some((moving, dirs.get_mut(moving.to)?)))
            {
                dir.replicas.push(ReplicaDescription {
                    id: *id,
                    topic: partition.name.topic.clone(),
                    size_bytes: moving.copied_bytes,
                    offset_lag: partition.log.log_end_offset().since(moving.copied_to).max(0),
                    is_future: true,
                });
            }
        }
        dirs
    }
}

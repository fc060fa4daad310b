//! A data thread's state: its partitions and what they share.

use super::context::{Context, ContextParts};
use super::partition::Partition;
use super::role::Role;
use milena_types::{ErrorCode, TopicIdPartition};
use std::collections::HashMap;

/// The partitions of one data thread.
pub(crate) struct Shard {
    /// Boxed: a table has room for up to twice as many as it holds.
    pub(super) partitions: HashMap<TopicIdPartition, Box<Partition>>,
    pub(super) cx: Context,
}

impl Shard {
    pub(super) fn new(parts: ContextParts) -> Self {
        Self {
            partitions: HashMap::new(),
            cx: Context::new(parts),
        }
    }

    /// A partition of this broker.
    ///
    /// # Errors
    /// KAFKA_STORAGE_ERROR when its directory is gone, or NOT_LEADER_OR_FOLLOWER: other brokers hold it, or this thread is
    /// behind or ahead of the image in which the caller found it. Source: `ReplicaManager.getPartitionOrError`.
    pub(super) fn partition(
        &mut self,
        id: TopicIdPartition,
    ) -> Result<(&mut Partition, &mut Context), ErrorCode> {
        match self.partitions.get_mut(&id) {
            Some(partition) if self.cx.dirs.is_online(partition.dir) => Ok((&mut **partition, &mut self.cx)),
            Some(_) => Err(ErrorCode::KafkaStorageError),
            None if self.cx.unusable.contains(&id) => Err(ErrorCode::KafkaStorageError),
            None => Err(ErrorCode::NotLeaderOrFollower),
        }
    }

    /// Runs after every piece of work on the shard: what is done once for all that the work touched.
    pub(super) fn after_work(&mut self) {
        while let Some((id, from)) = self.cx.ring.next_eviction() {
            if let Some(partition) = self.partitions.get_mut(&id)
                && let Role::Leader(role) = &mut partition.role
            {
                role.ring.evict(from);
            }
        }
        if !self.cx.dirs_failed.is_empty() {
            self.take_failed_dirs_offline();
        }
        if self.cx.flush.is_due() {
            self.submit_flushes();
        }
    }

    fn take_failed_dirs_offline(&mut self) {
        for dir in std::mem::take(&mut self.cx.dirs_failed) {
            if let Some(directory) = self.cx.dirs.take_offline(dir) {
                tracing::error!(%directory, "log directory is offline");
                self.cx.control.log_dir_failed(directory);
                for shard in self.cx.mailboxes.shards().filter(|shard| *shard != self.cx.shard) {
                    self.cx
                        .mailboxes
                        .run_control(shard, move |shard| shard.on_dir_offline(dir));
                }
            }
            self.on_dir_offline(dir);
        }
    }

    /// Stops every partition of a failed directory: nothing of it may be acknowledged or served any more.
    pub(super) fn on_dir_offline(&mut self, dir: usize) {
        for partition in self
            .partitions
            .values_mut()
            .filter(|partition| partition.dir == dir)
        {
            partition.leave_role(&mut self.cx, ErrorCode::KafkaStorageError);
        }
    }
}

//! A data thread's state: its partitions and what they share.

use super::context::{Context, ContextParts};
use super::partition::Partition;
use super::replica_health::Unusable;
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
    /// KAFKA_STORAGE_ERROR when its directory is gone or its log damaged, or NOT_LEADER_OR_FOLLOWER: other brokers hold it, or this thread is
    /// behind or ahead of the image in which the caller found it. Source: `ReplicaManager.getPartitionOrError`.
    pub(super) fn partition(
        &mut self,
        id: TopicIdPartition,
    ) -> Result<(&mut Partition, &mut Context), ErrorCode> {
        match self.partitions.get_mut(&id) {
            Some(partition) if partition.damaged.is_none() && self.cx.dirs.is_online(partition.dir) => {
                Ok((&mut **partition, &mut self.cx))
            }
            Some(_) => Err(ErrorCode::KafkaStorageError),
            None if self.cx.unusable.contains_key(&id) => Err(ErrorCode::KafkaStorageError),
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
        if !self.cx.damage_found.is_empty() {
            self.stand_down();
        }
        if !self.cx.dirs_full.is_empty() {
            self.take_full_dirs();
        }
        for (id, why) in std::mem::take(&mut self.cx.to_reopen) {
            self.reopen_partition(id, why);
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
                let path = self.cx.dirs.path(dir).unwrap_or(std::path::Path::new(""));
                tracing::error!(%directory, path = %path.display(), "log directory is offline");
                let tell = move |shard: &mut Shard| shard.on_dir_offline(dir);
                self.cx.mailboxes.run_on_others(self.cx.shard, tell);
            }
            self.on_dir_offline(dir);
        }
    }

    /// Stops every partition of a failed directory: nothing of it may be acknowledged or served any more.
    pub(super) fn on_dir_offline(&mut self, dir: usize) {
        for id in self.partitions_in(dir) {
            if let Some(partition) = self.partitions.get_mut(&id) {
                partition.leave_role(&mut self.cx, ErrorCode::KafkaStorageError);
                self.cx
                    .leadership
                    .publish(id, &partition.name.topic, partition.replica_role());
            }
            self.settle_replica(id);
        }
    }

    /// The partitions with a log in a directory.
    pub(super) fn partitions_in(&self, dir: usize) -> Vec<TopicIdPartition> {
        let inside = self
            .partitions
            .iter()
            .filter(|(_, partition)| partition.dir == dir);
        inside.map(|(id, _)| *id).collect()
    }

    /// The partitions whose log could not be opened for want of space or files.
    pub(super) fn unusable_for_now(&self) -> Vec<TopicIdPartition> {
        let waiting = self
            .cx
            .unusable
            .iter()
            .filter(|(_, (_, why))| *why == Unusable::NotNow);
        waiting.map(|(id, _)| *id).collect()
    }
}

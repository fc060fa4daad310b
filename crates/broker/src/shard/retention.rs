//! Retention: old segments go, files whose delay has passed are removed, idle logs give their files back.

use super::context::wall_clock;
use super::idle_logs::{Word, add_word};
use super::role::Role;
use super::state::Shard;
use milena_log::Removal;
use milena_types::TopicIdPartition;

/// Partitions that are looked at before the data thread turns to other work.
pub(super) const RETENTION_CHUNK: usize = 64;

impl Shard {
    /// The partitions of this data thread, for a walk in chunks.
    pub(super) fn partition_ids(&self) -> Vec<TopicIdPartition> {
        self.partitions.keys().copied().collect()
    }

    /// Applies retention to some partitions; of those that are idle, adds what the next start wants to know to `word`.
    pub(super) fn apply_retention(&mut self, ids: &[TopicIdPartition], word: &mut Word) {
        let now = wall_clock();
        let mut removals = Vec::new();
        for id in ids {
            let Ok((partition, cx)) = self.partition(*id) else {
                continue;
            };
            let high_watermark = partition.high_watermark();
            let in_use = cx.open_logs.contains_key(id);
            let before = partition.log.log_start_offset();
            let result = partition
                .log
                .delete_old_segments(now, high_watermark)
                .and_then(|deleted| partition.log.roll_if_due(now).map(|_| deleted))
                .and_then(|deleted| {
                    if !in_use {
                        partition.release_idle()?;
                    }
                    Ok(deleted)
                });
            removals.extend(partition.log.take_removals(now));
            partition.log.expire_producers(now);
            add_word(word, partition.dir, &partition.log);
            match result {
                Ok(deleted) if !deleted.is_empty() => {
                    tracing::info!(partition = %partition.name, segments = deleted.len(), log_start = %partition.log.log_start_offset(), "old segments are deleted");
                }
                Ok(_) => {}
                Err(error) => {
                    partition.storage_failed(cx, &error);
                }
            }
            if partition.log.log_start_offset() > before {
                cx.checkpoint_dirty.insert(*id);
                if matches!(partition.role, Role::Leader(_)) {
                    partition.feed_followers(cx);
                }
            }
        }
        remove_in_background(removals);
    }
}

/// Removes files off the data thread: freeing a large one takes tens of milliseconds.
pub(super) fn remove_in_background(removals: Vec<Removal>) {
    if removals.is_empty() {
        return;
    }
    tokio::task::spawn_blocking(move || {
        for removal in removals {
            let path = removal.path().to_owned();
            if let Err(error) = removal.run() {
                tracing::warn!(path = %path.display(), %error, "cannot remove; tried again at the next start");
            }
        }
    });
}

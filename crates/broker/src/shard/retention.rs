//! Retention: old segments go, files whose delay has passed are removed, idle logs give their files back.

use super::context::wall_clock;
use super::idle_logs::{Word, add_word};
use super::mailbox::with_local;
use super::role::Role;
use super::state::Shard;
use milena_log::Removal;
use milena_types::TopicIdPartition;
use std::time::Duration;

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
                    remove_later(*id, partition.settings.log.file_delete_delay_ms);
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

/// Removes the files of retired segments once `file.delete.delay.ms` is over.
fn remove_later(id: TopicIdPartition, delay_ms: i64) {
    let delay = Duration::from_millis(u64::try_from(delay_ms).unwrap_or_default());
    tokio::task::spawn_local(async move {
        // Past the due time, not just before it.
        tokio::time::sleep(delay.saturating_add(Duration::from_millis(1))).await;
        let removals = with_local(|shard| {
            let partition = shard.partitions.get_mut(&id)?;
            Some(partition.log.take_removals(wall_clock()))
        });
        remove_in_background(removals.flatten().unwrap_or_default());
    });
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

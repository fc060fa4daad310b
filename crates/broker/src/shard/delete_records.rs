//! DeleteRecords: moves the log start offset, on the leader first and from there to all replicas.

use super::api::{DeleteRecordsItem, DeleteRecordsResult};
use super::context::Context;
use super::partition::Partition;
use super::role::Role;
use super::router::Router;
use super::state::Shard;
use milena_types::{ErrorCode, Offset};
use std::time::Duration;
use tokio::time::Instant;

/// How often a caller looks whether the followers have taken the new log start offset.
const POLL_PAUSE: Duration = Duration::from_millis(20);

/// How far one partition has come.
#[derive(Clone, Copy)]
struct Deletion {
    result: DeleteRecordsResult,
    /// What is to be the first offset; unknown while the leader was not heard.
    target: Option<Offset>,
}

impl Deletion {
    fn failed(item: &DeleteRecordsItem, error: ErrorCode) -> Self {
        Self {
            result: DeleteRecordsResult {
                id: item.id,
                error,
                low_watermark: Offset(-1),
            },
            target: item.before,
        }
    }
}

impl Router {
    /// Moves log start offsets and waits until every live replica has followed, at most `timeout`.
    ///
    /// A partition that is not done by then answers REQUEST_TIMED_OUT and how far its replicas are.
    pub async fn delete_records(
        &self,
        items: Vec<DeleteRecordsItem>,
        timeout: Duration,
    ) -> Vec<DeleteRecordsResult> {
        let deadline = Instant::now() + timeout;
        let mut deletions = self.ask_to_delete(items).await;
        loop {
            let waiting = deletions
                .iter()
                .enumerate()
                .filter(|(_, deletion)| deletion.result.error == ErrorCode::RequestTimedOut);
            let (places, waiting): (Vec<_>, Vec<_>) = waiting
                .map(|(place, deletion)| {
                    let (id, before) = (deletion.result.id, deletion.target);
                    (place, DeleteRecordsItem { id, before })
                })
                .unzip();
            if waiting.is_empty() || Instant::now() >= deadline {
                return deletions.into_iter().map(|deletion| deletion.result).collect();
            }
            tokio::time::sleep(POLL_PAUSE).await;
            for (place, news) in places.into_iter().zip(self.ask_to_delete(waiting).await) {
                deletions[place] = news;
            }
        }
    }

    async fn ask_to_delete(&self, items: Vec<DeleteRecordsItem>) -> Vec<Deletion> {
        self.per_partition(items, |item| item.id, Shard::delete_records, Deletion::failed)
            .await
    }
}

impl Shard {
    /// Answers REQUEST_TIMED_OUT while a replica has not followed.
    fn delete_records(&mut self, item: &DeleteRecordsItem) -> Deletion {
        self.partition(item.id)
            .and_then(|(partition, cx)| partition.delete_records(cx, item))
            .unwrap_or_else(|error| Deletion::failed(item, error))
    }
}

impl Partition {
    fn delete_records(&mut self, cx: &mut Context, item: &DeleteRecordsItem) -> Result<Deletion, ErrorCode> {
        let high_watermark = self.leader()?.leader.high_watermark();
        if self.settings.log.compact && !self.settings.log.delete {
            return Err(ErrorCode::PolicyViolation);
        }
        let target = item.before.unwrap_or(high_watermark);
        if target > high_watermark || target < Offset::ZERO {
            return Err(ErrorCode::OffsetOutOfRange);
        }
        let before = self.log.log_start_offset();
        let log_start = self.log.set_log_start_offset(target);
        if log_start > before {
            cx.checkpoint_dirty.insert(self.id);
            self.feed_followers(cx);
        }
        let Role::Leader(role) = &self.role else {
            return Err(ErrorCode::NotLeaderOrFollower);
        };
        let low_watermark = role.leader.low_watermark(log_start);
        let error = match low_watermark < target {
            true => ErrorCode::RequestTimedOut,
            false => ErrorCode::None,
        };
        Ok(Deletion {
            result: DeleteRecordsResult {
                id: self.id,
                error,
                low_watermark,
            },
            target: Some(target),
        })
    }
}

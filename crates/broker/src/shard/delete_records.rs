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

impl Router {
    /// Moves log start offsets and waits until every live replica has followed, at most `timeout`.
    pub async fn delete_records(
        &self,
        items: Vec<DeleteRecordsItem>,
        timeout: Duration,
    ) -> Vec<DeleteRecordsResult> {
        let deadline = Instant::now() + timeout;
        let failed = |item: &DeleteRecordsItem, error| DeleteRecordsResult {
            id: item.id,
            error,
            low_watermark: Offset(-1),
        };
        let mut results = self
            .per_partition(items, |item| item.id, Shard::delete_records, failed)
            .await;
        loop {
            let waiting: Vec<DeleteRecordsItem> = results
                .iter()
                .filter(|result| result.error == ErrorCode::RequestTimedOut)
                .map(|result| DeleteRecordsItem {
                    id: result.id,
                    before: Some(result.low_watermark),
                })
                .collect();
            if waiting.is_empty() || Instant::now() >= deadline {
                return results;
            }
            tokio::time::sleep(POLL_PAUSE).await;
            for news in self
                .per_partition(waiting, |item| item.id, Shard::delete_records, failed)
                .await
            {
                if let Some(result) = results.iter_mut().find(|result| result.id == news.id) {
                    *result = news;
                }
            }
        }
    }
}

impl Shard {
    /// Answers REQUEST_TIMED_OUT with the target while a replica has not followed.
    fn delete_records(&mut self, item: &DeleteRecordsItem) -> DeleteRecordsResult {
        let failed = |error| DeleteRecordsResult {
            id: item.id,
            error,
            low_watermark: Offset(-1),
        };
        match self
            .partition(item.id)
            .and_then(|(partition, cx)| partition.delete_records(cx, item))
        {
            Ok((low_watermark, error)) => DeleteRecordsResult {
                id: item.id,
                error,
                low_watermark,
            },
            Err(error) => failed(error),
        }
    }
}

impl Partition {
    fn delete_records(
        &mut self,
        cx: &mut Context,
        item: &DeleteRecordsItem,
    ) -> Result<(Offset, ErrorCode), ErrorCode> {
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
        if low_watermark < target {
            Ok((target, ErrorCode::RequestTimedOut))
        } else {
            Ok((low_watermark, ErrorCode::None))
        }
    }
}

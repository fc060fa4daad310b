//! OffsetForLeaderEpoch: where an epoch ends in the leader's log.

use super::api::{EpochEndItem, EpochEndResult};
use super::router::Router;
use super::state::Shard;
use milena_types::ErrorCode;

impl Router {
    /// Looks epoch ends up on the leaders, in the call's order.
    pub async fn offsets_for_leader_epoch(&self, items: Vec<EpochEndItem>) -> Vec<EpochEndResult> {
        let failed = |item: &EpochEndItem, error| EpochEndResult {
            id: item.id,
            error,
            end: None,
        };
        self.per_partition(items, |item| item.id, Shard::epoch_end, failed)
            .await
    }
}

impl Shard {
    fn epoch_end(&mut self, item: &EpochEndItem) -> EpochEndResult {
        let found = self.partition(item.id).and_then(|(partition, _)| {
            partition.check_leader(item.current_leader_epoch)?;
            Ok(partition.log.end_offset_for_epoch(item.leader_epoch))
        });
        match found {
            Ok(end) => EpochEndResult {
                id: item.id,
                error: ErrorCode::None,
                end,
            },
            Err(error) => EpochEndResult {
                id: item.id,
                error,
                end: None,
            },
        }
    }
}

//! OffsetForLeaderEpoch: where an epoch ends in the leader's log, or for a tool in any replica's.

use super::api::{EpochEndItem, EpochEndResult};
use super::router::Router;
use super::state::Shard;
use milena_types::ErrorCode;

impl Router {
    /// Looks epoch ends up on the replicas, in the call's order.
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
            if !item.any_replica {
                partition.check_leader(item.current_leader_epoch)?;
                return Ok(partition.log.end_offset_for_epoch(item.leader_epoch));
            }
            partition.check_epoch(item.current_leader_epoch)?;
            let log = &partition.log;
            let newest = log.last_epoch().filter(|newest| *newest < item.leader_epoch);
            Ok(match newest {
                Some(newest) => Some((newest, log.log_end_offset())),
                None => log.end_offset_for_epoch(item.leader_epoch),
            })
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

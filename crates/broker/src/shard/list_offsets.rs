//! ListOffsets: from a timestamp, or a name like "latest", to an offset.

use super::api::{ListOffsetsItem, ListOffsetsResult, OffsetSpec};
use super::context::Context;
use super::partition::Partition;
use super::router::Router;
use super::state::Shard;
use milena_log::TimestampOffset;
use milena_types::{ErrorCode, LeaderEpoch, Offset, Timestamp};

impl Router {
    /// Looks offsets up on the replicas here, in the call's order.
    pub async fn list_offsets(&self, items: Vec<ListOffsetsItem>) -> Vec<ListOffsetsResult> {
        let failed = |item: &ListOffsetsItem, error| result(*item, error);
        self.per_partition(items, |item| item.id, Shard::list_offsets, failed)
            .await
    }
}

fn result(item: ListOffsetsItem, error: ErrorCode) -> ListOffsetsResult {
    ListOffsetsResult {
        id: item.id,
        error,
        offset: None,
        timestamp: None,
        leader_epoch: None,
    }
}

impl Shard {
    fn list_offsets(&mut self, item: &ListOffsetsItem) -> ListOffsetsResult {
        match self
            .partition(item.id)
            .and_then(|(partition, cx)| partition.list_offsets(cx, item))
        {
            Ok(found) => ListOffsetsResult {
                offset: found.map(|(offset, _, _)| offset),
                timestamp: found.and_then(|(_, timestamp, _)| timestamp),
                leader_epoch: found.and_then(|(_, _, epoch)| epoch),
                ..result(*item, ErrorCode::None)
            },
            Err(error) => result(*item, error),
        }
    }
}

type Found = Option<(Offset, Option<Timestamp>, Option<LeaderEpoch>)>;

impl Partition {
    fn list_offsets(&self, cx: &mut Context, item: &ListOffsetsItem) -> Result<Found, ErrorCode> {
        let (upper, settled) = if item.any_replica {
            self.check_epoch(item.current_leader_epoch)?;
            (self.log.log_end_offset(), true)
        } else {
            let role = self.check_leader(item.current_leader_epoch)?;
            // A new leader does not know yet how far its predecessor had committed.
            let settled = role.leader.high_watermark() >= role.leader.epoch_start();
            (self.visible_end(item.read_committed), settled)
        };
        let need_settled = || {
            if settled {
                Ok(())
            } else {
                Err(ErrorCode::OffsetNotAvailable)
            }
        };
        let at = |offset| {
            Ok(Some((
                offset,
                None,
                self.log.epoch_for_offset(offset).or(self.log.last_epoch()),
            )))
        };
        let record = |found: Option<TimestampOffset>| {
            found.map(|found| (found.offset, Some(found.timestamp), Some(found.leader_epoch)))
        };
        match item.spec {
            OffsetSpec::Earliest | OffsetSpec::EarliestLocal => at(self.log.log_start_offset()),
            OffsetSpec::Latest => {
                need_settled()?;
                // The epoch is this leader's own, also when it has written nothing yet. Source: `Partition.fetchOffsetForTimestamp`.
                Ok(Some((upper, None, Some(self.leader_epoch))))
            }
            OffsetSpec::LatestTiered => Ok(None),
            OffsetSpec::MaxTimestamp => {
                need_settled()?;
                self.log
                    .offset_of_max_timestamp(upper)
                    .map(record)
                    .map_err(|error| self.read_error(cx, &error))
            }
            OffsetSpec::At(timestamp) => {
                need_settled()?;
                let found = self.log.offset_for_timestamp(timestamp, upper);
                found.map(record).map_err(|error| self.read_error(cx, &error))
            }
        }
    }
}

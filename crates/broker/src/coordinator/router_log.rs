//! The broker's own partitions as the coordinator's log.

use super::seam::OffsetsLog;
use crate::shard::Router;
use crate::shard::api::{InternalRead, ListOffsetsItem, OffsetSpec};
use bytes::BytesMut;
use futures_util::future::BoxFuture;
use milena_types::{ErrorCode, LeaderEpoch, Offset, OffsetRange, TopicIdPartition};

impl OffsetsLog for Router {
    fn append(
        &self,
        id: TopicIdPartition,
        batch: BytesMut,
        epoch: LeaderEpoch,
    ) -> BoxFuture<'static, Result<OffsetRange, ErrorCode>> {
        let router = self.clone();
        Box::pin(async move { router.append_internal(id, batch, epoch).await })
    }

    fn read(
        &self,
        id: TopicIdPartition,
        from: Offset,
        max_bytes: usize,
    ) -> BoxFuture<'static, Result<InternalRead, ErrorCode>> {
        let router = self.clone();
        Box::pin(async move {
            let read = router.read_internal(id, from, max_bytes).await;
            if from != Offset::ZERO || !matches!(read, Err(ErrorCode::OffsetOutOfRange)) {
                return read;
            }
            // The log begins later than at 0: an administrator has deleted records.
            let earliest = ListOffsetsItem {
                id,
                current_leader_epoch: None,
                spec: OffsetSpec::Earliest,
                read_committed: false,
                any_replica: false,
            };
            let found = router.list_offsets(vec![earliest]).await.into_iter().next();
            match found.and_then(|result| result.offset) {
                Some(start) => router.read_internal(id, start, max_bytes).await,
                None => read,
            }
        })
    }
}

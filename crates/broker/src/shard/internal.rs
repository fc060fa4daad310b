//! Appends and reads of the coordinators of this broker.

use super::api::InternalRead;
use super::context::Context;
use super::gather::{Gather, Slot};
use super::mailbox::SendError;
use super::parked::Waiting;
use super::partition::Partition;
use super::router::{Router, send_error_code};
use super::state::Shard;
use bytes::BytesMut;
use milena_log::{AppendError, AppendOrigin};
use milena_types::{ErrorCode, LeaderEpoch, Offset, OffsetRange, TopicIdPartition};

impl Router {
    /// Appends batches of a coordinator with acks=all; resolves when they are committed.
    ///
    /// # Errors
    /// NOT_LEADER_OR_FOLLOWER when this broker does not lead in `expected_epoch` (before or while waiting), NOT_ENOUGH_REPLICAS
    /// (nothing was appended, also because the owner is overloaded), NOT_ENOUGH_REPLICAS_AFTER_APPEND (it was), or why the
    /// batch was refused.
    ///
    /// # Cancel safety
    /// Dropping the future abandons the answer, not the append.
    pub async fn append_internal(
        &self,
        id: TopicIdPartition,
        batch: BytesMut,
        expected_epoch: LeaderEpoch,
    ) -> Result<OffsetRange, ErrorCode> {
        let (gather, done) = Gather::new(1);
        let slot = gather.slot(0);
        let owner = self.mailboxes.owner_of(id);
        self.mailboxes
            .run(owner, move |shard| {
                shard.append_internal(id, batch, expected_epoch, slot)
            })
            .map_err(|error| match error {
                // Nothing was appended, and the coordinator is to know that: a timeout would make it load its log again.
                SendError::Full => ErrorCode::NotEnoughReplicas,
                SendError::Stopped => send_error_code(error),
            })?;
        // An error means that the slot was dropped with its partition.
        let _ = done.await;
        only_answer(&gather)
    }

    /// Reads whole batches from `from` up to the log end offset: at least one if there is one.
    ///
    /// # Errors
    /// NOT_LEADER_OR_FOLLOWER, OFFSET_OUT_OF_RANGE, KAFKA_STORAGE_ERROR.
    pub async fn read_internal(
        &self,
        id: TopicIdPartition,
        from: Offset,
        max_bytes: usize,
    ) -> Result<InternalRead, ErrorCode> {
        let (gather, done) = Gather::new(1);
        let slot = gather.slot(0);
        let owner = self.mailboxes.owner_of(id);
        self.mailboxes
            .run(owner, move |shard| {
                slot.set(shard.read_internal(id, from, max_bytes))
            })
            .map_err(send_error_code)?;
        let _ = done.await;
        only_answer(&gather)
    }
}

/// What the owner said; a slot that was dropped with its partition says that this broker does not lead it.
fn only_answer<T>(gather: &Gather<Result<T, ErrorCode>>) -> Result<T, ErrorCode> {
    let answer = gather.take().into_iter().flatten().next();
    answer.unwrap_or(Err(ErrorCode::NotLeaderOrFollower))
}

impl Shard {
    fn append_internal(
        &mut self,
        id: TopicIdPartition,
        batch: BytesMut,
        expected_epoch: LeaderEpoch,
        slot: Slot<Result<OffsetRange, ErrorCode>>,
    ) {
        let checked = self.partition(id).and_then(|(partition, cx)| {
            if partition.leader()?.leader.leader_epoch() != expected_epoch {
                return Err(ErrorCode::NotLeaderOrFollower);
            }
            partition.leader()?.leader.check_min_isr()?;
            partition.check_space(cx)?;
            Ok((partition, cx))
        });
        let (partition, cx) = match checked {
            Ok(found) => found,
            Err(error) => return slot.set(Err(error)),
        };
        let origin = AppendOrigin::Coordinator {
            marker_epoch_must_grow: false,
        };
        match partition.append(cx, batch, origin) {
            Ok(appended) => partition.park(appended.range.to, Waiting::Internal(appended.range, slot)),
            Err(error) => {
                if let AppendError::Log(error) = &error {
                    partition.storage_failed(cx, error);
                }
                tracing::warn!(partition = %partition.name, %error, "a coordinator's append was refused");
                slot.set(Err(error.code()));
            }
        }
    }

    fn read_internal(
        &mut self,
        id: TopicIdPartition,
        from: Offset,
        max_bytes: usize,
    ) -> Result<InternalRead, ErrorCode> {
        self.partition(id)
            .and_then(|(partition, cx)| partition.read_internal(cx, from, max_bytes))
    }
}

impl Partition {
    fn read_internal(
        &self,
        cx: &mut Context,
        from: Offset,
        max_bytes: usize,
    ) -> Result<InternalRead, ErrorCode> {
        self.leader()?;
        let log_end = self.log.log_end_offset();
        let read = self
            .log
            .read(from, max_bytes, log_end, true)
            .map_err(|error| self.read_error(cx, &error))?;
        Ok(InternalRead {
            records: read.records,
            next: read.next_offset,
            high_watermark: self.high_watermark(),
            log_end,
            log_start: self.log.log_start_offset(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shard::mailbox::Mailboxes;
    use milena_types::{PartitionIndex, TopicId};

    #[tokio::test]
    async fn an_overloaded_owner_refuses_as_if_nothing_was_appended() {
        let (mailboxes, _kept) = Mailboxes::new(1);
        let background = crate::shard::background::Background::none(&mailboxes);
        let router = Router::new(
            mailboxes,
            std::sync::Arc::default(),
            crate::shard::opening::Openings::new(1),
            background,
        );
        let id = TopicIdPartition {
            topic: TopicId::default(),
            partition: PartitionIndex(0),
        };
        let owner = router.mailboxes.owner_of(id);
        // Nobody takes the work out again.
        while router.mailboxes.run(owner, |_| {}).is_ok() {}
        let refused = router.append_internal(id, BytesMut::new(), LeaderEpoch(0)).await;
        assert_eq!(refused, Err(ErrorCode::NotEnoughReplicas));
    }
}

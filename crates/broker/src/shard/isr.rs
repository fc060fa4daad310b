//! ISR changes: from a leader's proposal to the controller and back.

use super::context::Context;
use super::mailbox::with_local;
use super::partition::Partition;
use super::role::Role;
use super::state::Shard;
use milena_metadata::request::AlterPartitionItem;
use milena_replication::IsrProposal;
use milena_types::{ErrorCode, LeaderEpoch, TopicIdPartition};
use std::time::Duration;

/// The pause before a proposal that failed is made again. Source: `DefaultAlterPartitionManager`, 50 ms.
const RETRY_PAUSE: Duration = Duration::from_millis(50);
/// How long the metadata may be overdue after an answer before the leader asks again.
const METADATA_PATIENCE: Duration = Duration::from_secs(1);

impl Partition {
    /// Asks the controller for another ISR if the followers' progress demands it and no attempt is on its way.
    pub(super) fn propose_isr(&mut self, cx: &mut Context) {
        let Role::Leader(role) = &mut self.role else {
            return;
        };
        let Some(own_epoch) = cx.control.broker_epoch() else {
            return;
        };
        let Some(proposal) = role.leader.propose(own_epoch, cx.now()) else {
            return;
        };
        tracing::info!(partition = %self.name, isr = ?proposal.isr, was = ?role.leader.term().isr, "asks for another ISR");
        let id = self.id;
        let answer = cx.control.alter_partition(item(id, &proposal));
        tokio::task::spawn_local(async move {
            let (epoch, attempt) = (proposal.leader_epoch, proposal.attempt);
            let error = answer.await;
            let retry = with_local(|shard| shard.on_isr_answered(id, epoch, attempt, error));
            let pause = if retry == Some(true) {
                RETRY_PAUSE
            } else {
                METADATA_PATIENCE
            };
            tokio::time::sleep(pause).await;
            with_local(|shard| shard.retry_isr(id, epoch, attempt));
        });
    }
}

impl Shard {
    fn on_isr_answered(
        &mut self,
        id: TopicIdPartition,
        epoch: LeaderEpoch,
        attempt: u32,
        error: ErrorCode,
    ) -> bool {
        let Ok((partition, _)) = self.partition(id) else {
            return false;
        };
        let Role::Leader(role) = &mut partition.role else {
            return false;
        };
        if error != ErrorCode::None {
            tracing::debug!(partition = %partition.name, %error, "ISR change was refused");
        }
        role.leader.leader_epoch() == epoch && role.leader.on_proposal_answered(attempt, error)
    }

    /// The attempt failed, or its metadata is overdue: what the followers demand now is asked for again.
    fn retry_isr(&mut self, id: TopicIdPartition, epoch: LeaderEpoch, attempt: u32) {
        let Ok((partition, cx)) = self.partition(id) else {
            return;
        };
        let Role::Leader(role) = &mut partition.role else {
            return;
        };
        if role.leader.leader_epoch() == epoch {
            role.leader.forget_attempt(attempt);
            partition.propose_isr(cx);
        }
    }

    /// Now and then: followers that hold back the high watermark for too long leave the ISR. Looks only at partitions
    /// with uncommitted records.
    pub(super) fn tick_isr(&mut self) {
        let uncommitted: Vec<TopicIdPartition> = self.cx.uncommitted.iter().copied().collect();
        for id in uncommitted {
            if let Ok((partition, cx)) = self.partition(id) {
                partition.propose_isr(cx);
                partition.advance_high_watermark(cx);
            }
        }
    }
}

fn item(id: TopicIdPartition, proposal: &IsrProposal) -> AlterPartitionItem {
    AlterPartitionItem {
        id,
        leader_epoch: proposal.leader_epoch,
        partition_epoch: proposal.partition_epoch,
        isr: proposal.isr.clone(),
        recovering: false,
    }
}

//! ISR changes: from a leader's proposal to the controller and back.

use super::availability::IsrChange;
use super::context::Context;
use super::mailbox::with_local;
use super::partition::Partition;
use super::role::Role;
use super::state::Shard;
use milena_metadata::request::AlterPartitionItem;
use milena_replication::{IsrProposal, ProposalId};
use milena_types::{ErrorCode, TopicIdPartition};
use std::time::Duration;

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
        let change = match proposal.isr.len().cmp(&role.leader.term().isr.len()) {
            std::cmp::Ordering::Less => IsrChange::Shrinks,
            _ => IsrChange::Expands,
        };
        let answer = cx.control.alter_partition(item(id, &proposal));
        tokio::task::spawn_local(async move {
            let error = answer.await;
            let pause = with_local(|shard| shard.on_isr_answered(id, proposal.id, change, error));
            if let Some(pause) = pause.flatten() {
                tokio::time::sleep(pause).await;
                with_local(|shard| shard.retry_isr(id, proposal.id));
            }
        });
    }
}

impl Shard {
    /// Gives the pause before `retry_isr`; `None`: nobody here leads the partition any more.
    fn on_isr_answered(
        &mut self,
        id: TopicIdPartition,
        proposal: ProposalId,
        change: IsrChange,
        error: ErrorCode,
    ) -> Option<Duration> {
        let change = if error == ErrorCode::None {
            change
        } else {
            IsrChange::Failed
        };
        self.cx.background.availability.isr(change);
        let (partition, _) = self.partition(id).ok()?;
        let Role::Leader(role) = &mut partition.role else {
            return None;
        };
        if error != ErrorCode::None {
            tracing::debug!(partition = %partition.name, %error, "ISR change was refused");
        }
        Some(role.leader.on_proposal_answered(proposal, error))
    }

    /// The attempt failed, or its metadata is overdue: what the followers demand now is asked for again.
    fn retry_isr(&mut self, id: TopicIdPartition, proposal: ProposalId) {
        let Ok((partition, cx)) = self.partition(id) else {
            return;
        };
        if let Role::Leader(role) = &mut partition.role {
            role.leader.forget_attempt(proposal);
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
        leader_epoch: proposal.id.leader_epoch,
        partition_epoch: proposal.partition_epoch,
        isr: proposal.isr.clone(),
        recovering: false,
    }
}

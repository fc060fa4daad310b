//! ISR changes: from a leader's proposal to the controller and back. And the high watermark.

use super::calls::Purpose;
use super::process::Process;
use crate::client;
use crate::cx::Cx;
use crate::event::BrokerTimer;
use crate::network::call::Body;
use crate::say;
use milena_metadata::request::{AlterPartition, AlterPartitionItem};
use milena_replication::{AckOutcome, ProposalId};
use milena_types::{ErrorCode, TopicIdPartition};

impl Process {
    /// Asks for another ISR if the followers' progress demands it.
    pub(super) fn propose_isr(&mut self, cx: &mut Cx, id: TopicIdPartition) {
        let node = self.node();
        let Some(own_epoch) = self.life.epoch else { return };
        let Some(role) = self.partitions.get_mut(&id).and_then(|p| p.leading()) else {
            return;
        };
        let Some(proposal) = role.leader.propose(own_epoch, cx.moment()) else {
            return;
        };
        say!(
            cx,
            "{node}: asks for isr {:?} of {id}, was {:?}",
            proposal.isr,
            role.leader.term().isr
        );
        let request = AlterPartition {
            broker: node,
            broker_epoch: own_epoch,
            partitions: vec![AlterPartitionItem {
                id,
                leader_epoch: proposal.id.leader_epoch,
                partition_epoch: proposal.partition_epoch,
                isr: proposal.isr,
                recovering: false,
            }],
        };
        let purpose = Purpose::Isr(id, proposal.id);
        self.call(cx, Body::Alter(request), purpose);
    }

    pub(super) fn on_isr_answered(
        &mut self,
        cx: &mut Cx,
        id: TopicIdPartition,
        proposal: ProposalId,
        error: ErrorCode,
    ) {
        if error == ErrorCode::IneligibleReplica {
            cx.coverage.proposal_refused += 1;
        }
        if let Some(role) = self.partitions.get_mut(&id).and_then(|p| p.leading()) {
            let pause = role.leader.on_proposal_answered(proposal, error);
            let pause = u64::try_from(pause.as_micros()).unwrap_or(u64::MAX);
            cx.timer(self.host, pause, BrokerTimer::IsrRetry(id, proposal));
        }
    }

    pub(super) fn retry_isr(&mut self, cx: &mut Cx, id: TopicIdPartition, proposal: ProposalId) {
        if let Some(role) = self.partitions.get_mut(&id).and_then(|p| p.leading()) {
            role.leader.forget_attempt(proposal);
            self.propose_isr(cx, id);
        }
    }

    pub(super) fn tick_isr(&mut self, cx: &mut Cx) {
        for id in self.uncommitted.iter().copied().collect::<Vec<_>>() {
            self.propose_isr(cx, id);
            self.advance_high_watermark(cx, id);
        }
    }

    /// Moves the leader's high watermark if it may move.
    pub(super) fn advance_high_watermark(&mut self, cx: &mut Cx, id: TopicIdPartition) {
        let in_contact = self.in_contact(cx);
        let Some(partition) = self.partitions.get_mut(&id) else {
            return;
        };
        let Some(role) = partition.leading() else { return };
        let before = role.leader.high_watermark();
        let mut asked_in_vain = false;
        let moved = role.leader.advance_high_watermark(cx.moment(), || {
            asked_in_vain = !in_contact;
            in_contact
        });
        cx.coverage.out_of_contact += u64::from(asked_in_vain);
        let has_uncommitted = role.leader.has_uncommitted();
        if let Some(high_watermark) = moved {
            partition.log.on_high_watermark(high_watermark);
            crate::oracle::watermark::on_moved(cx, self.host, partition, before);
            if cx.oracle.is_alone(id, partition.partition_epoch) {
                crate::oracle::contact::on_alone(cx, self.host, self.life.epoch, id);
            }
            self.checkpoint_dirty.insert(id);
            self.to_feed.insert(id);
            self.complete_parked(cx, id);
        }
        if has_uncommitted {
            self.uncommitted.insert(id);
        } else {
            self.uncommitted.remove(&id);
        }
    }

    /// Answers all whose batches are committed.
    pub(super) fn complete_parked(&mut self, cx: &mut Cx, id: TopicIdPartition) {
        let host = self.host;
        let Some(partition) = self.partitions.get_mut(&id) else {
            return;
        };
        let Some(role) = partition.leading() else { return };
        let mut done = Vec::new();
        while let Some((end, _, _)) = role.parked.front() {
            let AckOutcome::Done(error) = role.leader.ack_outcome(*end) else {
                break;
            };
            done.extend(role.parked.pop_front().map(|parked| (parked, error)));
        }
        for ((_, base, waiting), error) in done {
            if error == ErrorCode::None {
                crate::oracle::durability::on_acked(cx, host, partition, &waiting, base);
            } else {
                cx.coverage.not_enough_replicas += 1;
            }
            client::message::acknowledge(cx, host, &waiting, base, error);
        }
    }
}

//! Who is in sync: what the leader asks the controller for, and what the answer may change.
//!
//! Only [`Leader::on_committed`] ever takes a member out of the maximal ISR. A reply, whatever it says, only allows the
//! next attempt: a delayed twin of a refused request can still be applied.

use super::progress::Progress;
use super::state::Leader;
use crate::Moment;
use milena_types::mutants::{Mutant, on};
use milena_types::{BrokerEpoch, BrokerId, ErrorCode, LeaderEpoch, PartitionEpoch};
use std::time::Duration;

/// The pause before a proposal that failed is made again. Source: `DefaultAlterPartitionManager`, 50 ms.
const RETRY_PAUSE: Duration = Duration::from_millis(50);
/// How long the metadata may be overdue after an answer before the leader asks again.
const METADATA_PATIENCE: Duration = Duration::from_secs(1);

/// Names one attempt of one leader, in whichever epochs it leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProposalId {
    /// The leader's epoch.
    pub leader_epoch: LeaderEpoch,
    /// Counts within it.
    pub attempt: u32,
}

/// Another ISR, to be sent to the controller as AlterPartition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IsrProposal {
    /// Names the attempt in [`Leader::on_proposal_answered`]; its leader epoch goes to the controller.
    pub id: ProposalId,
    /// The registration that it is built on.
    pub partition_epoch: PartitionEpoch,
    /// Who shall be in it, with the registration under which each was seen in sync (KIP-903).
    pub isr: Vec<(BrokerId, BrokerEpoch)>,
}

impl Leader {
    /// Shrinks and expands as the followers' progress demands; `None` when nothing is to change or an attempt is
    /// on its way.
    ///
    /// Source: `Partition.maybeExpandIsr`, `Partition.maybeShrinkIsr`.
    pub fn propose(&mut self, own_epoch: BrokerEpoch, now: Moment) -> Option<IsrProposal> {
        if self.attempt_waits {
            return None;
        }
        let mut isr = vec![(self.term.leader, own_epoch)];
        for follower in &self.followers {
            let wanted = if self.term.isr.contains(&follower.broker) {
                !self.is_out_of_sync(follower, now)
            } else {
                let lags = self.is_out_of_sync(follower, now) && !on(Mutant::ExpandWithoutEpochStart);
                self.is_in_sync(follower) && !lags
            };
            let epoch = follower.attached_epoch().or(follower.registered());
            if wanted && let Some(epoch) = epoch {
                isr.push((follower.broker, epoch));
            }
        }
        let changed =
            isr.len() != self.term.isr.len() || isr.iter().any(|(broker, _)| !self.term.isr.contains(broker));
        // Asking again for what is committed ends an attempt that was refused: it commits a new partition epoch.
        let unsettled = self
            .proposed()
            .iter()
            .any(|broker| !self.term.isr.contains(broker));
        if !changed && !unsettled && !self.term.recovering {
            return None;
        }
        for (broker, _) in &isr {
            if !self.proposed().contains(broker) {
                self.proposed.get_or_insert_default().push(*broker);
            }
        }
        self.attempts = self.attempts.wrapping_add(1);
        self.attempt_waits = true;
        Some(IsrProposal {
            id: ProposalId {
                leader_epoch: self.term.leader_epoch,
                attempt: self.attempts,
            },
            partition_epoch: self.term.partition_epoch,
            isr,
        })
    }

    /// The controller answered, or the request failed. Gives the pause after which [`Leader::forget_attempt`] is due, and a
    /// further attempt with it.
    ///
    /// After NONE, and after errors which say that newer metadata exists, the attempt stays in flight until that
    /// metadata arrives, or is overdue.
    pub fn on_proposal_answered(&mut self, id: ProposalId, error: ErrorCode) -> Duration {
        let is_refused = error != ErrorCode::None && on(Mutant::RollbackOnStaleReply);
        if is_refused || (error == ErrorCode::IneligibleReplica && on(Mutant::RollbackOnIneligible)) {
            self.proposed = None;
        }
        if !self.waits_for(id) {
            return METADATA_PATIENCE;
        }
        let metadata_will_tell = matches!(
            error,
            ErrorCode::None
                | ErrorCode::UnknownTopicOrPartition
                | ErrorCode::UnknownTopicId
                | ErrorCode::FencedLeaderEpoch
                | ErrorCode::InvalidUpdateVersion
                | ErrorCode::NewLeaderElected
        );
        self.attempt_waits = metadata_will_tell;
        if metadata_will_tell {
            METADATA_PATIENCE
        } else {
            RETRY_PAUSE
        }
    }

    /// The metadata that an answered attempt waits for is overdue: allows the next attempt.
    pub fn forget_attempt(&mut self, id: ProposalId) {
        if self.waits_for(id) {
            self.attempt_waits = false;
        }
    }

    fn waits_for(&self, id: ProposalId) -> bool {
        let last = ProposalId {
            leader_epoch: self.term.leader_epoch,
            attempt: self.attempts,
        };
        self.attempt_waits && id == last
    }

    /// True when what is now known of this follower may change the ISR: it is outside, or has lost what was committed.
    #[must_use]
    pub fn may_change_isr(&self, follower: BrokerId) -> bool {
        let lost = |f: &Progress| f.ends().is_some_and(|ends| ends.log_end < self.high_watermark);
        !self.term.isr.contains(&follower) || self.follower(follower).is_some_and(lost)
    }

    /// True while an attempt waits for its answer or for the metadata.
    #[must_use]
    pub fn proposal_in_flight(&self) -> bool {
        self.attempt_waits
    }

    /// A member that lacks records older than the lag limit, that the controller has fenced, or that has lost what was
    /// committed: a damaged or exchanged disk.
    fn is_out_of_sync(&self, follower: &Progress, now: Moment) -> bool {
        let gone = follower.registered().is_some() && !follower.eligible;
        let lost = follower
            .ends()
            .is_some_and(|ends| ends.log_end < self.high_watermark);
        gone || lost || !follower.is_caught_up(self.local.log_end, now, self.rules.lag_time_max)
    }

    /// KIP-497 and more: it has everything committed, in this epoch, durably, under its current registration.
    fn is_in_sync(&self, follower: &Progress) -> bool {
        follower.may_join()
            && follower.ends().is_some_and(|ends| {
                let has_epoch_start =
                    ends.advertised >= self.epoch_start || on(Mutant::ExpandWithoutEpochStart);
                ends.advertised >= self.high_watermark && has_epoch_start
            })
    }
}

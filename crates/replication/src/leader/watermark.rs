//! What is committed, and when acks=all may be answered.

use super::state::Leader;
use crate::Moment;
use milena_types::mutants::{Mutant, on};
use milena_types::{Acks, BrokerId, ErrorCode, Offset};

/// What a producer that asked for acks=all is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AckOutcome {
    /// Not yet.
    Waiting,
    /// The records are committed: NONE, or NOT_ENOUGH_REPLICAS_AFTER_APPEND when the ISR has shrunk below the minimum.
    Done(ErrorCode),
}

impl Leader {
    /// `min.insync.replicas`, but never more than there are replicas. Source: `Partition.effectiveMinIsr`.
    #[must_use]
    pub fn effective_min_isr(&self) -> usize {
        if on(Mutant::AckBelowMinIsr) {
            return 1;
        }
        self.rules
            .min_insync_replicas
            .min(self.term.replicas.len())
            .max(1)
    }

    /// Raises the high watermark if the rules allow it, and returns the new one.
    ///
    /// `in_contact` is asked only if it matters: true while the controller's session for this broker cannot have ended
    /// ([`Contact`](crate::Contact)). INV-R-12: without it nobody commits alone.
    ///
    /// ```text
    /// committed ISR below the minimum           -> stays
    /// alone in sync, and out of contact         -> stays
    /// else min over the maximal ISR, and over followers that are about to join, of the advertised offset
    /// ```
    /// Source: `Partition.maybeIncrementLeaderHW`, KAFKA-15583.
    pub fn advance_high_watermark(
        &mut self,
        now: Moment,
        in_contact: impl FnOnce() -> bool,
    ) -> Option<Offset> {
        if self.term.isr.len() < self.effective_min_isr() {
            return None;
        }
        if self.has_uncommitted() && self.is_alone_in_sync() && !in_contact() {
            return None;
        }
        let mut candidate = self.local.advertised;
        for follower in &self.followers {
            let in_sync = self.in_maximal_isr(follower.broker);
            // One that is out of the ISR but caught up holds the high watermark until it has joined; otherwise
            // it would run after it for ever.
            let joining = || {
                !on(Mutant::NoMaximalIsr)
                    && follower.may_join()
                    && follower.is_caught_up(self.local.log_end, now, self.rules.lag_time_max)
            };
            if in_sync || joining() {
                let advertised = match follower.ends() {
                    Some(ends) => ends.advertised,
                    None if in_sync => return None,
                    None => continue,
                };
                candidate = candidate.min(advertised);
            }
        }
        if candidate <= self.high_watermark {
            return None;
        }
        self.high_watermark = candidate;
        self.check_invariants();
        Some(candidate)
    }

    /// May an acks=all batch be appended now?
    ///
    /// # Errors
    /// NOT_ENOUGH_REPLICAS: nothing must be appended.
    pub fn check_min_isr(&self) -> Result<(), ErrorCode> {
        if self.term.isr.len() < self.effective_min_isr() {
            Err(ErrorCode::NotEnoughReplicas)
        } else {
            Ok(())
        }
    }

    /// May a client's batch be appended that is to be acknowledged by this rule? `in_contact` as in
    /// [`Leader::advance_high_watermark`]: without acks=all the leader alone acknowledges (ADR 0010).
    ///
    /// # Errors
    /// NOT_ENOUGH_REPLICAS; NOT_LEADER_OR_FOLLOWER when another one may lead by now, of which this broker has not heard.
    /// Nothing must be appended.
    pub fn check_produce(&self, acks: Acks, in_contact: impl FnOnce() -> bool) -> Result<(), ErrorCode> {
        match acks {
            Acks::All => self.check_min_isr(),
            Acks::None | Acks::Leader => match in_contact() {
                true => Ok(()),
                false => Err(ErrorCode::NotLeaderOrFollower),
            },
        }
    }

    /// What a producer is told whose batch ends before `end`.
    ///
    /// Source: `Partition.checkEnoughReplicasReachOffset`.
    #[must_use]
    pub fn ack_outcome(&self, end: Offset) -> AckOutcome {
        if self.high_watermark < end {
            AckOutcome::Waiting
        } else if self.effective_min_isr() <= self.maximal_isr_len() {
            AckOutcome::Done(ErrorCode::None)
        } else {
            AckOutcome::Done(ErrorCode::NotEnoughReplicasAfterAppend)
        }
    }

    /// True when a record of this leader's log is not committed yet.
    #[must_use]
    pub fn has_uncommitted(&self) -> bool {
        self.high_watermark < self.local.log_end
    }

    /// True when nobody else is in sync by the controller's word. Who is only proposed may be passed over by an election.
    fn is_alone_in_sync(&self) -> bool {
        self.term.isr.iter().all(|member| *member == self.term.leader)
    }

    /// Everybody in any ISR that was proposed since one was committed.
    pub(super) fn proposed(&self) -> &[BrokerId] {
        self.proposed.as_deref().map_or(&[], |proposed| proposed)
    }

    /// Whether the broker is in the committed ISR, or in one proposed since.
    #[must_use]
    pub fn in_maximal_isr(&self, broker: BrokerId) -> bool {
        self.term.isr.contains(&broker) || (self.proposed().contains(&broker) && !on(Mutant::NoMaximalIsr))
    }

    fn maximal_isr_len(&self) -> usize {
        self.term.isr.len()
            + self
                .proposed()
                .iter()
                .filter(|broker| !self.term.isr.contains(broker))
                .count()
    }
}

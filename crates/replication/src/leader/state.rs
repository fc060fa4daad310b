//! The state of a leader, and how metadata and its own log change it.

use super::attach::AttachmentId;
use super::progress::{LogEnds, Progress, ReplicaStatus};
use crate::{BrokerIds, Moment};
use milena_types::mutants::{Mutant, on};
use milena_types::{BrokerEpoch, BrokerId, LeaderEpoch, Offset, PartitionEpoch};
use std::sync::Arc;
use std::time::Duration;

/// The registration under which a broker leads: hard state, from the metadata.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeaderTerm {
    /// The leader.
    pub leader: BrokerId,
    /// Its epoch.
    pub leader_epoch: LeaderEpoch,
    /// The version of this registration.
    pub partition_epoch: PartitionEpoch,
    /// All replicas, the leader included.
    pub replicas: BrokerIds,
    /// The committed ISR, the leader included.
    pub isr: BrokerIds,
    /// Elected uncleanly, and not yet reported as recovered.
    pub recovering: bool,
}

/// Settings that the decisions depend on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeaderRules {
    /// `min.insync.replicas` of the topic.
    pub min_insync_replicas: usize,
    /// `replica.lag.time.max.ms`.
    pub lag_time_max: Duration,
}

/// One partition, led in one leader epoch.
#[derive(Clone, Debug)]
pub struct Leader {
    pub(super) term: LeaderTerm,
    pub(super) rules: Arc<LeaderRules>,
    /// The leader's log end when the epoch began: whoever joins the ISR must have reached it.
    pub(super) epoch_start: Offset,
    pub(super) local: LogEnds,
    pub(super) high_watermark: Offset,
    pub(super) followers: Box<[Progress]>,
    /// Everybody in any ISR proposed since `term.partition_epoch` was committed. Boxed, because none is proposed for most.
    pub(super) proposed: Option<Box<BrokerIds>>,
    /// How many attempts there were, and whether the last one waits for its answer.
    pub(super) attempts: u32,
    pub(super) attempt_waits: bool,
}

impl Leader {
    /// Begins to lead. `local` is the log as it stands, `high_watermark` what this replica knew so far.
    #[must_use]
    pub fn new(
        term: LeaderTerm,
        rules: impl Into<Arc<LeaderRules>>,
        local: LogEnds,
        high_watermark: Offset,
        now: Moment,
    ) -> Self {
        let mut leader = Self {
            epoch_start: local.log_end,
            local,
            high_watermark: high_watermark.min(local.log_end),
            followers: Box::default(),
            proposed: None,
            attempts: 0,
            attempt_waits: false,
            rules: rules.into(),
            term,
        };
        leader.sync_followers(now);
        leader.check_invariants();
        leader
    }

    /// The registration it leads under.
    #[must_use]
    pub fn term(&self) -> &LeaderTerm {
        &self.term
    }

    /// Its epoch.
    #[must_use]
    pub fn leader_epoch(&self) -> LeaderEpoch {
        self.term.leader_epoch
    }

    /// Its log end when the epoch began.
    #[must_use]
    pub fn epoch_start(&self) -> Offset {
        self.epoch_start
    }

    /// The committed end: consumers may read below it. Never goes back in one epoch.
    #[must_use]
    pub fn high_watermark(&self) -> Offset {
        self.high_watermark
    }

    /// The leader's own log ends.
    #[must_use]
    pub fn local(&self) -> LogEnds {
        self.local
    }

    /// The topic's settings changed.
    pub fn set_rules(&mut self, rules: impl Into<Arc<LeaderRules>>) {
        self.rules = rules.into();
    }

    /// The leader appended up to `log_end` (not yet flushed).
    pub fn on_append(&mut self, log_end: Offset, now: Moment) {
        let before = self.local.log_end;
        for follower in &mut self.followers {
            // It had everything until this very moment; without this an idle hour would count as lag.
            if follower.ends().is_some_and(|ends| ends.advertised >= before) {
                follower.caught_up_at(now);
            }
        }
        self.local.log_end = self.local.log_end.max(log_end);
        self.check_invariants();
    }

    /// The leader may count itself up to `advertised`: flushed, or written, as `ack.durability` says.
    pub fn on_advertised(&mut self, advertised: Offset) {
        self.local.advertised = self.local.advertised.max(advertised.min(self.local.log_end));
    }

    /// An acknowledgement. False: it belongs to no current attachment, or lies outside the log, and was ignored.
    pub fn on_ack(
        &mut self,
        broker: BrokerId,
        attachment: AttachmentId,
        ends: LogEnds,
        log_start: Offset,
        now: Moment,
    ) -> bool {
        let leader_log_end = self.local.log_end;
        let Some(follower) = self.follower_mut(broker) else {
            return false;
        };
        if follower.attachment() != Some(attachment) && !on(Mutant::NoReplyCorrelation) {
            return false;
        }
        let back = follower
            .ends()
            .is_some_and(|now| ends.log_end < now.log_end || ends.advertised < now.advertised);
        if back || ends.log_end > leader_log_end || ends.advertised > ends.log_end {
            return false;
        }
        follower.log_start = log_start;
        follower.advance(ends, leader_log_end, now);
        true
    }

    /// A newer registration in the same leader epoch was committed: the only thing that shrinks the maximal ISR.
    ///
    /// False: it is not newer, and was ignored.
    pub fn on_committed(&mut self, term: LeaderTerm, now: Moment) -> bool {
        if term.leader_epoch != self.term.leader_epoch || term.partition_epoch <= self.term.partition_epoch {
            return false;
        }
        self.term = term;
        self.proposed = None;
        self.attempt_waits = false;
        self.sync_followers(now);
        self.check_invariants();
        true
    }

    /// What the metadata says about a replica's broker: its registration, and whether it may be in an ISR.
    pub fn on_broker(&mut self, broker: BrokerId, registered: Option<BrokerEpoch>, eligible: bool) {
        let Some(follower) = self.follower_mut(broker) else {
            return;
        };
        follower.on_registration(registered, eligible);
    }

    /// The smallest log start offset of the replicas that are attached, the leader's included.
    #[must_use]
    pub fn low_watermark(&self, own_log_start: Offset) -> Offset {
        self.followers
            .iter()
            .filter(|f| f.eligible)
            .fold(own_log_start, |low, f| low.min(f.log_start))
    }

    /// Every replica's log reaches it, as far as it may be counted; zero while one of them is not attached.
    ///
    /// Below it a tombstone or transaction marker may be forgotten: no replica can come back that has what it deletes, but
    /// not the deletion itself.
    #[must_use]
    pub fn replicated_offset(&self) -> Offset {
        self.followers
            .iter()
            .fold(self.local.advertised, |low, follower| {
                let ends = follower.ends().filter(|_| follower.attachment().is_some());
                low.min(ends.map_or(Offset::ZERO, |ends| ends.advertised))
            })
    }

    /// Every replica's state, the leader's first.
    pub fn replicas(&self) -> impl Iterator<Item = ReplicaStatus> {
        let own = ReplicaStatus {
            broker: self.term.leader,
            ends: Some(self.local),
            attached: true,
            in_sync: true,
        };
        std::iter::once(own).chain(self.followers.iter().map(|f| ReplicaStatus {
            broker: f.broker,
            ends: f.ends(),
            attached: f.attachment().is_some(),
            in_sync: self.in_maximal_isr(f.broker),
        }))
    }

    pub(super) fn follower(&self, broker: BrokerId) -> Option<&Progress> {
        self.followers.iter().find(|f| f.broker == broker)
    }

    pub(super) fn follower_mut(&mut self, broker: BrokerId) -> Option<&mut Progress> {
        self.followers.iter_mut().find(|f| f.broker == broker)
    }

    /// Keeps what is known of the replicas that stay, forgets the others, and adds the new ones.
    fn sync_followers(&mut self, now: Moment) {
        let mut known = std::mem::take(&mut self.followers).into_vec();
        let term = &self.term;
        let others = term.replicas.iter().filter(|broker| **broker != term.leader);
        self.followers = others
            .map(|broker| {
                let kept = known.iter().position(|f| f.broker == *broker);
                kept.map_or_else(
                    || Progress::new(*broker, term.isr.contains(broker).then_some(now)),
                    |at| known.swap_remove(at),
                )
            })
            .collect();
    }

    /// INV-R-10: the bounds of the module documentation, in debug builds.
    pub(super) fn check_invariants(&self) {
        debug_assert!(
            self.local.advertised <= self.local.log_end,
            "leader advertises beyond its log"
        );
        debug_assert!(
            self.high_watermark <= self.local.log_end,
            "high watermark beyond the leader's log"
        );
        debug_assert!(
            self.epoch_start <= self.local.log_end,
            "the epoch starts beyond the leader's log"
        );
        for follower in &self.followers {
            let ends = follower.ends().unwrap_or_default();
            debug_assert!(
                ends.advertised <= ends.log_end,
                "{} advertises beyond its log",
                follower.broker
            );
            debug_assert!(
                ends.log_end <= self.local.log_end,
                "{} is ahead of the leader",
                follower.broker
            );
        }
    }
}

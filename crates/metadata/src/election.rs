//! One change of one partition: who is in sync, who is eligible, who leads, which epochs grow.
//!
//! ```text
//! targets (ISR, replicas, …) ─► finish the reassignment ─► ELR ─► elect ─► epochs ─► new registration, or no change
//! ```
//!
//! A leader is chosen in this order, each among live replicas whose log is in use, in assignment order:
//!
//! 1. the current leader, if it stays in the ISR (PREFERRED looks at the first replica before it);
//! 2. an ISR member;
//! 3. an ELR member, when the ISR is empty: it holds everything that was committed (KIP-966);
//! 4. the last known leader, when ISR and ELR are empty: unclean. One that lost its disk is passed over for those that
//!    came back after it with theirs;
//! 5. with [`Election::Unclean`], any replica: unclean.
//!
//! An unclean choice makes the ISR the leader alone, marks the partition as recovering, and is remembered by its epoch.
//! Source: `PartitionChangeBuilder`, KIP-966. Pure.

use crate::reassignment::Reassignment;
use crate::record::PartitionRegistration;
use milena_types::BrokerId;
use milena_types::mutants::{Mutant, on};

/// Which leaders may be chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Election {
    /// Keep the leader if it is valid, else the first valid replica.
    Online,
    /// The first replica of the assignment if it is valid.
    Preferred,
    /// As `Online`, and any live replica when none is valid.
    Unclean,
}

/// A change of one partition, to be [built](PartitionChange::build) into its next registration.
pub struct PartitionChange<'a> {
    before: &'a PartitionRegistration,
    is_live: &'a dyn Fn(BrokerId) -> bool,
    min_isr: usize,
    elr_enabled: bool,
    election: Election,
    isr: Vec<BrokerId>,
    replicas: Vec<BrokerId>,
    adding: Vec<BrokerId>,
    removing: Vec<BrokerId>,
    elr: Vec<BrokerId>,
    last_known_elr: Vec<BrokerId>,
    offline: Vec<BrokerId>,
    recovering: bool,
    unclean_shutdown: Option<BrokerId>,
    wiped: Option<BrokerId>,
}

struct Chosen {
    leader: Option<BrokerId>,
    unclean: bool,
}

impl<'a> PartitionChange<'a> {
    /// No change yet. `is_live` says which brokers may lead; `min_isr` is the topic's min.insync.replicas.
    #[must_use]
    pub fn new(
        before: &'a PartitionRegistration,
        is_live: &'a dyn Fn(BrokerId) -> bool,
        min_isr: usize,
        elr_enabled: bool,
    ) -> Self {
        Self {
            before,
            is_live,
            min_isr,
            elr_enabled,
            election: Election::Online,
            isr: before.isr.clone(),
            replicas: before.replicas.clone(),
            adding: before.adding.clone(),
            removing: before.removing.clone(),
            elr: before.elr.clone(),
            last_known_elr: before.last_known_elr.clone(),
            offline: before.offline.clone(),
            recovering: before.recovering,
            unclean_shutdown: None,
            wiped: None,
        }
    }

    /// Which leaders may be chosen; by default [`Election::Online`].
    #[must_use]
    pub fn election(mut self, election: Election) -> Self {
        self.election = election;
        self
    }

    /// The ISR wanted.
    #[must_use]
    pub fn isr(mut self, isr: Vec<BrokerId>) -> Self {
        self.isr = isr;
        self
    }

    /// The ISR without `broker`.
    #[must_use]
    pub fn without(mut self, broker: BrokerId) -> Self {
        self.isr.retain(|b| *b != broker);
        self
    }

    /// `broker` lost what it had not written to disk, or its disk: it is neither in sync nor eligible.
    #[must_use]
    pub fn unclean_shutdown(mut self, broker: BrokerId) -> Self {
        self.unclean_shutdown = Some(broker);
        self.without(broker)
    }

    /// `broker` lost its disk: as an unclean shutdown, and it is no longer remembered as the last known leader.
    #[must_use]
    pub fn wiped(mut self, broker: BrokerId) -> Self {
        self.wiped = Some(broker);
        // Before the election, too: it must not be chosen in this very change.
        self.last_known_elr.retain(|b| *b != broker);
        self.unclean_shutdown(broker)
    }

    /// `broker`'s log is out of use, its data is not: it is not in sync and not elected, but stays eligible for later.
    #[must_use]
    pub fn replica_offline(mut self, broker: BrokerId) -> Self {
        if !self.offline.contains(&broker) {
            self.offline.push(broker);
        }
        self.without(broker)
    }

    /// `broker`'s log is in use again.
    #[must_use]
    pub fn replica_online(mut self, broker: BrokerId) -> Self {
        self.offline.retain(|b| *b != broker);
        self
    }

    /// The leader's word that it still recovers from an unclean election.
    #[must_use]
    pub fn recovering(mut self, recovering: bool) -> Self {
        self.recovering = recovering;
        self
    }

    /// Another assignment: all replicas, and those of them that come and go.
    #[must_use]
    pub fn assignment(
        mut self,
        replicas: Vec<BrokerId>,
        adding: Vec<BrokerId>,
        removing: Vec<BrokerId>,
    ) -> Self {
        self.replicas = replicas;
        self.adding = adding;
        self.removing = removing;
        self
    }

    /// The next registration, or `None` when nothing changes.
    #[must_use]
    pub fn build(mut self) -> Option<PartitionRegistration> {
        self.complete_reassignment();
        self.offline.retain(|b| self.replicas.contains(b));
        let min_isr = self.min_isr.min(self.replicas.len()).max(1);
        self.update_elr(min_isr);
        let chosen = self.elect();
        let leader_changes = chosen.unclean || chosen.leader != self.before.leader;
        if let Some(leader) = chosen.leader {
            if chosen.unclean {
                self.isr = vec![leader];
                self.elr.clear();
                self.recovering = true;
            } else if self.isr.is_empty() {
                self.elr.retain(|b| *b != leader);
                self.isr = vec![leader];
            }
        } else if !self.elr_enabled && self.isr.is_empty() {
            // Without ELR the last member of the ISR is the only memory of who holds everything.
            let stays = |b: &BrokerId| self.wiped != Some(*b) && self.replicas.contains(b);
            self.isr.extend(self.before.isr.iter().copied().filter(stays));
        }
        // With a leader and enough in sync, what is acknowledged from here on is unknown to the ELR.
        if !self.elr_enabled || self.isr.len() >= min_isr {
            self.elr.clear();
        }
        self.update_last_known(chosen.leader);
        let removes_replica = self.before.replicas.iter().any(|b| !self.replicas.contains(b));
        self.finish(&chosen, leader_changes || removes_replica)
    }

    fn finish(self, chosen: &Chosen, bump_leader_epoch: bool) -> Option<PartitionRegistration> {
        let before = self.before;
        let mut after = PartitionRegistration {
            replicas: self.replicas,
            isr: self.isr,
            elr: self.elr,
            last_known_elr: self.last_known_elr,
            offline: self.offline,
            adding: self.adding,
            removing: self.removing,
            leader: chosen.leader,
            recovering: self.recovering,
            unclean_epochs: before.unclean_epochs.clone(),
            leader_epoch: before.leader_epoch,
            partition_epoch: before.partition_epoch,
        };
        if after == *before && !bump_leader_epoch {
            return None;
        }
        if bump_leader_epoch {
            after.leader_epoch = before.leader_epoch.next();
        }
        if chosen.unclean {
            after.note_unclean(after.leader_epoch);
        }
        after.partition_epoch = before.partition_epoch.next();
        Some(after)
    }

    fn complete_reassignment(&mut self) {
        if self.adding.is_empty() && self.removing.is_empty() {
            return;
        }
        let now = Reassignment {
            replicas: self.replicas.clone(),
            adding: self.adding.clone(),
            removing: self.removing.clone(),
        };
        // Who leaves the ISR by this very change has everything as well, unless it lost it.
        let claims = self.before.isr.iter().chain(&self.before.elr).copied();
        let eligible: Vec<BrokerId> = claims.filter(|b| self.unclean_shutdown != Some(*b)).collect();
        if let Some(done) = now.completed(&self.isr, &eligible, self.min_isr) {
            (self.replicas, self.isr) = (done.replicas, done.isr);
            self.adding.clear();
            self.removing.clear();
        }
    }

    /// Who leaves the ISR below min.insync.replicas holds everything that is committed: nothing more is acknowledged.
    fn update_elr(&mut self, min_isr: usize) {
        if !self.elr_enabled || self.isr.len() >= min_isr {
            self.elr.clear();
            return;
        }
        let mut eligible = std::mem::take(&mut self.elr);
        for broker in &self.before.isr {
            if !eligible.contains(broker) {
                eligible.push(*broker);
            }
        }
        eligible.retain(|b| {
            !self.isr.contains(b) && self.unclean_shutdown != Some(*b) && self.replicas.contains(b)
        });
        self.elr = eligible;
    }

    fn is_valid(&self, broker: BrokerId) -> bool {
        let in_sync = self.isr.contains(&broker) || (self.isr.is_empty() && self.elr.contains(&broker));
        in_sync && self.may_lead(broker)
    }

    fn may_lead(&self, broker: BrokerId) -> bool {
        (self.is_live)(broker) && !self.offline.contains(&broker)
    }

    fn elect(&self) -> Chosen {
        let clean = |leader| Chosen {
            leader: Some(leader),
            unclean: false,
        };
        let unclean = |leader| Chosen {
            leader: Some(leader),
            unclean: true,
        };
        let preferred = self
            .replicas
            .first()
            .copied()
            .filter(|_| self.election == Election::Preferred);
        let candidates = preferred
            .into_iter()
            .chain(self.before.leader)
            .chain(self.replicas.iter().copied());
        for broker in candidates {
            if self.is_valid(broker) {
                return clean(broker);
            }
        }
        if let Some(leader) = self.last_known_leader() {
            return unclean(leader);
        }
        if (self.election == Election::Unclean || on(Mutant::UncleanWithFlagOff))
            && let Some(leader) = self.replicas.iter().copied().find(|b| self.may_lead(*b))
        {
            return unclean(leader);
        }
        Chosen {
            leader: None,
            unclean: false,
        }
    }

    fn last_known_leader(&self) -> Option<BrokerId> {
        if !self.elr_enabled || !self.isr.is_empty() || !self.elr.is_empty() {
            return None;
        }
        let first = self.last_known_elr.first().copied();
        first.filter(|b| self.may_lead(*b) && self.replicas.contains(b))
    }

    /// Remembers the leader at the moment when the ISR becomes empty, behind it whoever else held everything until its
    /// unclean shutdown, and forgets all when there is a leader again.
    fn update_last_known(&mut self, leader: Option<BrokerId>) {
        if leader.is_some() || !self.elr_enabled {
            self.last_known_elr.clear();
            return;
        }
        if !self.isr.is_empty() {
            return;
        }
        let before = self.before;
        if let Some(last) = before.leader {
            self.last_known_elr = vec![last];
        }
        let held_everything = |b: &BrokerId| before.isr.contains(b) || before.elr.contains(b);
        let unclean = self.unclean_shutdown.filter(held_everything);
        let unclean = unclean.filter(|b| !self.last_known_elr.contains(b));
        self.last_known_elr.extend(unclean);
        self.last_known_elr.retain(|b| self.wiped != Some(*b));
    }
}

#[cfg(test)]
#[path = "election_test.rs"]
mod tests;

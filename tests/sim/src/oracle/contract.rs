//! What the faults keep to: more than that nobody promises to survive.
//!
//! `flushed`: any number of brokers may be killed or lose their power; `min.insync.replicas - 1` disks may be exchanged at once. A
//! replica whose log is in doubt after that counts as one of them.
//! `replicated`: as many may lose their power or their disk at once. One counts until it is in sync again everywhere.

use milena_types::{AckDurability, BrokerId};
use std::collections::BTreeSet;

/// The contract of a run.
#[derive(Clone, Debug)]
pub struct Contract {
    durability: AckDurability,
    losses_max: usize,
    lossy: BTreeSet<BrokerId>,
}

impl Contract {
    /// Of a run with these settings.
    #[must_use]
    pub fn new(durability: AckDurability, min_isr: usize) -> Self {
        Self {
            durability,
            losses_max: min_isr.saturating_sub(1),
            lossy: BTreeSet::new(),
        }
    }

    /// `ack.durability`.
    #[must_use]
    pub fn durability(&self) -> AckDurability {
        self.durability
    }

    /// May a broker lose what it has promised to hold?
    #[must_use]
    pub fn may_lose_disk(&self, broker: BrokerId) -> bool {
        self.lossy.len() + usize::from(!self.lossy.contains(&broker)) <= self.losses_max
    }

    /// May a broker lose what is not on its disk?
    #[must_use]
    pub fn may_lose_power(&self, broker: BrokerId) -> bool {
        self.durability == AckDurability::Flushed || self.may_lose_disk(broker)
    }

    /// It has lost something that counts.
    pub fn lost(&mut self, broker: BrokerId) {
        self.lossy.insert(broker);
    }

    /// Those that are not in sync again.
    #[must_use]
    pub fn lossy(&self) -> Vec<BrokerId> {
        self.lossy.iter().copied().collect()
    }

    /// It has everything again.
    pub fn recovered(&mut self, broker: BrokerId) {
        self.lossy.remove(&broker);
    }
}

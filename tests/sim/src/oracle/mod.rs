//! Who judges: what was promised, and what must hold at every step. One file for each group of invariants.

pub mod agreement;
pub mod contact;
pub mod contract;
pub mod durability;
pub mod leadership;
pub mod losses;
pub mod metadata;
pub mod truth;
pub mod watermark;

pub use contract::Contract;
pub use truth::{Sent, Truth};

use crate::event::Host;
use crate::trace::digest;
use milena_metadata::record::PartitionRegistration;
use milena_types::{BrokerId, PartitionEpoch, TopicIdPartition};
use std::collections::{BTreeMap, BTreeSet};

/// Something that must not be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Which invariant, for example `I12`.
    pub invariant: &'static str,
    /// What was found.
    pub detail: String,
}

/// Everything that the judges remember.
#[derive(Debug)]
pub struct Oracle {
    /// The first violation.
    pub violation: Option<Violation>,
    /// The operator has asked for unclean elections.
    pub operator_elects: bool,
    /// What the faults keep to.
    pub contract: Contract,
    /// Batches that producers have made, by their digest.
    pub(crate) sent: BTreeMap<u64, Sent>,
    /// What is known of each partition.
    pub(crate) truths: BTreeMap<TopicIdPartition, Truth>,
    /// Partitions of which more was committed in this step, or of which others may be elected since.
    pub(crate) stirred: BTreeSet<TopicIdPartition>,
    /// Every registration that was committed.
    pub(crate) registrations: BTreeMap<(TopicIdPartition, PartitionEpoch), PartitionRegistration>,
    /// Whose sessions have ended.
    pub(crate) ended: contact::Ended,
    listening: BTreeMap<BrokerId, Host>,
    last_runs: BTreeMap<BrokerId, Host>,
}

impl Oracle {
    /// Nothing has happened yet.
    #[must_use]
    pub fn new(contract: Contract) -> Self {
        Self {
            violation: None,
            operator_elects: false,
            contract,
            sent: BTreeMap::new(),
            truths: BTreeMap::new(),
            stirred: BTreeSet::new(),
            registrations: BTreeMap::new(),
            ended: contact::Ended::default(),
            listening: BTreeMap::new(),
            last_runs: BTreeMap::new(),
        }
    }

    /// An invariant does not hold. The first one counts.
    pub fn fail(&mut self, invariant: &'static str, detail: String) {
        self.violation.get_or_insert(Violation { invariant, detail });
    }

    /// A producer has made a batch.
    pub fn on_sent(&mut self, bytes: &[u8], sent: Sent) {
        self.sent.insert(identity(bytes), sent);
    }

    /// A process listens, or nobody does.
    pub fn set_listening(&mut self, broker: BrokerId, host: Option<Host>) {
        match host {
            Some(host) => {
                self.listening.insert(broker, host);
                self.last_runs.insert(broker, host);
            }
            None => {
                self.listening.remove(&broker);
            }
        }
    }

    /// The process that listens for streams.
    #[must_use]
    pub fn listening(&self, broker: BrokerId) -> Option<Host> {
        self.listening.get(&broker).copied()
    }

    /// The process that listened last.
    #[must_use]
    pub fn last_run(&self, broker: BrokerId) -> Host {
        self.last_runs
            .get(&broker)
            .copied()
            .unwrap_or(Host { broker, run: 0 })
    }

    /// That registration has one replica in sync.
    pub(crate) fn is_alone(&self, id: TopicIdPartition, epoch: PartitionEpoch) -> bool {
        let registered = self.registrations.get(&(id, epoch));
        registered.is_some_and(|state| state.isr.len() == 1)
    }

    pub(crate) fn truth(&mut self, id: TopicIdPartition) -> &mut Truth {
        self.truths.entry(id).or_default()
    }
}

/// What makes a batch the same one wherever it lies: all but its offset and epoch.
#[must_use]
pub fn identity(batch: &[u8]) -> u64 {
    digest(batch.get(21..).unwrap_or_default())
}

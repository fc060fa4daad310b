//! The records of the metadata log: the whole vocabulary in which cluster state can change.
//!
//! A record is absolute ("the partition is now so"), never relative, so that a snapshot is the same records again.
//! Source: Kafka's `metadata/src/main/resources/common/metadata/*.json`.

use milena_types::{
    BrokerEpoch, BrokerId, ClusterId, DirectoryId, IncarnationId, LeaderEpoch, MetadataVersion,
    PartitionEpoch, TopicId, TopicIdPartition, TopicName,
};
use std::collections::BTreeMap;

/// What one proposal commits: all its records, or none if the image has moved on.
#[derive(Clone, Debug, PartialEq)]
pub struct MetadataBatch {
    /// The version of the image it was planned against; `apply` refuses any other.
    pub expected_version: MetadataVersion,
    /// Applied in this order.
    pub records: Vec<MetadataRecord>,
}

impl MetadataBatch {
    /// The state of each of its partitions after it.
    #[must_use]
    pub fn last_states(&self) -> BTreeMap<TopicIdPartition, &PartitionRegistration> {
        let states = self.records.iter().filter_map(|record| match record {
            MetadataRecord::Partition { id, state } => Some((*id, state)),
            _ => None,
        });
        states.collect()
    }
}

/// One change of cluster state.
#[derive(Clone, Debug, PartialEq)]
pub enum MetadataRecord {
    /// The cluster has this id; the first record of every metadata log.
    Cluster(ClusterId),
    /// A finalized feature level (KIP-584).
    Feature {
        /// For example `metadata.version`.
        name: String,
        /// 0 removes it.
        level: i16,
    },
    /// A broker registered, or its registration changed: the whole new registration.
    Broker(BrokerRegistration),
    /// A broker's registration is gone.
    BrokerRemoved(BrokerId),
    /// A topic exists; its partitions follow as records of their own.
    Topic {
        /// Its id.
        id: TopicId,
        /// Its name.
        name: TopicName,
    },
    /// A topic and all its partitions and configurations are gone.
    TopicRemoved(TopicId),
    /// A partition exists, or changed: the whole new registration.
    Partition {
        /// Which.
        id: TopicIdPartition,
        /// Its new state.
        state: PartitionRegistration,
    },
    /// A configuration was set, or with `None` removed.
    Config {
        /// Of what.
        resource: ConfigResource,
        /// Kafka's key.
        key: String,
        /// The new value.
        value: Option<String>,
    },
    /// Producer ids below this one have been handed out. Source: `ProducerIdsRecord`.
    ProducerIds {
        /// The first id that has not.
        next: i64,
    },
}

/// One address that a broker listens on.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Endpoint {
    /// The listener's name, for example `PLAINTEXT` or `INTERNAL`.
    pub listener: String,
    /// The advertised host.
    pub host: String,
    /// The advertised port.
    pub port: u16,
    /// `PLAINTEXT`, `SSL`, `SASL_PLAINTEXT` or `SASL_SSL`.
    pub security_protocol: String,
}

/// A broker as the controller knows it (hard state).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BrokerRegistration {
    /// `node.id`.
    pub id: BrokerId,
    /// The metadata version at which it registered.
    pub epoch: BrokerEpoch,
    /// Which run of the process.
    pub incarnation: IncarnationId,
    /// Where clients and the other brokers reach it.
    pub endpoints: Vec<Endpoint>,
    /// `broker.rack`.
    pub rack: Option<String>,
    /// The ids of its log directories, the durable storage ids. One that is offline stays: it is missed when another disk is in its
    /// place the next time.
    pub directories: Vec<DirectoryId>,
    /// A fenced broker leads nothing and is in no ISR.
    pub fenced: bool,
    /// It is shutting down: leads nothing new, joins no ISR.
    pub in_controlled_shutdown: bool,
}

/// A partition as the controller knows it (hard state).
///
/// Invariants: `leader` is in `isr`; `isr` and `elr` are disjoint subsets of `replicas`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartitionRegistration {
    /// In assignment order; the first is the preferred leader.
    pub replicas: Vec<BrokerId>,
    /// The in-sync replicas.
    pub isr: Vec<BrokerId>,
    /// Eligible leader replicas (KIP-966).
    pub elr: Vec<BrokerId>,
    /// The last ELR member or leader when ISR and ELR are empty (KIP-966).
    pub last_known_elr: Vec<BrokerId>,
    /// Replicas whose log is out of use: the directory failed or is full, or the log is damaged. They are in no ISR and are
    /// not elected until their broker says that they are well again.
    pub offline: Vec<BrokerId>,
    /// Being added by a reassignment.
    pub adding: Vec<BrokerId>,
    /// Being removed by a reassignment.
    pub removing: Vec<BrokerId>,
    /// Who leads; `None` while no eligible replica is alive.
    pub leader: Option<BrokerId>,
    /// True after an unclean election until the leader reports RECOVERED.
    pub recovering: bool,
    /// The leader epochs that began with an unclean election, ascending: the last [`UNCLEAN_EPOCHS_MAX`] of them.
    pub unclean_epochs: Vec<LeaderEpoch>,
    /// Grows when the leader changes or a replica is removed.
    pub leader_epoch: LeaderEpoch,
    /// Grows with every change.
    pub partition_epoch: PartitionEpoch,
}

impl PartitionRegistration {
    /// The first registration of a partition: of its replicas these are in sync, and the first of those leads.
    #[must_use]
    pub fn new(replicas: Vec<BrokerId>, isr: Vec<BrokerId>) -> Self {
        Self {
            leader: isr.first().copied(),
            replicas,
            isr,
            elr: Vec::new(),
            last_known_elr: Vec::new(),
            offline: Vec::new(),
            adding: Vec::new(),
            removing: Vec::new(),
            recovering: false,
            unclean_epochs: Vec::new(),
            leader_epoch: LeaderEpoch(0),
            partition_epoch: PartitionEpoch(0),
        }
    }

    /// True when a replica of `broker` cannot have a log yet. One that was added and counts for something has one, also while
    /// the others that were added with it are on their way.
    #[must_use]
    pub fn is_new_to(&self, broker: BrokerId) -> bool {
        self.partition_epoch == PartitionEpoch(0) || (self.adding.contains(&broker) && !self.counts(broker))
    }

    /// True for a replica that may be elected, or was the last that could be: what it holds is what the partition has.
    #[must_use]
    pub fn counts(&self, broker: BrokerId) -> bool {
        let claims = [&self.isr, &self.elr, &self.last_known_elr];
        claims.iter().any(|list| list.contains(&broker))
    }
}

/// So many unclean elections of a partition are remembered. Older ones are not denied: of what lies before the first of a full
/// list nobody knows whether it was clean.
pub const UNCLEAN_EPOCHS_MAX: usize = 8;

impl PartitionRegistration {
    /// The epoch `epoch` begins, with an unclean election.
    pub(crate) fn note_unclean(&mut self, epoch: LeaderEpoch) {
        self.unclean_epochs.push(epoch);
        let excess = self.unclean_epochs.len().saturating_sub(UNCLEAN_EPOCHS_MAX);
        self.unclean_epochs.drain(..excess);
    }

    /// The first unclean election after the epoch `after` and not after `up_to`: one of those that may have lost what was
    /// committed in `after`. Where elections may be forgotten, `up_to` stands for the one that is not known.
    #[must_use]
    pub fn unclean_between(&self, after: LeaderEpoch, up_to: LeaderEpoch) -> Option<LeaderEpoch> {
        let known = self.unclean_epochs.iter().copied();
        let found = known.clone().find(|epoch| *epoch > after && *epoch <= up_to);
        let is_full = self.unclean_epochs.len() >= UNCLEAN_EPOCHS_MAX;
        let oldest = known.min().filter(|_| is_full);
        found.or_else(|| {
            oldest
                .filter(|oldest| after < up_to && up_to < *oldest)
                .map(|_| up_to)
        })
    }
}

/// What a configuration belongs to.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ConfigResource {
    /// A topic.
    Topic(TopicName),
    /// One broker (`Some`) or the default of all brokers (`None`).
    Broker(Option<BrokerId>),
    /// A consumer group.
    Group(String),
    /// A client-metrics subscription.
    ClientMetrics(String),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_added_replica_is_new_until_it_counts_for_something() {
        let node = BrokerId(3);
        let state = PartitionRegistration {
            adding: vec![node, BrokerId(4)],
            leader_epoch: LeaderEpoch(2),
            partition_epoch: PartitionEpoch(7),
            ..PartitionRegistration::new(vec![BrokerId(1), node, BrokerId(4)], vec![BrokerId(1)])
        };
        assert!(state.is_new_to(node) && !state.is_new_to(BrokerId(1)));
        for at in 0..3 {
            let mut counts = state.clone();
            [&mut counts.isr, &mut counts.elr, &mut counts.last_known_elr][at].push(node);
            assert!(!counts.is_new_to(node), "{counts:?}");
        }
        let created = PartitionRegistration {
            partition_epoch: PartitionEpoch(0),
            ..state
        };
        assert!(created.is_new_to(BrokerId(1)));
    }

    #[test]
    fn the_last_unclean_elections_are_remembered_and_older_ones_are_not_denied() {
        let mut state = PartitionRegistration {
            leader_epoch: LeaderEpoch(90),
            partition_epoch: PartitionEpoch(99),
            ..PartitionRegistration::new(vec![BrokerId(1)], Vec::new())
        };
        let between = |state: &PartitionRegistration, after, up_to| {
            let found = state.unclean_between(LeaderEpoch(after), LeaderEpoch(up_to));
            found.map(|epoch| epoch.0)
        };
        assert_eq!(between(&state, 1, 90), None);
        for epoch in 1..=8 {
            assert_eq!(between(&state, 0, 5), None, "all are remembered");
            state.note_unclean(LeaderEpoch(epoch * 10));
        }
        // (after, up to, found): after 0 and before 10 nothing is known of a full list.
        for (after, up_to, found) in [
            (10, 19, None),
            (10, 20, Some(20)),
            (10, 90, Some(20)),
            (19, 20, Some(20)),
            (20, 29, None),
            (80, 90, None),
            (9, 10, Some(10)),
            (3, 5, Some(5)),
            (5, 5, None),
        ] {
            assert_eq!(between(&state, after, up_to), found, "{after} {up_to}");
        }
        state.note_unclean(LeaderEpoch(85));
        assert_eq!(state.unclean_epochs.len(), UNCLEAN_EPOCHS_MAX);
        assert_eq!(
            between(&state, 3, 15),
            Some(15),
            "the election of epoch 10 is forgotten"
        );
        assert_eq!(between(&state, 80, 90), Some(85));
    }
}

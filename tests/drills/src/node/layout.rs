//! What differs between the clusters of the drills.

use std::collections::BTreeSet;
use std::time::Duration;

/// Nodes, disks and settings.
#[derive(Clone, Debug)]
pub struct Layout {
    /// The brokers' ids.
    pub brokers: Vec<i32>,
    /// The controllers' ids; those that are brokers too are one process.
    pub controllers: Vec<i32>,
    /// Disks of each broker besides the one with its metadata; 0: everything is on one.
    pub data_disks: usize,
    /// Clients and brokers reach brokers, and brokers reach controllers that are nothing else, through proxies at the clients' address.
    pub proxied: bool,
}

impl Layout {
    /// `broker.session.timeout.ms`: shorter than Kafka's 9 s, so that a drill sees more of what comes after it.
    pub const SESSION: Duration = Duration::from_secs(6);
    /// `replica.lag.time.max.ms`, likewise.
    pub const LAG: Duration = Duration::from_secs(8);

    /// Three nodes, each broker and controller.
    #[must_use]
    pub fn combined() -> Self {
        Self {
            brokers: vec![1, 2, 3],
            controllers: vec![1, 2, 3],
            data_disks: 0,
            proxied: false,
        }
    }

    /// Three brokers, and so many controllers that are nothing else.
    #[must_use]
    pub fn separate(controllers: i32) -> Self {
        Self {
            controllers: (101..101 + controllers).collect(),
            ..Self::combined()
        }
    }

    /// With so many disks for each broker's partitions.
    #[must_use]
    pub fn with_data_disks(mut self, count: usize) -> Self {
        self.data_disks = count;
        self
    }

    /// Behind proxies.
    #[must_use]
    pub fn behind_proxies(mut self) -> Self {
        self.proxied = true;
        self
    }

    /// How many disks a node has besides the one of its metadata.
    pub(super) fn disks_of(&self, id: i32) -> usize {
        if self.brokers.contains(&id) {
            self.data_disks
        } else {
            0
        }
    }

    /// All nodes.
    #[must_use]
    pub fn nodes(&self) -> Vec<i32> {
        let all: BTreeSet<i32> = self.brokers.iter().chain(&self.controllers).copied().collect();
        all.into_iter().collect()
    }
}

//! When each broker that may be dead first showed it.

use milena_types::{BrokerId, Timestamp};
use std::collections::BTreeMap;

/// Of brokers whose death is not decided yet.
#[derive(Debug, Default)]
pub(super) struct Signs(BTreeMap<BrokerId, Timestamp>);

impl Signs {
    /// The earliest sign counts.
    pub(super) fn suspect(&mut self, broker: BrokerId, at: Timestamp) {
        let sign = self.0.entry(broker).or_insert(at);
        *sign = at.min(*sign);
    }

    /// Forgets those from before `since`: what they were a sign of did not come.
    pub(super) fn keep_since(&mut self, since: Timestamp) {
        self.0.retain(|_, at| *at >= since);
    }

    pub(super) fn clear(&mut self, broker: BrokerId) {
        self.0.remove(&broker);
    }

    /// The sign of a death that is decided.
    pub(super) fn take(&mut self, broker: BrokerId) -> Option<Timestamp> {
        self.0.remove(&broker)
    }
}

//! Which partitions have records at risk, and how many there are.

use crate::shard::partition::Partition;
use crate::shard::role::Role;
use crate::shard::state::Shard;

impl Shard {
    /// Now and then: counts the records at risk of the led partitions whose ISR is not whole; the others have none to speak of.
    pub(in crate::shard) fn tick_at_risk(&self) {
        let incomplete = self.cx.incomplete.iter();
        let partitions = incomplete.filter_map(|id| self.partitions.get(id));
        let records = partitions.map(|partition| partition.at_risk()).sum();
        let figures = &self.cx.background.availability;
        figures.set_at_risk(self.cx.shard, records);
    }
}

impl Partition {
    fn at_risk(&self) -> u64 {
        match &self.role {
            Role::Leader(role) => role.leader.at_risk(),
            Role::Follower(_) | Role::Idle => 0,
        }
    }
}

//! Which partitions have records at risk, and how many there are.

use crate::shard::partition::Partition;
use crate::shard::role::Role;
use crate::shard::state::Shard;
use milena_types::TopicIdPartition;

impl Shard {
    /// Now and then: counts the records at risk of the led partitions whose ISR is not whole; the others have none to speak of.
    pub(in crate::shard) fn tick_at_risk(&mut self) {
        let incomplete: Vec<TopicIdPartition> = self.cx.incomplete.iter().copied().collect();
        let mut records = 0;
        for id in incomplete {
            if let Ok((partition, _)) = self.partition(id) {
                records += partition.at_risk();
            }
        }
        self.cx
            .background
            .availability
            .set_at_risk(self.cx.shard, records);
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

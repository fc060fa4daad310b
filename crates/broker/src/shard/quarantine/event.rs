//! What is told of records that are lost: a line for the operator, and `loss.json` for whoever looks into the quarantine.

use milena_replication::Loss;
use milena_types::{BrokerId, LeaderEpoch, Timestamp, TopicIdPartition, TopicPartition};
use std::path::Path;

/// A replica cuts records that its leader does not have.
#[derive(Clone, Debug)]
pub(in crate::shard) struct LossEvent {
    pub(in crate::shard) id: TopicIdPartition,
    pub(in crate::shard) name: TopicPartition,
    /// The replica.
    pub(in crate::shard) broker: BrokerId,
    /// Whom it follows.
    pub(in crate::shard) leader: BrokerId,
    pub(in crate::shard) leader_epoch: LeaderEpoch,
    pub(in crate::shard) loss: Loss,
}

impl LossEvent {
    /// The content of `loss.json`: one object; what is not known is null.
    pub(super) fn json(&self, now: Timestamp) -> String {
        let loss = &self.loss;
        let epoch = |epoch: Option<LeaderEpoch>| epoch.map_or("null".to_owned(), |epoch| epoch.0.to_string());
        // Names of topics have no letter that JSON would want escaped.
        format!(
            "{{\"version\": 1, \"topic\": \"{}\", \"partition\": {}, \"topic_id\": \"{}\", \"broker\": {}, \"leader\": {}, \
             \"leader_epoch\": {}, \"from_epoch\": {}, \"unclean_epoch\": {}, \"lost_from\": {}, \"committed_to\": {}, \
             \"lost_to\": {}, \"at_ms\": {}}}\n",
            self.name.topic,
            self.name.partition,
            self.id.topic,
            self.broker.0,
            self.leader.0,
            self.leader_epoch.0,
            epoch(loss.from_epoch),
            epoch(loss.unclean_epoch),
            loss.lost_from.0,
            loss.committed_to.0,
            loss.lost_to.0,
            now.0,
        )
    }

    /// The records are lost, and this replica's copy of them lies there.
    pub(super) fn tell_kept(&self, path: &Path) {
        let Self {
            name, leader, loss, ..
        } = self;
        let (from_epoch, unclean_epoch) = (number(loss.from_epoch), number(loss.unclean_epoch));
        tracing::warn!(target: "milena::unclean", topic = %name.topic, partition = name.partition.0, leader = leader.0,
            from_epoch, unclean_epoch, lost_from = loss.lost_from.0, committed_to = loss.committed_to.0, lost_to = loss.lost_to.0,
            path = %path.display(), "{}: this replica's copy is in quarantine", self.what());
    }

    /// The records are lost for good.
    pub(super) fn tell_gone(&self, why: &str) {
        let Self {
            name, leader, loss, ..
        } = self;
        let (from_epoch, unclean_epoch) = (number(loss.from_epoch), number(loss.unclean_epoch));
        tracing::error!(target: "milena::unclean", topic = %name.topic, partition = name.partition.0, leader = leader.0,
            from_epoch, unclean_epoch, lost_from = loss.lost_from.0, committed_to = loss.committed_to.0, lost_to = loss.lost_to.0,
            "{}: this replica's copy is not kept, {why}", self.what());
    }

    fn what(&self) -> &'static str {
        match self.loss.unclean_epoch {
            Some(_) => "an unclean election has lost records",
            // Only a lost disk, a power cut of all replicas that do not flush, or a defect leads here.
            None => "committed records are gone without an unclean election",
        }
    }
}

/// -1 for none, as everywhere in logs and on the wire.
fn number(epoch: Option<LeaderEpoch>) -> i32 {
    epoch.map_or(-1, |epoch| epoch.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use milena_types::{Offset, PartitionIndex, TopicId, TopicName, Uuid};

    #[test]
    fn the_event_is_json() {
        let event = |unclean: Option<i32>| LossEvent {
            id: TopicIdPartition {
                topic: TopicId(Uuid([1; 16])),
                partition: PartitionIndex(3),
            },
            name: TopicPartition {
                topic: TopicName::new("a.b-c_D").unwrap(),
                partition: PartitionIndex(3),
            },
            broker: BrokerId(1),
            leader: BrokerId(2),
            leader_epoch: LeaderEpoch(9),
            loss: Loss {
                from_epoch: Some(LeaderEpoch(5)),
                unclean_epoch: unclean.map(LeaderEpoch),
                lost_from: Offset(80),
                committed_to: Offset(95),
                lost_to: Offset(100),
            },
        };
        for (unclean, shown) in [(Some(6), "6"), (None, "null")] {
            assert_eq!(
                event(unclean).json(Timestamp(7)),
                format!(
                    "{{\"version\": 1, \"topic\": \"a.b-c_D\", \"partition\": 3, \"topic_id\": \"AQEBAQEBAQEBAQEBAQEBAQ\", \
                     \"broker\": 1, \"leader\": 2, \"leader_epoch\": 9, \"from_epoch\": 5, \"unclean_epoch\": {shown}, \
                     \"lost_from\": 80, \"committed_to\": 95, \"lost_to\": 100, \"at_ms\": 7}}\n"
                )
            );
        }
    }
}

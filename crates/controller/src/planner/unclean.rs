//! Unclean elections, one by one: each may have lost acknowledged records, so each is an event of its own and counted.
//!
//! The event names partition and epochs; the range that is lost is known when a replica comes back that has it: the broker
//! of that replica tells it (`milena_replication::Loss`). Pure but for [`UncleanElections::log`].

use milena_metadata::config::{BrokerDefaults, unclean_leader_election};
use milena_metadata::image::MetadataImage;
use milena_metadata::record::{MetadataBatch, MetadataRecord, PartitionRegistration};
use milena_types::{BrokerId, LeaderEpoch, TopicIdPartition};
use std::collections::BTreeMap;

/// Why it was held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reason {
    /// `unclean.leader.election.enable`.
    Config,
    /// An operator asked for it (ElectLeaders).
    Operator,
    /// ISR and ELR were empty, and the last known leader came back (KIP-966).
    LastKnown,
    /// A reassignment was cancelled, and none of the old replicas had everything.
    Cancel,
}

impl Reason {
    fn as_str(self) -> &'static str {
        match self {
            Self::Config => "config",
            Self::Operator => "operator",
            Self::LastKnown => "last-known-leader",
            Self::Cancel => "cancelled-reassignment",
        }
    }
}

/// One of them.
#[derive(Debug, PartialEq, Eq)]
struct UncleanElection {
    topic: String,
    partition: i32,
    from_epoch: LeaderEpoch,
    to_epoch: LeaderEpoch,
    leader: Option<BrokerId>,
    isr_before: Vec<BrokerId>,
    elr_before: Vec<BrokerId>,
    last_known: Vec<BrokerId>,
    reason: Reason,
}

/// Those of one batch.
#[derive(Debug, Default)]
pub(super) struct UncleanElections(Vec<UncleanElection>);

impl UncleanElections {
    /// Compares the states of each partition in the batch with the ones before them, the first with that in `base`, on which
    /// the batch was planned. `after`: what it leads to; the setting that allows an election may come with it.
    pub(super) fn of(
        base: &MetadataImage,
        batch: &MetadataBatch,
        after: &MetadataImage,
        defaults: &BrokerDefaults,
    ) -> Self {
        let mut last: BTreeMap<TopicIdPartition, &PartitionRegistration> = BTreeMap::new();
        let mut found = Vec::new();
        for record in &batch.records {
            let MetadataRecord::Partition { id, state } = record else {
                continue;
            };
            let before = match last.insert(*id, state) {
                Some(before) => before,
                None => match base.partition(*id) {
                    Some(before) => before,
                    None => continue,
                },
            };
            if state.unclean_epochs.last() != before.unclean_epochs.last() {
                found.push(election(after, *id, (before, state), defaults));
            }
        }
        Self(found)
    }

    /// How many there are.
    pub(super) fn count(&self) -> u64 {
        self.0.len() as u64
    }

    /// One line for each.
    pub(super) fn log(&self) {
        for election in &self.0 {
            let leader = election.leader.map_or(-1, |leader| leader.0);
            tracing::warn!(target: "milena::unclean", topic = election.topic, partition = election.partition,
                from_epoch = election.from_epoch.0, to_epoch = election.to_epoch.0, leader,
                isr_before = list(&election.isr_before), elr_before = list(&election.elr_before),
                last_known = list(&election.last_known), reason = election.reason.as_str(),
                "unclean election: acknowledged records may be missing");
        }
    }
}

fn election(
    image: &MetadataImage,
    id: TopicIdPartition,
    (before, after): (&PartitionRegistration, &PartitionRegistration),
    defaults: &BrokerDefaults,
) -> UncleanElection {
    let topic = image.topics.get(&id.topic);
    let by_config = topic.is_some_and(|topic| unclean_leader_election(image, &topic.name, defaults));
    let is_moving = |state: &PartitionRegistration| !(state.adding.is_empty() && state.removing.is_empty());
    let nobody = before.isr.is_empty() && before.elr.is_empty();
    let reason = if nobody && after.leader.is_some() && before.last_known_elr.first() == after.leader.as_ref()
    {
        Reason::LastKnown
    } else if is_moving(before) && !is_moving(after) {
        Reason::Cancel
    } else if by_config {
        Reason::Config
    } else {
        Reason::Operator
    };
    UncleanElection {
        topic: topic.map_or_else(|| id.topic.to_string(), |topic| topic.name.to_string()),
        partition: id.partition.0,
        from_epoch: before.leader_epoch,
        to_epoch: after.leader_epoch,
        leader: after.leader,
        isr_before: before.isr.clone(),
        elr_before: before.elr.clone(),
        last_known: before.last_known_elr.clone(),
        reason,
    }
}

fn list(brokers: &[BrokerId]) -> String {
    let ids: Vec<_> = brokers.iter().map(ToString::to_string).collect();
    ids.join(",")
}

#[cfg(test)]
mod tests {
    use super::*;
    use milena_metadata::record::ConfigResource;
    use milena_types::{MetadataVersion, PartitionEpoch, PartitionIndex, TopicId, TopicName, Uuid};

    const ID: TopicIdPartition = TopicIdPartition {
        topic: TopicId(Uuid([1; 16])),
        partition: PartitionIndex(0),
    };

    fn ids(list: &[i32]) -> Vec<BrokerId> {
        list.iter().map(|b| BrokerId(*b)).collect()
    }

    fn state(epoch: i32, leader: Option<i32>, unclean: &[i32]) -> PartitionRegistration {
        PartitionRegistration {
            unclean_epochs: unclean.iter().map(|epoch| LeaderEpoch(*epoch)).collect(),
            leader_epoch: LeaderEpoch(epoch),
            partition_epoch: PartitionEpoch(epoch),
            ..PartitionRegistration::new(ids(&[1, 2, 3]), leader.into_iter().map(BrokerId).collect())
        }
    }

    fn records(states: &[PartitionRegistration]) -> Vec<MetadataRecord> {
        let partition = |state: &PartitionRegistration| MetadataRecord::Partition {
            id: ID,
            state: state.clone(),
        };
        states.iter().map(partition).collect()
    }

    fn found(before: &PartitionRegistration, after: &[PartitionRegistration]) -> Vec<UncleanElection> {
        found_with(Vec::new(), before, after)
    }

    /// In a batch that begins with these records.
    fn found_with(
        with: Vec<MetadataRecord>,
        before: &PartitionRegistration,
        after: &[PartitionRegistration],
    ) -> Vec<UncleanElection> {
        let mut first = vec![MetadataRecord::Topic {
            id: ID.topic,
            name: TopicName::new("t").unwrap(),
        }];
        first.extend(records(std::slice::from_ref(before)));
        let mut base = MetadataImage::default();
        let batch = |base: &MetadataImage, records| MetadataBatch {
            expected_version: base.version,
            records,
        };
        base.apply(&batch(&base, first)).unwrap();
        assert_eq!(base.version, MetadataVersion(1));
        let next = batch(&base, [with, records(after)].concat());
        let mut image = base.clone();
        image.apply(&next).unwrap();
        UncleanElections::of(&base, &next, &image, &BrokerDefaults::default()).0
    }

    #[test]
    fn each_unclean_election_is_one_event_with_its_epochs() {
        let waits = PartitionRegistration {
            elr: ids(&[2]),
            ..state(4, None, &[])
        };
        let elected = state(5, Some(3), &[5]);
        let events = found(&waits, std::slice::from_ref(&elected));
        assert_eq!(
            events,
            [UncleanElection {
                topic: "t".to_owned(),
                partition: 0,
                from_epoch: LeaderEpoch(4),
                to_epoch: LeaderEpoch(5),
                leader: Some(BrokerId(3)),
                isr_before: Vec::new(),
                elr_before: ids(&[2]),
                last_known: Vec::new(),
                reason: Reason::Operator,
            }]
        );
        // Two in one batch, and none for the changes that follow.
        let (gone, again) = (state(6, None, &[5]), state(7, Some(1), &[5, 7]));
        let events = found(&waits, &[elected.clone(), gone, again.clone()]);
        assert_eq!(events.len(), 2);
        assert_eq!(
            (events[1].from_epoch, events[1].to_epoch),
            (LeaderEpoch(6), LeaderEpoch(7))
        );
        assert_eq!(found(&elected, &[state(6, Some(3), &[5])]), []);
        assert_eq!(found(&state(5, None, &[]), &[state(6, Some(3), &[])]), []);
    }

    #[test]
    fn the_reason_is_what_allowed_it() {
        let reason = |before: &PartitionRegistration| found(before, &[state(5, Some(3), &[5])])[0].reason;
        let waits = state(4, None, &[]);
        let last = |brokers: &[i32]| PartitionRegistration {
            last_known_elr: ids(brokers),
            ..waits.clone()
        };
        assert_eq!(reason(&last(&[3, 1])), Reason::LastKnown);
        assert_eq!(reason(&last(&[1, 3])), Reason::Operator);
        let moving = PartitionRegistration {
            removing: ids(&[1]),
            ..state(4, Some(1), &[])
        };
        assert_eq!(reason(&moving), Reason::Cancel);
        // Also when the setting has come in the same batch.
        let allowed = |resource| MetadataRecord::Config {
            resource,
            key: "unclean.leader.election.enable".to_owned(),
            value: Some("true".to_owned()),
        };
        let topic = ConfigResource::Topic(TopicName::new("t").unwrap());
        for resource in [topic, ConfigResource::Broker(None)] {
            let events = found_with(vec![allowed(resource)], &waits, &[state(5, Some(3), &[5])]);
            assert_eq!(events[0].reason, Reason::Config);
        }
    }
}

//! Elections that the controller does by itself: preferred leaders (`auto.leader.rebalance.enable`), and unclean ones
//! where the configuration allows them.
//!
//! Bounded per call; the reply says whether there may be more to do. Source:
//! `ReplicationControlManager.maybeBalancePartitionLeaders`, `maybeElectUncleanLeaders`.

use super::context::{PlanContext, Planned};
use super::draft::Draft;
use super::elect_leaders::elect;
use crate::image::MetadataImage;
use crate::record::PartitionRegistration;
use crate::request::ElectionType;
use milena_types::{BrokerId, TopicName};
use std::collections::BTreeSet;

/// Moves leaderships to the first replica where it is in sync, at most `max` of them. The reply is true when there may
/// be more, or a broker is held back. A broker that has come back gets none before it is in sync everywhere: until then it has enough to do with what it
/// missed. Kafka decides for each partition alone.
#[must_use]
pub fn elect_preferred_leaders(image: &MetadataImage, max: usize, ctx: &PlanContext<'_>) -> Planned<bool> {
    let mut draft = Draft::new(image, ctx);
    let behind = catching_up(image);
    let due = |p: &PartitionRegistration| {
        let preferred = p
            .replicas
            .first()
            .filter(|b| p.isr.contains(b) && !behind.contains(b));
        preferred.is_some_and(|b| p.leader != Some(*b))
    };
    let held_back = image.partitions().any(|(_, _, state)| {
        let preferred = state.replicas.first().filter(|b| behind.contains(b));
        preferred.is_some_and(|b| state.leader != Some(*b) && image.is_active(*b))
    });
    let more = elect_where(&mut draft, ElectionType::Preferred, max, due, |_, _| true);
    draft.reply(more || held_back)
}

/// The brokers that have a replica which is not in sync and could be: it has a leader, its log is in use, and it neither comes
/// nor goes by a reassignment.
fn catching_up(image: &MetadataImage) -> BTreeSet<BrokerId> {
    let led = image.partitions().filter(|(_, _, state)| state.leader.is_some());
    let lagging = led.flat_map(|(_, _, state)| {
        let excused = [&state.isr, &state.offline, &state.adding, &state.removing];
        let lags = |b: &BrokerId| !excused.iter().any(|brokers| brokers.contains(b));
        state.replicas.iter().copied().filter(lags).collect::<Vec<_>>()
    });
    lagging.collect()
}

/// Elects any live replica for leaderless partitions of topics that allow it, at most `max`. The reply is true when
/// there may be more.
#[must_use]
pub fn elect_unclean_leaders(image: &MetadataImage, max: usize, ctx: &PlanContext<'_>) -> Planned<bool> {
    let mut draft = Draft::new(image, ctx);
    let more = elect_unclean(&mut draft, max);
    draft.reply(more)
}

pub(super) fn elect_unclean(draft: &mut Draft<'_>, max: usize) -> bool {
    let allowed = |draft: &mut Draft<'_>, topic: &TopicName| {
        draft.election_settings(topic).1 == crate::election::Election::Unclean
    };
    elect_where(draft, ElectionType::Unclean, max, |p| p.leader.is_none(), allowed)
}

fn elect_where(
    draft: &mut Draft<'_>,
    election: ElectionType,
    max: usize,
    due: impl Fn(&PartitionRegistration) -> bool,
    allowed: impl Fn(&mut Draft<'_>, &TopicName) -> bool,
) -> bool {
    let begun = draft.len();
    let image = draft.image.clone();
    for (topic, id, _) in image.partitions().filter(|(_, _, state)| due(state)) {
        if draft.len() - begun >= max {
            return true;
        }
        if allowed(draft, &topic.name) {
            // A partition for which nobody can be elected stays as it is; the next round tries again.
            let _ = elect(draft, &topic.name, id.partition.0, election, usize::MAX);
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::testing::Cluster;
    use milena_types::BrokerId;

    #[test]
    fn leaders_are_balanced_in_bounded_steps() {
        let mut cluster = Cluster::with_brokers(3);
        let id = cluster.create("t", 6, 3);
        cluster.fence(BrokerId(0));
        cluster.unfence(BrokerId(0));
        for partition in 0..6 {
            cluster.join_isr(id, partition, BrokerId(0));
        }
        assert!(cluster.plan(|image, ctx| elect_preferred_leaders(image, 1, ctx)));
        assert!(!cluster.plan(|image, ctx| elect_preferred_leaders(image, 10, ctx)));
        let states: Vec<_> = (0..6).map(|p| cluster.partition(id, p)).collect();
        assert!(states.iter().all(|s| s.leader == Some(s.replicas[0])));
        let again = elect_preferred_leaders(&cluster.image, 10, &cluster.ctx());
        assert!(again.records.is_empty() && !again.reply);
    }

    #[test]
    fn a_broker_leads_again_when_it_is_in_sync_everywhere() {
        let mut cluster = Cluster::with_brokers(3);
        let id = cluster.create("t", 3, 3);
        let mine: Vec<i32> = (0..3)
            .filter(|p| cluster.partition(id, *p).replicas[0] == BrokerId(0))
            .collect();
        assert!(!mine.is_empty());
        cluster.fence(BrokerId(0));
        cluster.unfence(BrokerId(0));
        let led = |cluster: &Cluster| {
            mine.iter()
                .all(|p| cluster.partition(id, *p).leader == Some(BrokerId(0)))
        };
        let mut held_back = false;
        for partition in 0..3 {
            held_back = cluster.plan(|image, ctx| elect_preferred_leaders(image, 10, ctx));
            assert!(!led(&cluster), "before partition {partition} is in sync");
            cluster.join_isr(id, partition, BrokerId(0));
        }
        assert!(held_back, "it is looked at again soon");
        assert!(!cluster.plan(|image, ctx| elect_preferred_leaders(image, 10, ctx)));
        assert!(led(&cluster));
    }

    #[test]
    fn a_replica_whose_directory_failed_holds_nothing_up() {
        let mut cluster = Cluster::with_brokers(3);
        let id = cluster.create("t", 2, 3);
        let broker = cluster.partition(id, 0).replicas[0];
        let item = |partition, state| crate::request::ReplicaStates {
            broker,
            broker_epoch: cluster.epoch(broker.0),
            replicas: vec![crate::request::ReplicaStateItem {
                id: milena_types::TopicIdPartition {
                    topic: id,
                    partition: milena_types::PartitionIndex(partition),
                },
                state,
            }],
        };
        let (down, up) = (
            item(1, crate::request::ReplicaState::Offline),
            item(0, crate::request::ReplicaState::Offline),
        );
        let back = item(0, crate::request::ReplicaState::Online);
        for request in [down, up, back] {
            cluster.plan(|image, ctx| crate::plan::replica_states(image, &request, ctx));
        }
        cluster.join_isr(id, 0, broker);
        cluster.plan(|image, ctx| elect_preferred_leaders(image, 10, ctx));
        assert_eq!(cluster.partition(id, 0).leader, Some(broker));
    }

    /// Brokers behind in a partition that is as this change makes it.
    fn behind(change: impl Fn(&mut PartitionRegistration)) -> BTreeSet<BrokerId> {
        let mut cluster = Cluster::with_brokers(3);
        let topic = cluster.create("t", 1, 3);
        let id = milena_types::TopicIdPartition {
            topic,
            partition: milena_types::PartitionIndex(0),
        };
        let mut state = cluster.partition(topic, 0);
        let last = state.replicas[2];
        state.isr.retain(|b| *b != last);
        change(&mut state);
        let records = [crate::record::MetadataRecord::Partition { id, state }];
        let image = crate::image::MetadataImage::from_records(
            cluster.image.version,
            &[cluster.image.to_records(), records.to_vec()].concat(),
        );
        catching_up(&image)
    }

    #[test]
    fn only_who_could_be_in_sync_is_behind() {
        assert_eq!(behind(|_| ()).len(), 1);
        assert!(behind(|state| state.offline.push(state.replicas[2])).is_empty());
        assert!(behind(|state| state.adding.push(state.replicas[2])).is_empty());
        assert!(behind(|state| state.removing.push(state.replicas[2])).is_empty());
        let leaderless = |state: &mut PartitionRegistration| {
            (state.leader, state.isr) = (None, Vec::new());
        };
        assert!(behind(leaderless).is_empty());
    }
}

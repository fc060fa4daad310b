//! ElectLeaders (43): preferred and unclean elections on request.
//!
//! Source: `ReplicationControlManager.electLeaders`; the texts are Kafka's.

use super::context::{PlanContext, Planned, RECORDS_MAX, too_many};
use super::draft::{Draft, active};
use crate::election::Election;
use crate::image::MetadataImage;
use crate::request::{ElectLeader, ElectionType, Outcome};
use milena_types::{ErrorCode, PartitionIndex, TopicIdPartition, TopicName};
use std::sync::Arc;

/// Plans the elections: (topic, partition, outcome) in the order of the request. Asked for all partitions, those that
/// need no election are left out.
#[must_use]
pub fn elect_leaders(
    image: &MetadataImage,
    election: ElectionType,
    partitions: Option<&[ElectLeader]>,
    ctx: &PlanContext<'_>,
) -> Planned<Vec<(TopicName, i32, Outcome)>> {
    elect_at_most(RECORDS_MAX, image, election, partitions, ctx)
}

fn elect_at_most(
    max: usize,
    image: &MetadataImage,
    election: ElectionType,
    partitions: Option<&[ElectLeader]>,
    ctx: &PlanContext<'_>,
) -> Planned<Vec<(TopicName, i32, Outcome)>> {
    let mut draft = Draft::new(image, ctx);
    let mut results = Vec::new();
    match partitions {
        Some(partitions) => {
            for item in partitions {
                let outcome = elect(&mut draft, &item.topic, item.partition, election, max).err();
                results.push((item.topic.clone(), item.partition, outcome.unwrap_or(Outcome::OK)));
            }
        }
        None => {
            for topic in image.topic_ids.values().filter_map(|id| image.topics.get(id)) {
                for index in topic.partitions.keys() {
                    let outcome = elect(&mut draft, &topic.name, index.0, election, max)
                        .err()
                        .unwrap_or(Outcome::OK);
                    if outcome.error != ErrorCode::ElectionNotNeeded {
                        results.push((topic.name.clone(), index.0, outcome));
                    }
                }
            }
        }
    }
    draft.reply(results)
}

/// Elects a leader for one partition, unless the draft has `max` records.
pub(super) fn elect(
    draft: &mut Draft<'_>,
    name: &TopicName,
    partition: i32,
    election: ElectionType,
    max: usize,
) -> Result<(), Outcome> {
    let unknown = |what: String| Outcome::failed(ErrorCode::UnknownTopicOrPartition, what);
    let topic = draft.image.topic_by_name(name.as_str());
    let topic = Arc::clone(topic.ok_or_else(|| unknown(format!("No such topic as {name}")))?);
    let index = PartitionIndex(partition);
    let state = topic.partitions.get(&index);
    let state = state.ok_or_else(|| unknown(format!("No such partition as {name}-{partition}")))?;
    let needless = match election {
        ElectionType::Preferred => state.leader.is_some() && state.leader == state.replicas.first().copied(),
        ElectionType::Unclean => state.leader.is_some(),
    };
    if needless {
        let message = "Leader election not needed for topic partition.";
        return Err(Outcome::failed(ErrorCode::ElectionNotNeeded, message));
    }
    if draft.len() >= max {
        return Err(too_many());
    }
    let id = TopicIdPartition {
        topic: topic.id,
        partition: index,
    };
    let allowed = match election {
        ElectionType::Preferred => Election::Preferred,
        ElectionType::Unclean => Election::Unclean,
    };
    let elected = draft.change_partition(&topic, id, state, &active, |change| change.election(allowed));
    match (elected, election) {
        (Some(_), _) => Ok(()),
        (None, ElectionType::Preferred) => Err(Outcome::failed(
            ErrorCode::PreferredLeaderNotAvailable,
            "The preferred leader was not available.",
        )),
        (None, ElectionType::Unclean) => Err(Outcome::failed(
            ErrorCode::EligibleLeadersNotAvailable,
            "Eligible topic partition leaders are not available.",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::testing::Cluster;
    use milena_types::BrokerId;

    fn ask(topic: &str, partition: i32) -> ElectLeader {
        ElectLeader {
            topic: TopicName::new(topic).unwrap(),
            partition,
        }
    }

    #[test]
    fn the_preferred_leader_comes_back() {
        let mut cluster = Cluster::with_brokers(3);
        let id = cluster.create("t", 1, 3);
        let preferred = cluster.partition(id, 0).replicas[0];
        cluster.fence(preferred);
        cluster.unfence(preferred);
        let asked = [ask("t", 0)];
        let elect = |cluster: &mut Cluster| {
            let results = cluster.plan(|i, ctx| elect_leaders(i, ElectionType::Preferred, Some(&asked), ctx));
            results[0].2.error
        };
        assert_eq!(
            elect(&mut cluster),
            ErrorCode::PreferredLeaderNotAvailable,
            "it is not in sync yet"
        );
        cluster.join_isr(id, 0, preferred);
        assert_eq!(elect(&mut cluster), ErrorCode::None);
        assert_eq!(cluster.partition(id, 0).leader, Some(preferred));
        assert_eq!(elect(&mut cluster), ErrorCode::ElectionNotNeeded);
        let all = cluster.plan(|i, ctx| elect_leaders(i, ElectionType::Preferred, None, ctx));
        assert!(all.is_empty());
    }

    #[test]
    fn elections_beyond_what_a_request_may_change_are_refused() {
        let mut cluster = Cluster::with_brokers(3);
        let id = cluster.create("t", 6, 3);
        for broker in [BrokerId(0), BrokerId(1)] {
            cluster.fence(broker);
            cluster.unfence(broker);
            (0..6).for_each(|partition| cluster.join_isr(id, partition, broker));
        }
        let asked: Vec<_> = (0..6).map(|partition| ask("t", partition)).collect();
        for asked in [Some(&asked[..]), None] {
            let planned = |max| {
                let preferred = ElectionType::Preferred;
                elect_at_most(max, &cluster.image, preferred, asked, &cluster.ctx())
            };
            let count = |max, error| planned(max).reply.iter().filter(|r| r.2.error == error).count();
            let due = count(RECORDS_MAX, ErrorCode::None);
            assert!(due > 1, "{due}");
            assert_eq!((planned(1).records.len(), count(1, ErrorCode::None)), (1, 1));
            assert_eq!(count(1, ErrorCode::PolicyViolation), due - 1);
            let unneeded = |max| count(max, ErrorCode::ElectionNotNeeded);
            assert_eq!(unneeded(1), unneeded(RECORDS_MAX));
        }
    }

    #[test]
    fn an_unclean_election_is_the_operators_word() {
        let mut cluster = Cluster::with_brokers(2);
        let id = cluster.create_with("t", 1, 2, &[("min.insync.replicas", "1")]);
        let leader = cluster.partition(id, 0).leader.unwrap();
        let other = BrokerId(1 - leader.0);
        cluster.fence(other);
        cluster.fence(leader);
        cluster.unfence(other);
        assert_eq!(
            cluster.partition(id, 0).leader,
            Option::None,
            "it missed what was acknowledged since"
        );
        let asked = [ask("t", 0), ask("t", 1), ask("u", 0), ask("t", 0)];
        let results = cluster.plan(|i, ctx| elect_leaders(i, ElectionType::Unclean, Some(&asked), ctx));
        let errors: Vec<_> = results.iter().map(|r| r.2.error).collect();
        use ErrorCode::{ElectionNotNeeded, None, UnknownTopicOrPartition};
        assert_eq!(
            errors,
            [
                None,
                UnknownTopicOrPartition,
                UnknownTopicOrPartition,
                ElectionNotNeeded
            ]
        );
        let state = cluster.partition(id, 0);
        assert_eq!(
            (state.leader, &state.isr[..], state.recovering),
            (Some(other), &[other][..], true)
        );
    }
}

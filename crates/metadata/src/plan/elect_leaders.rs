//! ElectLeaders (43): preferred and unclean elections on request.
//!
//! Source: `ReplicationControlManager.electLeaders`; the texts are Kafka's.

use super::context::{PlanContext, Planned};
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
    let mut draft = Draft::new(image, ctx);
    let mut results = Vec::new();
    match partitions {
        Some(partitions) => {
            for item in partitions {
                let outcome = elect(&mut draft, &item.topic, item.partition, election).err();
                results.push((item.topic.clone(), item.partition, outcome.unwrap_or(Outcome::OK)));
            }
        }
        None => {
            for topic in image.topic_ids.values().filter_map(|id| image.topics.get(id)) {
                for index in topic.partitions.keys() {
                    let outcome = elect(&mut draft, &topic.name, index.0, election)
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

pub(super) fn elect(
    draft: &mut Draft<'_>,
    name: &TopicName,
    partition: i32,
    election: ElectionType,
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

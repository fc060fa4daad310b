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
use milena_types::TopicName;

/// Moves leaderships to the first replica where it is in sync, at most `max` of them. The reply is true when there may
/// be more.
#[must_use]
pub fn elect_preferred_leaders(image: &MetadataImage, max: usize, ctx: &PlanContext<'_>) -> Planned<bool> {
    let mut draft = Draft::new(image, ctx);
    let due = |p: &PartitionRegistration| {
        p.leader != p.replicas.first().copied() && p.replicas.first().is_some_and(|b| p.isr.contains(b))
    };
    let more = elect_where(&mut draft, ElectionType::Preferred, max, due, |_, _| true);
    draft.reply(more)
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
            let _ = elect(draft, &topic.name, id.partition.0, election);
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
}

//! I11 nobody is elected uncleanly unless that is allowed; I24 one leader for an epoch; I29, I31 what is true of every image and
//! every step; I32 a broker's metadata is a prefix of the controller's.

use crate::controller::Committed;
use crate::cx::Cx;
use crate::event::Host;
use crate::say;
use milena_metadata::config::{BrokerDefaults, min_insync_replicas, unclean_leader_election};
use milena_metadata::record::{MetadataRecord, PartitionRegistration};
use milena_metadata::{MetadataImage, invariants};
use milena_types::{AckDurability, BrokerId, TopicIdPartition};

/// A batch was committed.
pub fn on_committed(
    cx: &mut Cx,
    before: &MetadataImage,
    committed: Option<&Committed>,
    defaults: &BrokerDefaults,
) {
    let Some(Committed { batch, image }) = committed else {
        return;
    };
    let sound = invariants::check(image).and_then(|()| invariants::check_step(before, image));
    if let Err(violation) = sound {
        cx.oracle.fail("I29", violation.to_string());
    }
    cx.oracle.ended.follow(before, image);
    let mut last: Option<(TopicIdPartition, &PartitionRegistration)> = None;
    for record in &batch.records {
        let MetadataRecord::Partition { id, state } = record else {
            continue;
        };
        let known = last.filter(|(same, _)| same == id).map(|(_, state)| state);
        let old = known.or_else(|| before.partition(*id));
        on_partition(cx, *id, old, state, image, defaults);
        last = Some((*id, state));
    }
}

fn on_partition(
    cx: &mut Cx,
    id: TopicIdPartition,
    old: Option<&PartitionRegistration>,
    new: &PartitionRegistration,
    image: &MetadataImage,
    defaults: &BrokerDefaults,
) {
    cx.oracle
        .registrations
        .insert((id, new.partition_epoch), new.clone());
    let owner = *cx
        .oracle
        .truth(id)
        .owners
        .entry(new.leader_epoch)
        .or_insert(new.leader);
    if owner != new.leader {
        cx.oracle.fail(
            "I24",
            format!(
                "{} of {id} is {owner:?}'s and {:?}'s",
                new.leader_epoch, new.leader
            ),
        );
    }
    let Some(old) = old else { return };
    if new.partition_epoch != old.partition_epoch.next() {
        cx.oracle.fail(
            "I31",
            format!("{id}: {} follows {}", new.partition_epoch, old.partition_epoch),
        );
    }
    if old.isr != new.isr || old.elr != new.elr {
        cx.oracle.stirred.insert(id);
    }
    count(cx, old, new);
    judge_move(cx, id, old, new, image, defaults);
    if old.leader == new.leader && old.leader_epoch == new.leader_epoch {
        return;
    }
    say!(
        cx,
        "controller: {id} {:?} isr {:?} elr {:?} -> {:?} in {} isr {:?} elr {:?}",
        old.leader,
        old.isr,
        old.elr,
        new.leader,
        new.leader_epoch,
        new.isr,
        new.elr
    );
    if let Some(leader) = new.leader {
        judge_election(cx, id, old, new, leader, image, defaults);
    }
}

fn count(cx: &mut Cx, old: &PartitionRegistration, new: &PartitionRegistration) {
    let coverage = &mut cx.coverage;
    coverage.isr_shrunk += u64::from(new.isr.len() < old.isr.len());
    coverage.isr_expanded += u64::from(new.isr.len() > old.isr.len() && new.leader == old.leader);
    coverage.leaderless += u64::from(new.leader.is_none() && old.leader.is_some());
    let moved = new.leader.is_some() && new.leader != old.leader;
    coverage.failover += u64::from(moved);
    let preferred =
        moved && old.leader.is_some() && new.leader == new.replicas.first().copied() && new.isr == old.isr;
    coverage.preferred_elected += u64::from(preferred);
    let moving = |state: &PartitionRegistration| !state.adding.is_empty() || !state.removing.is_empty();
    coverage.reassigned += u64::from(moving(new) && !moving(old));
    if moving(old) && !moving(new) {
        let cancelled = old.adding.iter().any(|added| !new.replicas.contains(added));
        coverage.reassignment_cancelled += u64::from(cancelled);
        coverage.reassignment_completed += u64::from(!cancelled);
    }
}

/// I34: a move does not by itself take the ISR below the minimum, and who comes is in sync by the leader's word only.
fn judge_move(
    cx: &mut Cx,
    id: TopicIdPartition,
    old: &PartitionRegistration,
    new: &PartitionRegistration,
    image: &MetadataImage,
    defaults: &BrokerDefaults,
) {
    if old.replicas == new.replicas && old.adding == new.adding && old.removing == new.removing {
        return;
    }
    let name = image.topics.get(&id.topic).map(|topic| topic.name.clone());
    let wanted = name.map_or(1, |name| min_insync_replicas(image, &name, defaults));
    let enough = new.isr.len() >= wanted.min(new.replicas.len());
    let begins = new
        .adding
        .iter()
        .any(|added| !old.replicas.contains(added) && new.isr.contains(added));
    let cancelled = old.adding.iter().any(|added| !new.replicas.contains(added));
    // Whoever is in sync or eligible has everything, but for one whose disk is gone.
    let lossy = cx.oracle.contract.lossy();
    let holders = |state: &PartitionRegistration| {
        let all = state.isr.iter().chain(&state.elr);
        all.filter(|broker| !lossy.contains(broker)).count()
    };
    let fewer = holders(new) < holders(old) && holders(new) < wanted.min(new.replicas.len());
    // Where the page cache is trusted, whoever was killed counts as one that has lost something.
    let flushed = cx.oracle.contract.durability() == AckDurability::Flushed;
    if (flushed && fewer && !enough && !cancelled && !new.recovering) || begins {
        cx.oracle.fail("I34", format!("{id}: {old:?} -> {new:?}"));
    }
}

fn judge_election(
    cx: &mut Cx,
    id: TopicIdPartition,
    old: &PartitionRegistration,
    new: &PartitionRegistration,
    leader: BrokerId,
    image: &MetadataImage,
    defaults: &BrokerDefaults,
) {
    if old.isr.contains(&leader) {
        return;
    }
    // The leader's word that completes a move may name others in sync than before, and take the leader out.
    let left = |before: BrokerId| !new.replicas.contains(&before);
    if old.leader.is_some_and(left) && new.adding.is_empty() && new.removing.is_empty() && !new.recovering {
        return;
    }
    if old.elr.contains(&leader) {
        cx.coverage.elected_from_elr += 1;
        return;
    }
    cx.oracle.truth(id).unclean.insert(new.leader_epoch, leader);
    let name = image.topics.get(&id.topic).map(|topic| topic.name.clone());
    let allowed = name.is_some_and(|name| unclean_leader_election(image, &name, defaults));
    // The first of them, or the next one when that has lost its disk.
    let last_known = old.last_known_elr.contains(&leader);
    let replicated = cx.oracle.contract.durability() == AckDurability::Replicated;
    if last_known && replicated {
        cx.coverage.elected_last_known += 1;
    } else if allowed || cx.oracle.operator_elects {
        cx.coverage.elected_unclean += 1;
    } else {
        cx.oracle.fail(
            "I11",
            format!(
                "{leader} is elected for {id}, in sync {:?}, eligible {:?}, last known {:?}",
                old.isr, old.elr, old.last_known_elr
            ),
        );
    }
    if !new.recovering {
        cx.oracle.fail(
            "I11",
            format!("the unclean election of {leader} for {id} is not recorded"),
        );
    }
}

/// A broker has applied metadata: it is what the controllers had at that version.
pub fn on_applied(cx: &mut Cx, host: Host, image: &MetadataImage, committed: Option<&Committed>) {
    if committed.is_none_or(|committed| committed.image != *image) {
        cx.oracle.fail(
            "I32",
            format!("{host:?}: version {} is not what was committed", image.version),
        );
    }
}

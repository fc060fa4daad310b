//! The end of a run: everything is mended, and the cluster has to become whole again.
//!
//! ```text
//! L1 no producer waits    L2 every replica is in sync    L3 nothing is offline or being moved
//! L4 every partition has a leader, which knows it        L5 what is written from now on is acknowledged and can be read
//! ```
//!
//! Then everything that was acknowledged is looked for on every replica (I1, I3, I5).

use crate::broker::{Broker, Partition};
use crate::oracle::agreement;
use crate::oracle::truth::{Placed, read};
use crate::time::{MILLI, Micros, SECOND};
use crate::world::World;
use milena_metadata::request::{AdminRequest, ElectLeader, ElectionType};
use milena_types::{AckDurability, BrokerId, Offset, TopicIdPartition};
use std::collections::{BTreeMap, BTreeSet};

/// How long the cluster may take to become whole.
const PATIENCE: Micros = 60 * SECOND;

/// Lets a run come to its peaceful end, and judges it.
pub fn finish(world: &mut World) {
    world.heal();
    let healed = world.cx.now;
    if !world.run_until(healed + 2 * SECOND) {
        return;
    }
    world.producers.iter_mut().for_each(|producer| producer.stop());
    while let Some(lacking) = lacks(world) {
        operate(world);
        if world.cx.now > healed + PATIENCE {
            world.cx.oracle.fail(lacking.0, lacking.1);
            return;
        }
        let next = world.cx.now + 200 * MILLI;
        if !world.run_until(next) {
            return;
        }
    }
    world.check();
    judge(world);
    world.cx.coverage.healed += 1;
}

/// Where the page cache is trusted, a killed process counts as one that may have lost something. With an exchanged disk beside it
/// nobody may be left whom the controller may elect; the operator decides then.
fn operate(world: &mut World) {
    if world.cx.settings.durability != AckDurability::Replicated || !world.controller.is_idle() {
        return;
    }
    let image = &world.controller.image;
    let hopeless = image.partitions().filter(|(_, _, state)| {
        let nobody = state.isr.is_empty() && state.elr.is_empty() && state.last_known_elr.is_empty();
        state.leader.is_none() && nobody && state.offline.is_empty()
    });
    let partitions: Vec<ElectLeader> = hopeless
        .map(|(topic, id, _)| ElectLeader {
            topic: topic.name.clone(),
            partition: id.partition.0,
        })
        .collect();
    if !partitions.is_empty() {
        world.cx.oracle.operator_elects = true;
        let request = AdminRequest::ElectLeaders {
            election: ElectionType::Unclean,
            partitions: Some(partitions),
        };
        crate::client::admin::ask(&mut world.cx, request);
    }
}

/// What is missing for the cluster to be whole.
fn lacks(world: &World) -> Option<(&'static str, String)> {
    let image = &world.controller.image;
    if image.topics.is_empty() {
        return Some(("L4", "there is no topic".to_owned()));
    }
    for (_, id, state) in image.partitions() {
        let Some(leader) = state.leader else {
            return Some(("L4", format!("{id} has no leader: {state:?}")));
        };
        if state.isr.len() < state.replicas.len() {
            return Some((
                "L2",
                format!("{id}: in sync {:?} of {:?}", state.isr, state.replicas),
            ));
        }
        if !state.adding.is_empty() || !state.removing.is_empty() || !state.offline.is_empty() {
            return Some(("L3", format!("{id}: {state:?}")));
        }
        let replica = replica_of(&world.brokers, leader, id);
        let knows = replica.and_then(|replica| replica.leader());
        if knows.is_none_or(|leads| leads.leader_epoch() != state.leader_epoch) {
            return Some(("L4", format!("{leader} does not lead {id}")));
        }
        for member in &state.replicas {
            let replica = replica_of(&world.brokers, *member, id);
            let ends = replica.map(|replica| (replica.high_watermark(), replica.log.log_end_offset()));
            if ends.is_none_or(|(hw, end)| hw < end) {
                return Some(("L5", format!("{member} knows of {id} only {ends:?}")));
            }
        }
    }
    let waiting = world.producers.iter().find(|producer| !producer.is_idle());
    waiting.map(|producer| ("L1", producer.waits_for()))
}

/// The replica that a broker has open.
fn replica_of(brokers: &[Broker], broker: BrokerId, id: TopicIdPartition) -> Option<&Partition> {
    brokers.iter().find(|one| one.id == broker)?.replica(id)
}

fn judge(world: &mut World) {
    let image = world.controller.image.clone();
    for (_, id, state) in image.partitions() {
        let mut first: Option<(BrokerId, Vec<Placed>)> = None;
        let replicas = world.brokers.iter().filter_map(|broker| broker.replica(id));
        let starts = replicas.map(|replica| replica.log.log_start_offset());
        let Some(start) = starts.max() else { continue };
        for member in &state.replicas {
            let replica = replica_of(&world.brokers, *member, id);
            let Some(replica) = replica else { continue };
            agreement::check_producers(&mut world.cx, world.brokers[0].host(), replica);
            let batches = match read(&replica.log, start, replica.log.log_end_offset()) {
                Ok(batches) => batches,
                Err(error) => return world.cx.oracle.fail("LOG", format!("{member} {id}: {error}")),
            };
            match &first {
                Some((other, theirs)) if *theirs != batches => {
                    let detail = format!("{member} and {other} do not have the same records of {id}");
                    return world.cx.oracle.fail("I5", detail);
                }
                Some(_) => {}
                None => first = Some((*member, batches)),
            }
        }
        if let Some((_, batches)) = first {
            judge_records(world, id, start, &batches);
        }
    }
}

fn judge_records(world: &mut World, id: TopicIdPartition, start: Offset, batches: &[Placed]) {
    let oracle = &mut world.cx.oracle;
    let by_offset: BTreeMap<_, _> = batches.iter().map(|batch| (batch.base, batch.identity)).collect();
    let acked = oracle.truth(id).acked.clone();
    for (base, identity) in acked.range(start..) {
        if by_offset.get(base) != Some(identity) {
            return oracle.fail(
                "I1",
                format!("what was acknowledged at {base} of {id} is not there"),
            );
        }
    }
    // The records of each producer: in their order and once, unless its producer had to begin anew, as it has to when a topic is made again or
    // an unclean election has cost records.
    let anew: BTreeSet<usize> = oracle
        .sent
        .values()
        .filter(|sent| sent.repeated)
        .map(|sent| sent.producer)
        .collect();
    let mut last: BTreeMap<usize, u64> = BTreeMap::new();
    for batch in batches {
        let Some(sent) = oracle.sent.get(&batch.identity).cloned() else {
            return oracle.fail("I2", format!("nobody sent what lies at {} of {id}", batch.base));
        };
        if !sent.idempotent || anew.contains(&sent.producer) {
            continue;
        }
        let before = last.insert(sent.producer, sent.first);
        if before >= Some(sent.first) {
            let invariant = if before == Some(sent.first) { "I3" } else { "I7" };
            let detail = format!("{sent:?} lies at {} of {id}, after {before:?}", batch.base);
            return oracle.fail(invariant, detail);
        }
    }
}

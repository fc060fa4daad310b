//! What is true of every image, written once: run after every `apply` in debug builds and in every test step.
//!
//! ```text
//! INV-META-1  isr, elr, adding, removing ⊆ replicas; no list names a broker twice; replicas is not empty
//! INV-META-2  leader ∈ isr; isr = {} implies leader = none
//! INV-META-3  isr ∩ elr = {}
//! INV-META-4  a fenced broker is in no ISR and leads nothing (while ELR is off, a leaderless partition keeps its last ISR)
//! INV-META-5  recovering implies |isr| <= 1
//! INV-META-11 offline ⊆ replicas; with a leader, no offline replica is in the ISR
//! INV-META-13 unclean epochs ascend, are at most UNCLEAN_EPOCHS_MAX, and none is above the leader epoch
//! INV-META-6  topic names and ids are one to one; partitions are numbered 0..n
//! INV-META-7  from one image to the next: epochs never fall; a changed registration has a greater partition epoch;
//!             a changed leader has a greater leader epoch
//! INV-META-8  |isr| >= the effective min.insync.replicas implies elr = {} (checked where the configuration is known)
//! ```

use crate::delta::MetadataDelta;
use crate::image::{MetadataImage, TopicImage};
use crate::record::{PartitionRegistration, UNCLEAN_EPOCHS_MAX};
use milena_types::{BrokerId, TopicIdPartition};

/// An invariant that does not hold: a defect of `plan`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{invariant} does not hold for {subject}: {detail}")]
pub struct Violation {
    /// For example `INV-META-2`.
    pub invariant: &'static str,
    /// The partition or topic.
    pub subject: String,
    /// What was found.
    pub detail: String,
}

fn violation(invariant: &'static str, subject: impl ToString, detail: impl Into<String>) -> Violation {
    Violation {
        invariant,
        subject: subject.to_string(),
        detail: detail.into(),
    }
}

fn is_subset(part: &[BrokerId], whole: &[BrokerId]) -> bool {
    part.iter().all(|b| whole.contains(b))
}

fn has_repetition(list: &[BrokerId]) -> bool {
    list.iter().enumerate().any(|(at, b)| list[..at].contains(b))
}

/// Checks one registration by itself: INV-META-1, 2, 3, 5, 11, 13.
///
/// # Errors
/// The first [`Violation`].
pub fn check_partition(id: TopicIdPartition, state: &PartitionRegistration) -> Result<(), Violation> {
    let lists = [
        &state.isr,
        &state.elr,
        &state.adding,
        &state.removing,
        &state.offline,
    ];
    let broken = state.replicas.is_empty()
        || has_repetition(&state.replicas)
        || lists
            .iter()
            .any(|l| has_repetition(l) || !is_subset(l, &state.replicas));
    if broken {
        return Err(violation("INV-META-1", id, format!("{state:?}")));
    }
    if state.leader.is_some_and(|leader| !state.isr.contains(&leader)) {
        return Err(violation("INV-META-2", id, format!("{state:?}")));
    }
    if state.isr.iter().any(|b| state.elr.contains(b)) {
        return Err(violation("INV-META-3", id, format!("{state:?}")));
    }
    if state.leader.is_some() && state.isr.iter().any(|b| state.offline.contains(b)) {
        return Err(violation("INV-META-11", id, format!("{state:?}")));
    }
    if state.recovering && state.isr.len() > 1 {
        return Err(violation("INV-META-5", id, format!("{state:?}")));
    }
    let unclean = &state.unclean_epochs;
    let is_in_order = unclean.windows(2).all(|pair| pair[0] < pair[1])
        && unclean.last().is_none_or(|last| *last <= state.leader_epoch);
    if !is_in_order || unclean.len() > UNCLEAN_EPOCHS_MAX {
        return Err(violation("INV-META-13", id, format!("{state:?}")));
    }
    Ok(())
}

fn check_fencing(
    image: &MetadataImage,
    id: TopicIdPartition,
    state: &PartitionRegistration,
) -> Result<(), Violation> {
    let fenced = |b: &BrokerId| image.broker(*b).is_some_and(|r| r.fenced);
    let kept_last = !image.elr_enabled() && state.leader.is_none();
    if !kept_last && state.isr.iter().any(fenced) {
        return Err(violation("INV-META-4", id, format!("{state:?}")));
    }
    Ok(())
}

fn check_topic(image: &MetadataImage, topic: &TopicImage) -> Result<(), Violation> {
    if image.topic_ids.get(&topic.name) != Some(&topic.id) {
        return Err(violation(
            "INV-META-6",
            &topic.name,
            "the name belongs to another id",
        ));
    }
    for (at, index) in topic.partitions.keys().enumerate() {
        if usize::try_from(index.0) != Ok(at) {
            return Err(violation(
                "INV-META-6",
                &topic.name,
                format!("partition {at} is missing"),
            ));
        }
    }
    Ok(())
}

/// Checks a whole image: INV-META-1 to 6.
///
/// # Errors
/// The first [`Violation`].
pub fn check(image: &MetadataImage) -> Result<(), Violation> {
    if image.topics.len() != image.topic_ids.len() {
        return Err(violation(
            "INV-META-6",
            "image",
            "topics and names differ in number",
        ));
    }
    for topic in image.topics.values() {
        check_topic(image, topic)?;
    }
    for (_, id, state) in image.partitions() {
        check_partition(id, state)?;
        check_fencing(image, id, state)?;
    }
    Ok(())
}

/// Checks the step from one image to a later one: INV-META-7.
///
/// # Errors
/// The first [`Violation`].
pub fn check_step(old: &MetadataImage, new: &MetadataImage) -> Result<(), Violation> {
    for (_, id, before) in old.partitions() {
        let Some(after) = new.partition(id) else { continue };
        let same = before.as_ref() == after;
        let epochs_fall =
            after.leader_epoch < before.leader_epoch || after.partition_epoch < before.partition_epoch;
        let silent_change = !same && after.partition_epoch <= before.partition_epoch;
        let silent_leader = after.leader != before.leader && after.leader_epoch <= before.leader_epoch;
        if epochs_fall || silent_change || silent_leader {
            return Err(violation("INV-META-7", id, format!("{before:?} -> {after:?}")));
        }
    }
    for (id, before) in &old.brokers {
        if new.broker(*id).is_some_and(|after| after.epoch < before.epoch) {
            return Err(violation("INV-META-7", id, "the broker epoch falls"));
        }
    }
    Ok(())
}

/// Panics when a batch broke an invariant. Called in debug builds only; costs what the batch touched, and the whole
/// image when a broker changed.
pub(crate) fn assert_after(image: &MetadataImage, delta: &MetadataDelta) {
    let result = if delta.brokers.is_empty() {
        delta
            .partitions
            .iter()
            .try_for_each(|id| match image.partition(*id) {
                Some(state) => check_partition(*id, state).and_then(|()| check_fencing(image, *id, state)),
                None => Err(violation(
                    "INV-META-6",
                    id,
                    "the delta names a partition that does not exist",
                )),
            })
    } else {
        image.partitions().try_for_each(|(_, id, state)| {
            check_partition(id, state).and_then(|()| check_fencing(image, id, state))
        })
    };
    debug_assert!(result.is_ok(), "{result:?}");
}

//! What a batch does to the leaderships and to the availability of partitions. Pure.

use milena_metadata::config::{BrokerDefaults, min_insync_replicas};
use milena_metadata::image::MetadataImage;
use milena_metadata::record::{BrokerRegistration, MetadataBatch, MetadataRecord, PartitionRegistration};
use milena_types::{BrokerId, TopicIdPartition};
use std::collections::{BTreeMap, BTreeSet};

/// Why a partition cannot be written with acks=all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Outage {
    /// It has no leader, or one that is dead.
    NoLeader,
    /// Fewer are in sync than `min.insync.replicas`.
    UnderMinIsr,
}

impl Outage {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::NoLeader => "no-leader",
            Self::UnderMinIsr => "under-min-isr",
        }
    }

    /// Of a partition in this state.
    pub(super) fn of(state: &PartitionRegistration, min_isr: usize) -> Option<Self> {
        let min_isr = min_isr.min(state.replicas.len());
        match state.leader {
            None => Some(Self::NoLeader),
            Some(_) if state.isr.len() < min_isr => Some(Self::UnderMinIsr),
            Some(_) => None,
        }
    }
}

/// Why a leadership moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Reason {
    /// Its leader is dead, hung, cut off, or has been started again.
    Failure,
    /// Its leader is shutting down.
    ControlledShutdown,
    /// Its leader's directory has failed or is full.
    Directory,
    /// It had none, and somebody who may lead came back.
    Return,
    /// Its leader is no replica any more.
    Reassignment,
    /// Back to the preferred replica.
    Preferred,
    /// To somebody who may lack records.
    Unclean,
}

impl Reason {
    pub(super) const ALL: [Self; 7] = [
        Self::Failure,
        Self::ControlledShutdown,
        Self::Directory,
        Self::Return,
        Self::Reassignment,
        Self::Preferred,
        Self::Unclean,
    ];

    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Failure => "failure",
            Self::ControlledShutdown => "controlled-shutdown",
            Self::Directory => "directory",
            Self::Return => "return",
            Self::Reassignment => "reassignment",
            Self::Preferred => "preferred",
            Self::Unclean => "unclean",
        }
    }
}

/// What becomes of one partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Change {
    pub(super) id: TopicIdPartition,
    /// A leader other than before.
    pub(super) election: Option<Reason>,
    /// The leader before, if it is one of those who went.
    pub(super) lost_leader: Option<BrokerId>,
    /// What it lacks after the batch.
    pub(super) outage: Option<Outage>,
}

/// A batch as far as availability goes.
#[derive(Debug, Default)]
pub(in crate::planner) struct Changes {
    pub(super) partitions: Vec<Change>,
    /// Brokers that could lead before and cannot any more, because they are gone.
    pub(super) lost: BTreeSet<BrokerId>,
    /// The rules themselves have changed, or topics have gone: all partitions are to be looked at.
    pub(super) all: bool,
}

impl Changes {
    /// Compares the last state of each partition in the batch with that in `base`; `after` is the image that the batch makes.
    pub(in crate::planner) fn of(
        base: &MetadataImage,
        batch: &MetadataBatch,
        states: &BTreeMap<TopicIdPartition, &PartitionRegistration>,
        after: &MetadataImage,
        defaults: &BrokerDefaults,
    ) -> Self {
        let mut found = Self::default();
        for record in &batch.records {
            match record {
                MetadataRecord::BrokerRemoved(broker) => {
                    found.lost.extend(unfenced(base, *broker).map(|was| was.id))
                }
                MetadataRecord::Broker(broker) => {
                    let was = unfenced(base, broker.id);
                    let lost = was.filter(|was| broker.fenced || was.epoch != broker.epoch);
                    found.lost.extend(lost.map(|was| was.id));
                }
                MetadataRecord::Config { .. } | MetadataRecord::TopicRemoved(_) => found.all = true,
                _ => {}
            }
        }
        for (id, state) in states {
            let (id, before) = (*id, base.partition(*id));
            let outage = outage(after, id, state, defaults);
            let lost_leader = before
                .and_then(|b| b.leader)
                .filter(|leader| found.lost.contains(leader));
            found.partitions.push(Change {
                id,
                election: before.and_then(|before| reason(after, before, state, &found.lost)),
                lost_leader,
                outage,
            });
        }
        found
    }
}

fn unfenced(image: &MetadataImage, broker: BrokerId) -> Option<&BrokerRegistration> {
    image.broker(broker).filter(|registration| !registration.fenced)
}

/// Why a partition in this state of the image cannot be written; `None`: it can.
pub(super) fn outage(
    image: &MetadataImage,
    id: TopicIdPartition,
    state: &PartitionRegistration,
    defaults: &BrokerDefaults,
) -> Option<Outage> {
    let topic = image.topics.get(&id.topic)?;
    Outage::of(state, min_insync_replicas(image, &topic.name, defaults))
}

/// `None`: no other leader.
fn reason(
    image: &MetadataImage,
    before: &PartitionRegistration,
    after: &PartitionRegistration,
    lost: &BTreeSet<BrokerId>,
) -> Option<Reason> {
    after.leader.filter(|_| after.leader != before.leader)?;
    if after.unclean_epochs.last() != before.unclean_epochs.last() {
        return Some(Reason::Unclean);
    }
    let Some(was) = before.leader else {
        return Some(Reason::Return);
    };
    let shuts_down = image
        .broker(was)
        .is_some_and(|broker| broker.in_controlled_shutdown);
    Some(if lost.contains(&was) {
        Reason::Failure
    } else if !after.replicas.contains(&was) {
        Reason::Reassignment
    } else if after.offline.contains(&was) {
        Reason::Directory
    } else if shuts_down {
        Reason::ControlledShutdown
    } else {
        Reason::Preferred
    })
}

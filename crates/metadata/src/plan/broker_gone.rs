//! What a broker's coming and going does to partitions: the part that fencing, unfencing, shutting down,
//! unregistering and registering again share. Source: `ReplicationControlManager.generateLeaderAndIsrUpdates`.

use super::draft::Draft;
use crate::config;
use crate::image::{MetadataImage, TopicImage};
use crate::record::PartitionRegistration;
use milena_types::{AckDurability, BrokerId, TopicIdPartition};
use std::sync::Arc;

type Found = (Arc<TopicImage>, TopicIdPartition, Arc<PartitionRegistration>);

/// The partitions for which `wanted` holds, as they are now.
fn find(image: &MetadataImage, wanted: impl Fn(&PartitionRegistration) -> bool) -> Vec<Found> {
    let all = image.partitions().filter(|(_, _, state)| wanted(state));
    all.map(|(topic, id, state)| (Arc::clone(topic), id, Arc::clone(state)))
        .collect()
}

/// True when the broker leads at least one partition.
pub(super) fn leads_any(image: &MetadataImage, broker: BrokerId) -> bool {
    image
        .partitions()
        .any(|(_, _, state)| state.leader == Some(broker))
}

/// Takes the broker out of every ISR and moves its leaderships. It stays eligible where the ISR is too small (ELR).
pub(super) fn leave_isrs(draft: &mut Draft<'_>, broker: BrokerId) {
    let live = move |image: &MetadataImage, b: BrokerId| b != broker && image.is_active(b);
    for (topic, id, state) in find(&draft.image, |p| p.isr.contains(&broker)) {
        draft.change_partition(&topic, id, &state, &live, |change| change.without(broker));
    }
}

/// Takes the broker out of every ISR and ELR for good: it is unregistered.
pub(super) fn leave_isrs_and_elrs(draft: &mut Draft<'_>, broker: BrokerId) {
    let live = move |image: &MetadataImage, b: BrokerId| b != broker && image.is_active(b);
    for (topic, id, state) in find(&draft.image, |p| {
        p.isr.contains(&broker) || p.elr.contains(&broker)
    }) {
        draft.change_partition(&topic, id, &state, &live, |change| {
            change.unclean_shutdown(broker)
        });
    }
}

/// The broker may lead again: partitions without a leader are elected, as if it were unfenced already.
pub(super) fn elect_for_returned(draft: &mut Draft<'_>, broker: BrokerId) {
    let live = move |image: &MetadataImage, b: BrokerId| b == broker || image.is_active(b);
    for (topic, id, state) in find(&draft.image, |p| {
        p.leader.is_none() && p.replicas.contains(&broker)
    }) {
        draft.change_partition(&topic, id, &state, &live, |change| change);
    }
}

/// What is left of a broker's data when it registers anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Storage {
    /// Its last stop was clean: everything.
    Clean,
    /// It was killed, its disks are the same: everything that was flushed.
    Survived,
    /// It was stopped cleanly before its last registration, and the disks say so still: they are a copy from then, a snapshot of the
    /// machine or a backup. What came since is not there, on disk or not.
    Older,
    /// A disk is new or missing: perhaps nothing.
    Lost,
}

/// A broker came back as a new process: it leaves every ISR until it has caught up, and every ELR where it may lack
/// acknowledged records.
///
/// Flushed topics acknowledge only what is on disk, so that a killed process loses nothing that counts (unlike in
/// Kafka, which knows only the page cache); replicated topics follow KIP-966.
pub(super) fn came_back(draft: &mut Draft<'_>, broker: BrokerId, storage: Storage) {
    let live = move |image: &MetadataImage, b: BrokerId| b != broker && image.is_active(b);
    let touches = |p: &PartitionRegistration| {
        p.isr.contains(&broker) || p.elr.contains(&broker) || p.last_known_elr.contains(&broker)
    };
    for (topic, id, state) in find(&draft.image, touches) {
        // Whoever is the only replica is the best that there is, even with an empty disk.
        let wiped = storage == Storage::Lost && state.replicas.len() > 1;
        let unclean = match storage {
            Storage::Clean => false,
            Storage::Survived => !is_flushed(draft, &topic),
            Storage::Older | Storage::Lost => true,
        };
        let elr_enabled = draft.image.elr_enabled();
        draft.change_partition(&topic, id, &state, &live, |change| {
            match (wiped, unclean && elr_enabled) {
                (true, _) => change.wiped(broker),
                (false, true) => change.unclean_shutdown(broker),
                (false, false) => change.without(broker),
            }
        });
    }
}

fn is_flushed(draft: &Draft<'_>, topic: &TopicImage) -> bool {
    config::ack_durability(&draft.image, &topic.name, draft.ctx.defaults) == AckDurability::Flushed
}

//! Records about partitions.

use crate::delta::MetadataDelta;
use crate::image::MetadataImage;
use crate::record::PartitionRegistration;
use milena_types::TopicIdPartition;
use std::sync::Arc;

/// A partition of a topic that does not exist is ignored: its topic was removed earlier in the log.
pub(super) fn set(
    image: &mut MetadataImage,
    id: TopicIdPartition,
    state: &PartitionRegistration,
    delta: &mut MetadataDelta,
) {
    let Some(topic) = image.topics.get_mut(&id.topic) else {
        return;
    };
    Arc::make_mut(topic)
        .partitions
        .insert(id.partition, Arc::new(state.clone()));
    delta.partitions.push(id);
}

//! From the topics that requests name to partitions of the image.

use milena_metadata::MetadataImage;
use milena_metadata::image::TopicImage;
use milena_types::{ErrorCode, PartitionIndex, TopicId, TopicIdPartition};
use std::sync::Arc;

/// The topic of a request that names it, up to some version, or gives its id, from there on.
pub(super) fn find<'a>(
    image: &'a MetadataImage,
    name: &str,
    id: TopicId,
    by_id: bool,
) -> Result<&'a Arc<TopicImage>, ErrorCode> {
    match by_id {
        true => image.topics.get(&id).ok_or(ErrorCode::UnknownTopicId),
        false => image
            .topic_by_name(name)
            .ok_or(ErrorCode::UnknownTopicOrPartition),
    }
}

/// A partition of a topic that exists.
pub(super) fn partition(topic: &TopicImage, index: i32) -> Result<TopicIdPartition, ErrorCode> {
    let partition = PartitionIndex(index);
    match topic.partitions.get(&partition) {
        Some(_) => Ok(TopicIdPartition {
            topic: topic.id,
            partition,
        }),
        None => Err(ErrorCode::UnknownTopicOrPartition),
    }
}

/// A partition by its topic's name.
pub(super) fn partition_by_name(
    image: &MetadataImage,
    name: &str,
    index: i32,
) -> Result<TopicIdPartition, ErrorCode> {
    partition(find(image, name, TopicId::default(), false)?, index)
}

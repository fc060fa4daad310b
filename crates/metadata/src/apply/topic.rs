//! Records about topics. A name belongs to one topic at a time; a topic takes its configurations with it.

use crate::chunk_map::ChunkMap;
use crate::delta::MetadataDelta;
use crate::image::{MetadataImage, TopicImage};
use crate::record::ConfigResource;
use milena_types::{TopicId, TopicName};
use std::sync::Arc;

pub(super) fn add(image: &mut MetadataImage, id: TopicId, name: &TopicName, delta: &mut MetadataDelta) {
    match image.topic_ids.get(name).copied() {
        Some(known) if known == id => return,
        // The plan never asks for this; being total, apply lets the newer topic have the name.
        Some(other) => remove(image, other, delta),
        None => {}
    }
    if image.topics.contains_key(&id) {
        remove(image, id, delta);
    }
    image.topic_ids.insert(name.clone(), id);
    image.topics.insert(
        id,
        Arc::new(TopicImage {
            id,
            name: name.clone(),
            partitions: ChunkMap::new(),
        }),
    );
}

pub(super) fn remove(image: &mut MetadataImage, id: TopicId, delta: &mut MetadataDelta) {
    let Some(topic) = image.topics.remove(&id) else {
        return;
    };
    image.topic_ids.remove(&topic.name);
    let resource = ConfigResource::Topic(topic.name.clone());
    if image.configs.remove(&resource).is_some() {
        delta.configs.push(resource);
    }
    delta.partitions.retain(|p| p.topic != id);
    delta.topics_removed.push(topic);
}

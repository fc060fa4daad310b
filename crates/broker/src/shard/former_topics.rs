//! Which topics are known to have had a name before, and what becomes of their logs: one that says that it is of one of them is
//! the log of a deleted topic.
//!
//! Known is what the metadata of the broker's last life said, and whose log this life could not remove. A log that counts and
//! says that it is of any other topic than the one that has its name is damaged (INV-L-20).

use super::strays::set_aside;
use milena_log::{LogDir, LogError};
use milena_metadata::MetadataImage;
use milena_types::{TopicId, TopicIdPartition, TopicName, TopicPartition};
use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Topics by name; one name may have had several.
#[derive(Default)]
pub(super) struct FormerTopics(Mutex<BTreeSet<(TopicName, TopicId)>>);

impl FormerTopics {
    fn lock(&self) -> MutexGuard<'_, BTreeSet<(TopicName, TopicId)>> {
        // Only the set changes under the lock.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// That topic has, or had, that name.
    pub(super) fn note(&self, name: &TopicName, topic: TopicId) {
        self.lock().insert((name.clone(), topic));
    }

    /// So has each of the image, of those names.
    pub(super) fn note_image<'a>(
        &self,
        image: &MetadataImage,
        names: impl IntoIterator<Item = &'a TopicPartition>,
    ) {
        for name in names {
            if let Some(topic) = image.topic_by_name(name.topic.as_str()) {
                self.note(&topic.name, topic.id);
            }
        }
    }

    /// Was that topic one of that name?
    pub(super) fn knows(&self, name: &TopicName, topic: TopicId) -> bool {
        self.lock().contains(&(name.clone(), topic))
    }

    /// All of them.
    pub(super) fn of(&self, name: &TopicName) -> Vec<TopicId> {
        let known = self.lock();
        let from = (name.clone(), TopicId::default());
        let named = known.range(from..).take_while(|(known, _)| known == name);
        named.map(|(_, topic)| *topic).collect()
    }
}

/// True when the log of that name says that it belongs to another topic than `id`.
pub(super) fn is_of_other_topic(handle: &LogDir, name: &TopicPartition, id: TopicIdPartition) -> bool {
    let found = handle.topic_id(&handle.partition_path(name));
    found.is_ok_and(|found| found.is_some_and(|found| found != id.topic))
}

/// Sets the log of a deleted topic aside, durably, whose name belongs to another topic now.
pub(super) fn set_old_life_aside(handle: &LogDir, name: &TopicPartition) -> Result<(), LogError> {
    let path = handle.partition_path(name);
    if set_aside(handle, name, &path, "Deleted")? {
        handle.sync_names()?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use milena_types::Uuid;

    #[test]
    fn a_name_has_its_own_topics_only() {
        let topics = FormerTopics::default();
        let name = |name| TopicName::new(name).unwrap();
        let id = |id| TopicId(Uuid([id; 16]));
        for (of, topic) in [("a", 9), ("b", 2), ("b", 1), ("c", 0)] {
            topics.note(&name(of), id(topic));
        }
        assert_eq!(topics.of(&name("b")), [id(1), id(2)]);
        assert_eq!(topics.of(&name("bb")), []);
        assert!(topics.knows(&name("c"), id(0)) && !topics.knows(&name("c"), id(9)));
    }
}

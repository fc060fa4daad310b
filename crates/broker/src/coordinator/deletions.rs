//! Follows the metadata for deleted topics, whose offsets are to be forgotten.

use super::api::Groups;
use crate::metadata::MetadataUpdate;
use tokio::sync::mpsc;

impl Groups {
    /// Forgets the offsets of topics as they are deleted. Runs until the metadata cache is gone or, with an error of no
    /// consequence, the host; to be spawned once on the control thread.
    ///
    /// # Cancel safety
    /// Dropping it loses at most one notification: those offsets expire by retention instead.
    pub async fn follow_deletions(self, mut updates: mpsc::UnboundedReceiver<MetadataUpdate>) {
        while let Some(update) = updates.recv().await {
            let deleted: Vec<_> = update
                .delta
                .topics_removed
                .iter()
                .map(|topic| (topic.name.as_str().to_owned(), topic.id))
                .collect();
            if !deleted.is_empty() {
                self.topics_deleted(deleted).await;
            }
        }
    }
}

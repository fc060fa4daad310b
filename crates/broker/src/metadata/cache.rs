//! The metadata image as this broker has applied it: read without a lock, followed by watchers and listeners.
//!
//! Written by the metadata subscription alone (control thread), read from any thread.

use arc_swap::ArcSwap;
use milena_metadata::{MetadataDelta, MetadataImage};
use milena_types::MetadataVersion;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::{mpsc, watch};

/// One step of the image: what it is now, and what changed since the step before.
#[derive(Clone, Debug)]
pub struct MetadataUpdate {
    /// The new image.
    pub image: Arc<MetadataImage>,
    /// What changed since the image that was published before it.
    pub delta: Arc<MetadataDelta>,
}

/// The last applied image.
///
/// Ordering: listeners receive every update in the order of publication, and an update is readable through
/// [`MetadataCache::image`] before any listener or watcher hears of it.
#[derive(Debug)]
pub struct MetadataCache {
    image: ArcSwap<MetadataImage>,
    version: watch::Sender<MetadataVersion>,
    listeners: Mutex<Vec<mpsc::UnboundedSender<MetadataUpdate>>>,
}

impl Default for MetadataCache {
    fn default() -> Self {
        Self::new()
    }
}

impl MetadataCache {
    /// An empty image at version 0.
    #[must_use]
    pub fn new() -> Self {
        Self {
            image: ArcSwap::from_pointee(MetadataImage::default()),
            version: watch::channel(MetadataVersion::default()).0,
            listeners: Mutex::new(Vec::new()),
        }
    }

    /// The last applied image.
    #[must_use]
    pub fn image(&self) -> Arc<MetadataImage> {
        self.image.load_full()
    }

    /// Tells when the image has moved on; only the newest version is kept.
    #[must_use]
    pub fn watch(&self) -> watch::Receiver<MetadataVersion> {
        self.version.subscribe()
    }

    /// Every update from now on. The receiver must be drained: what waits in it holds its images alive.
    #[must_use]
    pub fn updates(&self) -> mpsc::UnboundedReceiver<MetadataUpdate> {
        let (sender, receiver) = mpsc::unbounded_channel();
        self.listeners
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(sender);
        receiver
    }

    /// Makes `image` the current one. Called by the subscription, in the order of versions.
    pub fn publish(&self, image: Arc<MetadataImage>, delta: MetadataDelta) {
        let version = image.version;
        self.image.store(Arc::clone(&image));
        let update = MetadataUpdate {
            image,
            delta: Arc::new(delta),
        };
        let mut listeners = self.listeners.lock().unwrap_or_else(PoisonError::into_inner);
        listeners.retain(|listener| listener.send(update.clone()).is_ok());
        drop(listeners);
        self.version.send_replace(version);
    }

    /// Waits until the image is at `version` or later.
    ///
    /// # Cancel safety
    /// Nothing is lost by dropping the future.
    pub async fn reached(&self, version: MetadataVersion) {
        let mut watch = self.watch();
        // The sender lives as long as `self`: waiting cannot fail.
        let _ = watch.wait_for(|now| *now >= version).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(version: u64) -> Arc<MetadataImage> {
        Arc::new(MetadataImage {
            version: MetadataVersion(version),
            ..MetadataImage::default()
        })
    }

    #[tokio::test]
    async fn listeners_get_every_update_in_order_and_watchers_the_newest() {
        let cache = MetadataCache::new();
        let mut updates = cache.updates();
        for version in 1..=3 {
            cache.publish(at(version), MetadataDelta::default());
        }
        for version in 1..=3 {
            assert_eq!(updates.try_recv().map(|u| u.image.version.0).ok(), Some(version));
        }
        assert_eq!(cache.image().version, MetadataVersion(3));
        cache.reached(MetadataVersion(3)).await;
        drop(updates);
        cache.publish(at(4), MetadataDelta::default());
        assert!(
            cache.listeners.lock().unwrap().is_empty(),
            "a listener that is gone is forgotten"
        );
    }
}

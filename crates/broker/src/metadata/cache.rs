//! The metadata image as this broker has applied it: read without a lock, followed by watchers and listeners.
//!
//! Written by the metadata subscription alone (control thread), read from any thread.

use super::departures::Departures;
use super::doubts::Doubts;
use arc_swap::ArcSwap;
use milena_metadata::{MetadataDelta, MetadataImage};
use milena_types::{BrokerId, MetadataVersion, TopicId};
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, timeout_at};

/// One step of the image: what it is now, and what changed since the step before.
#[derive(Clone, Debug)]
pub struct MetadataUpdate {
    /// The new image.
    pub image: Arc<MetadataImage>,
    /// What changed since the image that was published before it.
    pub delta: Arc<MetadataDelta>,
}

/// Topics that are remembered as deleted.
const REMOVED_MAX: usize = 1_000;

/// The last applied image.
///
/// Ordering: listeners receive every update in the order of publication, and an update is readable through
/// [`MetadataCache::image`] before any listener or watcher hears of it.
#[derive(Debug)]
pub struct MetadataCache {
    image: ArcSwap<MetadataImage>,
    version: watch::Sender<MetadataVersion>,
    listeners: Mutex<Vec<mpsc::UnboundedSender<MetadataUpdate>>>,
    /// The topics that were deleted last.
    removed: Mutex<VecDeque<TopicId>>,
    departures: Mutex<Departures>,
    doubts: watch::Sender<Doubts>,
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
            removed: Mutex::default(),
            departures: Mutex::default(),
            doubts: watch::Sender::default(),
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
        lock(&self.listeners).push(sender);
        receiver
    }

    /// Makes `image` the current one. Called by the subscription, in the order of versions.
    pub fn publish(&self, image: Arc<MetadataImage>, delta: MetadataDelta) {
        let version = image.version;
        let before = self.image.swap(Arc::clone(&image));
        self.remember_removed(&delta);
        lock(&self.departures).follow(&before, &image, &delta.brokers, Instant::now());
        self.doubts.send_if_modified(|doubts| doubts.follow(&image));
        let update = MetadataUpdate {
            image,
            delta: Arc::new(delta),
        };
        let mut listeners = lock(&self.listeners);
        listeners.retain(|listener| listener.send(update.clone()).is_ok());
        drop(listeners);
        self.version.send_replace(version);
    }

    fn remember_removed(&self, delta: &MetadataDelta) {
        if delta.topics_removed.is_empty() {
            return;
        }
        let mut removed = lock(&self.removed);
        removed.extend(delta.topics_removed.iter().map(|topic| topic.id));
        let surplus = removed.len().saturating_sub(REMOVED_MAX);
        removed.drain(..surplus);
    }

    fn has_removed(&self, topic: TopicId) -> bool {
        lock(&self.removed).contains(&topic)
    }

    /// Waits until the image holds the topic, or is known to have let it go.
    ///
    /// # Cancel safety
    /// Nothing is lost by dropping the future.
    pub async fn decided(&self, topic: TopicId) {
        let mut watch = self.watch();
        let decided =
            |_: &MetadataVersion| self.image.load().topics.get(&topic).is_some() || self.has_removed(topic);
        // The sender lives as long as `self`: waiting cannot fail.
        let _ = watch.wait_for(decided).await;
    }

    /// The brokers that died less than `span` ago and have not come back, by ascending id: no longer in the image's service,
    /// but not gone for clients either.
    #[must_use]
    pub fn departed_within(&self, span: Duration) -> Vec<BrokerId> {
        lock(&self.departures).within(span, Instant::now())
    }

    /// A peer's stream broke: [`MetadataCache::undoubted`] waits until more is known.
    pub fn doubt(&self, peer: BrokerId) {
        let image = self.image();
        let raise = |doubts: &mut Doubts| doubts.raise(&image, peer, Instant::now());
        if self.doubts.send_if_modified(raise) {
            tracing::debug!(%peer, "a peer is in doubt: who asks for leaders waits");
        }
    }

    /// The peer lives after all.
    pub fn dispel(&self, peer: BrokerId) {
        self.doubts.send_if_modified(|doubts| doubts.dispel(peer));
    }

    #[cfg(test)]
    pub(crate) fn is_dispelled(&self, peer: BrokerId) -> bool {
        self.doubts.borrow().is_dispelled(peer)
    }

    /// Waits while a peer may be dead and the image does not show it, a second at most for each: to be called before clients
    /// are told who leads.
    ///
    /// # Cancel safety
    /// Nothing is lost by dropping the future.
    pub async fn undoubted(&self) {
        let mut doubts = self.doubts.subscribe();
        loop {
            let held_until = doubts.borrow_and_update().held_until(Instant::now());
            let Some(until) = held_until else {
                return;
            };
            // The sender lives as long as `self`: either something has changed, or the time is up.
            let _ = timeout_at(until, doubts.changed()).await;
        }
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

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::super::tests::{fenced, image, registered};
    use super::*;
    use futures_util::FutureExt;
    use milena_metadata::{ChunkMap, TopicImage};
    use milena_types::{TopicName, Uuid};

    fn at(version: u64) -> Arc<MetadataImage> {
        Arc::new(MetadataImage {
            version: MetadataVersion(version),
            ..MetadataImage::default()
        })
    }

    async fn in_time(decided: impl Future<Output = ()>) {
        let waited = tokio::time::timeout(std::time::Duration::from_secs(20), decided).await;
        waited.expect("nothing is left to wait for");
    }

    #[tokio::test]
    async fn a_topic_is_waited_for_until_it_exists_or_is_gone() {
        let cache = MetadataCache::new();
        let topic = TopicImage {
            id: TopicId(Uuid([1; 16])),
            name: TopicName::new("t").unwrap(),
            partitions: ChunkMap::new(),
        };
        let topic = Arc::new(topic);
        let mut waiting = std::pin::pin!(cache.decided(topic.id));
        assert!((&mut waiting).now_or_never().is_none());
        let mut with = MetadataImage::default();
        with.topics.insert(topic.id, Arc::clone(&topic));
        cache.publish(Arc::new(with), MetadataDelta::default());
        in_time(waiting).await;
        let gone = MetadataDelta {
            topics_removed: vec![Arc::clone(&topic)],
            ..MetadataDelta::default()
        };
        cache.publish(at(2), gone);
        in_time(cache.decided(topic.id)).await;
        let mut never = std::pin::pin!(cache.decided(TopicId(Uuid([2; 16]))));
        assert!((&mut never).now_or_never().is_none());
    }

    #[tokio::test]
    async fn who_waits_for_a_doubt_sees_the_image_that_ends_it() {
        let cache = MetadataCache::new();
        cache.publish(Arc::new(image([registered(2, 7)])), MetadataDelta::default());
        in_time(cache.undoubted()).await;
        cache.doubt(BrokerId(2));
        let mut waiting = std::pin::pin!(cache.undoubted());
        assert!((&mut waiting).now_or_never().is_none());
        let dead = MetadataDelta {
            brokers: vec![BrokerId(2)],
            ..MetadataDelta::default()
        };
        cache.publish(Arc::new(image([fenced(2, 7)])), dead);
        assert!((&mut waiting).now_or_never().is_some());
        let of_session = Duration::from_secs(9);
        assert_eq!(cache.departed_within(of_session), [BrokerId(2)]);
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_waits_for_a_peer_that_lives_or_for_long() {
        let cache = MetadataCache::new();
        cache.publish(
            Arc::new(image([registered(2, 7), registered(3, 7)])),
            MetadataDelta::default(),
        );
        cache.doubt(BrokerId(2));
        cache.dispel(BrokerId(2));
        assert!(cache.undoubted().now_or_never().is_some());
        let start = Instant::now();
        cache.doubt(BrokerId(3));
        cache.undoubted().await;
        let waited = start.elapsed();
        assert!(
            waited >= Duration::from_secs(1) && waited < Duration::from_secs(2),
            "{waited:?}"
        );
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

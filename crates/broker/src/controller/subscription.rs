//! The metadata log as this broker follows it: a snapshot if need be, then every committed batch, into the cache.
//!
//! Invariant (INV-META-10): what is published is a prefix of the committed log, and never an old one: after a start, the image
//! from disk and the batches that bring it up to date are published as one step, once the controller says that nothing is
//! missing. A stream that breaks or is silent for too long is opened again from the image as it is, and so is one of a controller
//! in whose place another one has answered: a hung one breaks nothing. An event that does not fit on the image makes the broker
//! ask for a whole one.

use super::client::ControllerClient;
use crate::metadata::{MetadataCache, SavedImage};
use milena_metadata::{MetadataDelta, MetadataImage};
use milena_rpc::proto::subscribe_event::Event;
use milena_rpc::{EncodingError, ImageAssembly, decode_batch, proto};
use milena_types::{BrokerId, MetadataVersion};
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};

/// The pause before a broken stream is opened again.
const PAUSE: Duration = Duration::from_millis(10);
/// The pause after an event that made no sense: whole images are asked for at this rate at most.
const PAUSE_AFTER_NONSENSE: Duration = Duration::from_millis(500);
/// How long a stream may be silent: several of the controller's keepalives.
const SILENCE_MAX: Duration = Duration::from_secs(6);
const OPEN_DEADLINE: Duration = Duration::from_secs(10);
const OPEN_ATTEMPT: Duration = Duration::from_secs(1);
/// The image is saved at most this often.
const SAVE_INTERVAL: Duration = Duration::from_secs(5);

type Events = tonic::Streaming<proto::SubscribeEvent>;

/// Why a stream ended.
#[derive(Debug, thiserror::Error)]
enum StreamEnd {
    #[error("the stream broke: {0}")]
    Broken(#[from] tonic::Status),
    #[error("the controller ended the stream")]
    Closed,
    #[error("nothing was heard for {SILENCE_MAX:?}")]
    Silent,
    #[error("another controller answers")]
    Replaced,
    #[error("an event is malformed: {0}")]
    Malformed(#[from] EncodingError),
    #[error("an image was broken off")]
    BrokenOff,
    #[error("a batch does not fit: {0}")]
    Conflict(#[from] milena_metadata::image::Conflict),
    #[error("the controller takes this broker to be at version {theirs}, it is at {ours}")]
    Gap {
        ours: MetadataVersion,
        theirs: MetadataVersion,
    },
}

impl StreamEnd {
    /// The image is not one that the controller's events apply to.
    fn is_nonsense(&self) -> bool {
        matches!(
            self,
            StreamEnd::Malformed(_) | StreamEnd::BrokenOff | StreamEnd::Conflict(_) | StreamEnd::Gap { .. }
        )
    }
}

/// Follows the metadata log.
pub struct Subscription {
    broker: BrokerId,
    client: ControllerClient,
    cache: Arc<MetadataCache>,
    saved: SavedImage,
    /// The newest image: published, or still being brought up to date.
    image: MetadataImage,
    /// `image` is what the cache has.
    published: bool,
    saved_at: (Instant, MetadataVersion),
    saving: Option<JoinHandle<()>>,
    save_interval: Duration,
}

impl Subscription {
    /// Starts from the image on disk, if there is one. That image is published only once a controller has confirmed it: it
    /// may name this broker as a leader that it is no longer.
    #[must_use]
    pub fn new(
        broker: BrokerId,
        client: ControllerClient,
        cache: Arc<MetadataCache>,
        saved: SavedImage,
    ) -> Self {
        let image = saved.load().unwrap_or_else(|error| {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "saved metadata image is ignored"
            );
            None
        });
        let image = image.unwrap_or_default();
        let saved_at = (Instant::now(), image.version);
        Self {
            broker,
            client,
            cache,
            saved,
            image,
            published: false,
            saved_at,
            saving: None,
            save_interval: SAVE_INTERVAL,
        }
    }

    /// Saves the image at most this often instead of every few seconds.
    #[cfg(test)]
    pub(super) fn saving_every(mut self, interval: Duration) -> Self {
        self.save_interval = interval;
        self
    }

    /// Follows for ever.
    pub async fn run(mut self) {
        loop {
            let opened = self.open().await;
            let end = match opened {
                Ok((stream, from)) => self.follow(stream, from).await,
                Err(error) => {
                    tracing::warn!(error = &error as &dyn std::error::Error, "no metadata stream");
                    continue;
                }
            };
            tracing::info!(reason = %end, version = %self.image.version, "metadata stream ended, opening another");
            if end.is_nonsense() {
                // What is published stays until a whole image replaces it.
                self.image = MetadataImage::default();
                self.published = false;
                sleep(PAUSE_AFTER_NONSENSE).await;
            } else {
                sleep(PAUSE).await;
            }
        }
    }

    /// A stream, and whose.
    async fn open(&self) -> Result<(Events, BrokerId), super::client::ControllerError> {
        let request = proto::SubscribeRequest {
            subscriber: self.broker.0,
            from_version: self.image.version.0,
            cluster: self.image.cluster.as_ref().map(|cluster| cluster.0.clone()),
        };
        self.client
            .call_and_tell(OPEN_DEADLINE, OPEN_ATTEMPT, |mut stub| {
                let request = request.clone();
                async move { stub.subscribe(request).await }
            })
            .await
    }

    async fn follow(&mut self, mut stream: Events, from: BrokerId) -> StreamEnd {
        let client = self.client.clone();
        let mut assembly = ImageAssembly::default();
        let mut replaced = std::pin::pin!(client.another_answers(from));
        loop {
            let message = tokio::select! {
                biased;
                message = timeout(SILENCE_MAX, stream.message()) => message,
                () = &mut replaced => return StreamEnd::Replaced,
            };
            let event = match message {
                Ok(Ok(Some(message))) => message.event,
                Ok(Ok(None)) => return StreamEnd::Closed,
                Ok(Err(status)) => return status.into(),
                Err(_elapsed) => return StreamEnd::Silent,
            };
            if let Err(end) = self.on_event(event, &mut assembly) {
                return end;
            }
            self.save_if_due();
        }
    }

    fn on_event(&mut self, event: Option<Event>, assembly: &mut ImageAssembly) -> Result<(), StreamEnd> {
        if assembly.is_begun() && !matches!(event, Some(Event::Snapshot(_))) {
            return Err(StreamEnd::BrokenOff);
        }
        match event {
            // Until the last piece has come, what was there stays.
            Some(Event::Snapshot(piece)) => {
                if let Some(image) = assembly.take(&piece)? {
                    self.image = image;
                    self.published = false;
                    self.publish_whole();
                }
            }
            Some(Event::Batch(bytes)) => {
                let delta = self.image.apply(&decode_batch(&bytes)?)?;
                if self.published {
                    self.cache.publish(Arc::new(self.image.clone()), delta);
                }
            }
            Some(Event::Keepalive(version)) => {
                let (ours, theirs) = (self.image.version, MetadataVersion(version));
                if ours != theirs {
                    return Err(StreamEnd::Gap { ours, theirs });
                }
                self.publish_whole();
            }
            None => {}
        }
        Ok(())
    }

    /// The first publication after a start or after a snapshot: the delta is the difference to what was published before.
    fn publish_whole(&mut self) {
        if self.published {
            return;
        }
        let before = self.cache.image();
        let delta = MetadataDelta::between(&before, &self.image);
        tracing::info!(version = %self.image.version, "metadata image is current");
        self.cache.publish(Arc::new(self.image.clone()), delta);
        self.published = true;
    }

    fn save_if_due(&mut self) {
        let (when, version) = self.saved_at;
        let saving = self.saving.as_ref().is_some_and(|task| !task.is_finished());
        if !self.published || version == self.image.version || when.elapsed() < self.save_interval || saving {
            return;
        }
        self.saved_at = (Instant::now(), self.image.version);
        let (saved, image) = (self.saved.clone(), self.image.clone());
        self.saving = Some(tokio::task::spawn_blocking(move || {
            if let Err(error) = saved.save(&image) {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "metadata image not saved"
                );
            }
        }));
    }
}

impl std::fmt::Debug for Subscription {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Subscription")
            .field("version", &self.image.version)
            .finish_non_exhaustive()
    }
}

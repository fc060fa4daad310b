//! One follower's stream of committed metadata: the image if need be, then every batch, in order, without gaps.
//!
//! The follower's pace is its own: nothing is queued for it. The stream ends when this node stops being the active
//! controller. Its breaking is a first sign that the follower's process is gone.

use crate::planner::Prober;
use crate::publish::{CommittedLog, EncodedImage, Next};
use futures::Stream;
use milena_rpc::Pieces;
use milena_rpc::proto::{SubscribeEvent, SubscribeRequest, subscribe_event::Event};
use milena_types::{BrokerId, MetadataVersion};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tonic::Status;

/// How often an idle stream shows that it is alive.
const KEEPALIVE: Duration = Duration::from_secs(1);

struct Follower {
    committed: Arc<CommittedLog>,
    versions: watch::Receiver<MetadataVersion>,
    active: watch::Receiver<Option<u64>>,
    term: Option<u64>,
    /// What the follower has; `None` before its first image.
    position: Option<MetadataVersion>,
    /// The image that it is being sent, and what is left of it.
    image: Option<(Arc<EncodedImage>, Pieces)>,
    greeted: bool,
    _guard: Guard,
}

/// Looks at the broker when its stream is gone.
struct Guard {
    prober: Prober,
    committed: Arc<CommittedLog>,
    active: watch::Receiver<Option<u64>>,
    subscriber: BrokerId,
}

impl Drop for Guard {
    fn drop(&mut self) {
        if self.active.borrow().is_none() || tokio::runtime::Handle::try_current().is_err() {
            return;
        }
        if let Some(registration) = self
            .committed
            .image()
            .broker(self.subscriber)
            .filter(|found| !found.fenced)
        {
            self.prober.probe_soon(registration.id, registration.epoch);
        }
    }
}

/// The stream; the caller has checked that this node is active.
pub(super) fn stream(
    request: &SubscribeRequest,
    committed: Arc<CommittedLog>,
    active: watch::Receiver<Option<u64>>,
    prober: Prober,
) -> impl Stream<Item = Result<SubscribeEvent, Status>> + Send + 'static {
    let cluster = committed.image().cluster.clone().map(|id| id.0);
    let same_cluster = request.cluster.is_some() && request.cluster == cluster;
    let position =
        (same_cluster && request.from_version > 0).then_some(MetadataVersion(request.from_version));
    let guard = Guard {
        prober,
        committed: Arc::clone(&committed),
        active: active.clone(),
        subscriber: BrokerId(request.subscriber),
    };
    let term = *active.borrow();
    let versions = committed.watch();
    let follower = Follower {
        committed,
        versions,
        active,
        term,
        position,
        image: None,
        greeted: false,
        _guard: guard,
    };
    futures::stream::unfold(follower, |mut follower| async move {
        let event = follower.next().await?;
        Some((Ok(SubscribeEvent { event: Some(event) }), follower))
    })
}

impl Follower {
    async fn next(&mut self) -> Option<Event> {
        loop {
            if self.term.is_none() || *self.active.borrow() != self.term {
                return None;
            }
            if let Some(event) = self.next_piece() {
                return Some(event);
            }
            self.versions.borrow_and_update();
            let next = match self.position {
                Some(position) => self.committed.next_after(position),
                None => Next::Image,
            };
            match next {
                Next::Batch(batch) => {
                    self.position = self.position.map(MetadataVersion::next);
                    return Some(Event::Batch(batch));
                }
                Next::Image => {
                    let image = self.committed.encoded_image();
                    let pieces = Pieces::of(image.bytes.clone());
                    self.image = Some((image, pieces));
                    continue;
                }
                // Tells a follower that has everything that it does.
                Next::Nothing if !self.greeted => return Some(self.keepalive()),
                Next::Nothing => {}
            }
            tokio::select! {
                biased;
                changed = self.versions.changed() => changed.ok()?,
                changed = self.active.changed() => changed.ok()?,
                () = tokio::time::sleep(KEEPALIVE) => return Some(self.keepalive()),
            }
        }
    }

    /// What comes next of the image that has begun; with its last piece the follower is where the image is.
    fn next_piece(&mut self) -> Option<Event> {
        let (image, pieces) = self.image.as_mut()?;
        let piece = pieces.next();
        if piece.as_ref().is_none_or(|piece| piece.last) {
            self.position = Some(image.version);
            self.image = None;
        }
        piece.map(Event::Snapshot)
    }

    fn keepalive(&mut self) -> Event {
        self.greeted = true;
        Event::Keepalive(self.position.map_or(0, |position| position.0))
    }
}

//! Which image is the first that the partitions may follow.
//!
//! INV-START-1: a process acts only on metadata that contains its own registration. What is older may still call it the
//! leader of an epoch whose last records went down with its former process; appending in that epoch again would make two
//! records of one (epoch, offset), which no follower can tell apart. The registration itself ends every such epoch.

use crate::controller::Registration;
use crate::metadata::MetadataCache;
use crate::shard::Router;
use milena_metadata::{MetadataDelta, MetadataImage};
use milena_types::BrokerId;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::oneshot;

/// So long clients wait for logs that have to be recovered before the other partitions are served without those.
const RECOVERY_PATIENCE: Duration = Duration::from_secs(5);

/// Hands images to the partitions: the first one that knows this process whole, every later one as a step.
///
/// `applied` is told when the first one has been followed: before that, clients would be told that topics do not exist.
pub(super) async fn follow(
    broker: BrokerId,
    registration: Arc<Registration>,
    cache: Arc<MetadataCache>,
    router: Router,
    applied: oneshot::Sender<()>,
) {
    let mut updates = cache.updates();
    let mut state = registration.state();
    let first = loop {
        let image = cache.image();
        if image.registration(broker, registration.epoch()).is_some() {
            break image;
        }
        // The registration's answer and its record may come in either order.
        tokio::select! {
            update = updates.recv() => if update.is_none() { return },
            changed = state.changed() => if changed.is_err() { return },
        }
    };
    let whole = MetadataDelta::between(&MetadataImage::default(), &first);
    router.apply_metadata(Arc::clone(&first), Arc::new(whole)).await;
    let opening = router.logs_opened(RECOVERY_PATIENCE).await;
    if opening > 0 {
        tracing::warn!(
            partitions = opening,
            "logs are still being opened or recovered; their partitions come later, the others are served"
        );
    }
    // The start may have given up.
    let _ = applied.send(());
    while let Some(update) = updates.recv().await {
        // Some of what waits may be part of the first image already.
        if update.image.version > first.version {
            tokio::task::spawn_local(router.apply_metadata(update.image, update.delta));
        }
    }
}

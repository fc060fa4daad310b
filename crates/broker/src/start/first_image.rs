//! Which image is the first that the partitions may follow.
//!
//! INV-START-1: a process acts only on metadata that contains its own registration. What is older may still call it the
//! leader of an epoch whose last records went down with its former process; appending in that epoch again would make two
//! records of one (epoch, offset), which no follower can tell apart. The registration itself ends every such epoch.

use crate::controller::Registration;
use crate::metadata::MetadataCache;
use crate::shard::Router;
use milena_metadata::record::BrokerRegistration;
use milena_metadata::{MetadataDelta, MetadataImage};
use milena_types::{BrokerEpoch, BrokerId};
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
        if knows(&image, broker, registration.epoch()) {
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
            router.apply_metadata(update.image, update.delta).await;
        }
    }
}

/// The registration of this very process in an image; `None`: the image is older, or the epoch is not known yet.
pub(super) fn own_registration(
    image: &MetadataImage,
    broker: BrokerId,
    epoch: Option<BrokerEpoch>,
) -> Option<&BrokerRegistration> {
    let registered = image.brokers.get(&broker)?;
    (Some(registered.epoch) == epoch).then_some(registered)
}

fn knows(image: &MetadataImage, broker: BrokerId, epoch: Option<BrokerEpoch>) -> bool {
    own_registration(image, broker, epoch).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;
    use milena_types::IncarnationId;

    #[test]
    fn an_image_from_before_the_registration_is_not_followed() {
        let (me, epoch) = (BrokerId(1), BrokerEpoch(7));
        let mut image = MetadataImage::default();
        assert!(!knows(&image, me, None), "neither is known");
        assert!(!knows(&image, me, Some(epoch)));
        let registered = |epoch| {
            Arc::new(BrokerRegistration {
                id: me,
                epoch,
                incarnation: IncarnationId::default(),
                endpoints: Vec::new(),
                rack: None,
                directories: Vec::new(),
                fenced: true,
                in_controlled_shutdown: false,
            })
        };
        image.brokers.insert(me, registered(BrokerEpoch(3)));
        assert!(!knows(&image, me, Some(epoch)), "it knows the former process");
        image.brokers.insert(me, registered(epoch));
        assert!(!knows(&image, me, None), "the answer is still on its way");
        assert!(knows(&image, me, Some(epoch)));
    }
}

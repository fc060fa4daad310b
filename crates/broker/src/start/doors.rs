//! When clients may speak.
//!
//! A connection is taken from the start, because other brokers' replication comes through the same port; what a Kafka
//! client says on it is read only once the cluster counts on this broker, and the broker knows it. Before that it would
//! show a cluster without brokers or without a controller, and clients that have seen one ask again late or never.
//! A broker that is fenced later goes on serving, as Kafka's does.
//!
//! Source: `BrokerServer.startup`, which enables request processing after the broker has been unfenced.

use crate::controller::Registration;
use crate::metadata::MetadataCache;
use milena_metadata::MetadataImage;
use milena_types::{BrokerEpoch, BrokerId};
use std::sync::Arc;
use tokio::sync::watch;

/// Tells `open` when the broker's own metadata calls it unfenced.
pub(super) async fn open_when_unfenced(
    broker: BrokerId,
    registration: Arc<Registration>,
    cache: Arc<MetadataCache>,
    open: watch::Sender<bool>,
) {
    let mut versions = cache.watch();
    loop {
        versions.borrow_and_update();
        if is_unfenced(&cache.image(), broker, registration.epoch()) {
            open.send_replace(true);
            return;
        }
        if versions.changed().await.is_err() {
            return;
        }
    }
}

fn is_unfenced(image: &MetadataImage, broker: BrokerId, epoch: Option<BrokerEpoch>) -> bool {
    image
        .registration(broker, epoch)
        .is_some_and(|registered| !registered.fenced)
}

#[cfg(test)]
mod tests {
    use super::*;
    use milena_metadata::record::BrokerRegistration;
    use milena_types::IncarnationId;

    #[test]
    fn only_this_process_unfenced_opens_the_doors() {
        let (me, epoch) = (BrokerId(1), BrokerEpoch(7));
        let mut image = MetadataImage::default();
        assert!(!is_unfenced(&image, me, Some(epoch)), "not registered");
        for (registered, fenced, expected) in [(3, false, false), (7, true, false), (7, false, true)] {
            let registration = BrokerRegistration {
                id: me,
                epoch: BrokerEpoch(registered),
                incarnation: IncarnationId::default(),
                endpoints: Vec::new(),
                rack: None,
                directories: Vec::new(),
                fenced,
                in_controlled_shutdown: false,
            };
            image.brokers.insert(me, Arc::new(registration));
            assert_eq!(
                is_unfenced(&image, me, Some(epoch)),
                expected,
                "{registered} {fenced}"
            );
        }
        assert!(!is_unfenced(&image, me, None), "no epoch yet");
    }
}

//! The last applied metadata image, for every thread to read, and its copy on disk; what this broker knows of its peers besides.

mod cache;
mod departures;
mod doubts;
mod replica_metrics;
mod saved_image;

pub use cache::{MetadataCache, MetadataUpdate};
pub(crate) use replica_metrics::metrics as replica_metrics;
pub use saved_image::{SavedImage, SavedImageError};

#[cfg(test)]
pub(crate) mod tests {
    use milena_metadata::MetadataImage;
    use milena_metadata::record::BrokerRegistration;
    use milena_types::{BrokerEpoch, BrokerId, IncarnationId, Uuid};
    use std::sync::Arc;

    /// A broker that serves.
    pub(crate) fn registered(id: i32, epoch: i64) -> BrokerRegistration {
        BrokerRegistration {
            id: BrokerId(id),
            epoch: BrokerEpoch(epoch),
            incarnation: IncarnationId(Uuid([1; 16])),
            endpoints: Vec::new(),
            rack: None,
            directories: Vec::new(),
            fenced: false,
            in_controlled_shutdown: false,
        }
    }

    /// A broker that is fenced.
    pub(super) fn fenced(id: i32, epoch: i64) -> BrokerRegistration {
        BrokerRegistration {
            fenced: true,
            ..registered(id, epoch)
        }
    }

    /// An image of these brokers.
    pub(crate) fn image(brokers: impl IntoIterator<Item = BrokerRegistration>) -> MetadataImage {
        let mut image = MetadataImage::default();
        for broker in brokers {
            image.brokers.insert(broker.id, Arc::new(broker));
        }
        image
    }
}

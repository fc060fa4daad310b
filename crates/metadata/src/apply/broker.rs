//! Records about brokers.

use crate::delta::MetadataDelta;
use crate::image::MetadataImage;
use crate::record::BrokerRegistration;
use milena_types::BrokerId;
use std::sync::Arc;

pub(super) fn set(image: &mut MetadataImage, state: &BrokerRegistration, delta: &mut MetadataDelta) {
    image.brokers.insert(state.id, Arc::new(state.clone()));
    delta.brokers.push(state.id);
}

pub(super) fn remove(image: &mut MetadataImage, id: BrokerId, delta: &mut MetadataDelta) {
    if image.brokers.remove(&id).is_some() {
        delta.brokers.push(id);
    }
}

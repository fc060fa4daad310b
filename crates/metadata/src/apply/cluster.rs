//! Records about the cluster as a whole: its id, its features, the producer ids handed out.

use crate::image::MetadataImage;
use milena_types::ClusterId;

pub(super) fn set_id(image: &mut MetadataImage, id: &ClusterId) {
    image.cluster = Some(id.clone());
}

pub(super) fn set_feature(image: &mut MetadataImage, name: &str, level: i16) {
    if level == 0 {
        image.features.remove(name);
    } else {
        image.features.insert(name.to_owned(), level);
    }
}

/// Never goes back: an id that was handed out once must not be handed out again.
pub(super) fn set_next_producer_id(image: &mut MetadataImage, next: i64) {
    image.next_producer_id = image.next_producer_id.max(next);
}

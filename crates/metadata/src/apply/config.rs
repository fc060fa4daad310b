//! Records about configurations.

use crate::delta::MetadataDelta;
use crate::image::MetadataImage;
use crate::record::ConfigResource;
use std::collections::BTreeMap;
use std::sync::Arc;

pub(super) fn set(
    image: &mut MetadataImage,
    resource: &ConfigResource,
    key: &str,
    value: Option<&str>,
    delta: &mut MetadataDelta,
) {
    match (value, image.configs.get_mut(resource)) {
        (Some(value), Some(values)) => {
            Arc::make_mut(values).insert(key.to_owned(), value.to_owned());
        }
        (Some(value), None) => {
            let values = BTreeMap::from([(key.to_owned(), value.to_owned())]);
            image.configs.insert(resource.clone(), Arc::new(values));
        }
        (None, Some(values)) => {
            let values = Arc::make_mut(values);
            values.remove(key);
            if values.is_empty() {
                image.configs.remove(resource);
            }
        }
        (None, None) => {}
    }
    delta.configs.push(resource.clone());
}

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
    let mut values = image
        .configs
        .get(resource)
        .map(|v| BTreeMap::clone(v))
        .unwrap_or_default();
    match value {
        Some(value) => values.insert(key.to_owned(), value.to_owned()),
        None => values.remove(key),
    };
    if values.is_empty() {
        image.configs.remove(resource);
    } else {
        image.configs.insert(resource.clone(), Arc::new(values));
    }
    delta.configs.push(resource.clone());
}

//! ListConfigResources (74): what has, or can have, a configuration. Source: `KafkaApis.handleListConfigResources`, KIP-1142.

use super::config_resource::{BROKER, BROKER_LOGGER, CLIENT_METRICS, GROUP, TOPIC, wire};
use super::text::text;
use crate::kafka::dispatch::Call;
use milena_metadata::MetadataImage;
use milena_metadata::record::ConfigResource;
use milena_types::ErrorCode;
use milena_wire::messages::{
    ListConfigResourcesRequest, ListConfigResourcesResponse, list_config_resources_response,
};

/// The types that there are, in the order in which they are listed.
const TYPES: [i8; 5] = [TOPIC, BROKER, BROKER_LOGGER, CLIENT_METRICS, GROUP];

pub(in crate::kafka) async fn handle(
    call: &Call,
    request: ListConfigResourcesRequest,
) -> ListConfigResourcesResponse {
    // Version 0 knows client metrics only; no type means all of them afterwards.
    let asked = match request.resource_types {
        _ if call.version == 0 => vec![CLIENT_METRICS],
        types if types.is_empty() => TYPES.to_vec(),
        types => types,
    };
    if asked.iter().any(|kind| !TYPES.contains(kind)) {
        return ListConfigResourcesResponse::default().with_error_code(ErrorCode::UnsupportedVersion.code());
    }
    let image = call.peer.ctx.image();
    let kinds = TYPES.iter().filter(|kind| asked.contains(kind));
    let rows = kinds.flat_map(|kind| {
        names(&image, *kind).into_iter().map(|name| {
            list_config_resources_response::ConfigResource::default()
                .with_resource_name(text(name))
                .with_resource_type(*kind)
        })
    });
    ListConfigResourcesResponse::default().with_config_resources(rows.collect())
}

fn names(image: &MetadataImage, kind: i8) -> Vec<String> {
    let configured = |wanted: fn(&ConfigResource) -> bool| {
        image
            .configs
            .keys()
            .filter(|resource| wanted(resource))
            .map(|resource| wire(resource).1)
            .collect()
    };
    match kind {
        TOPIC => image
            .topic_ids
            .keys()
            .map(|name| name.as_str().to_owned())
            .collect(),
        BROKER | BROKER_LOGGER => image.brokers.keys().map(ToString::to_string).collect(),
        CLIENT_METRICS => configured(|resource| matches!(resource, ConfigResource::ClientMetrics(_))),
        _ => configured(|resource| matches!(resource, ConfigResource::Group(_))),
    }
}

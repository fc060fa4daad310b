//! Where brokers are, as seen by a client on one of our listeners: it is told the listener of the same name.

use milena_metadata::MetadataImage;
use milena_metadata::record::{BrokerRegistration, Endpoint};
use milena_types::BrokerId;
use milena_wire::NodeEndpoint;

/// The broker's endpoint on the listener that the client connected to.
pub(super) fn on_listener<'a>(broker: &'a BrokerRegistration, listener: &str) -> Option<&'a Endpoint> {
    broker
        .endpoints
        .iter()
        .find(|endpoint| endpoint.listener.eq_ignore_ascii_case(listener))
}

/// The brokers that Metadata lists for the client, by ascending id: those alive, and those who died a moment ago.
pub(super) fn listed<'a>(
    image: &'a MetadataImage,
    listener: &'a str,
    departed: &'a [BrokerId],
) -> impl Iterator<Item = (&'a BrokerRegistration, &'a Endpoint)> {
    let brokers = image.brokers.values().map(AsRef::as_ref);
    brokers
        .filter(|broker| !broker.fenced || departed.contains(&broker.id))
        .filter_map(move |broker| on_listener(broker, listener).map(|endpoint| (broker, endpoint)))
}

/// The endpoint of one live broker, for the hints in Produce and Fetch answers (KIP-951).
pub(super) fn node(image: &MetadataImage, listener: &str, id: BrokerId) -> Option<NodeEndpoint> {
    let broker = image.broker(id).filter(|broker| !broker.fenced)?;
    let endpoint = on_listener(broker, listener)?;
    Some(NodeEndpoint {
        node_id: id.0,
        host: endpoint.host.clone(),
        port: i32::from(endpoint.port),
        rack: broker.rack.clone(),
    })
}

/// The broker that clients are told is the controller: any live one, because every broker forwards. This one if it is
/// alive, so that no further connection is needed; -1 when none is.
pub(super) fn controller(image: &MetadataImage, listener: &str, own: BrokerId) -> i32 {
    let mut first = None;
    for (broker, _) in listed(image, listener, &[]) {
        if broker.id == own {
            return own.0;
        }
        first = first.or(Some(broker.id.0));
    }
    first.unwrap_or(-1)
}

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

/// The broker that clients are told is the controller: any live one, because every broker forwards; -1 when none is.
///
/// This one, so that no further connection is needed, unless its node is the active controller as well: the client would
/// lose both at once, and librdkafka's AdminClient takes a second to look for another.
pub(super) fn controller(
    image: &MetadataImage,
    listener: &str,
    own: BrokerId,
    active: Option<BrokerId>,
) -> i32 {
    let live = || listed(image, listener, &[]).map(|(broker, _)| broker.id);
    let spared = || live().filter(|id| Some(*id) != active);
    let chosen = spared()
        .find(|id| *id == own)
        .or_else(|| spared().next())
        .or_else(|| live().next());
    chosen.map_or(-1, |id| id.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metadata::tests::{image, registered};

    fn listening(id: i32) -> BrokerRegistration {
        BrokerRegistration {
            endpoints: vec![Endpoint {
                listener: "PLAINTEXT".to_owned(),
                host: "h".to_owned(),
                port: 1,
                security_protocol: "PLAINTEXT".to_owned(),
            }],
            ..registered(id, 1)
        }
    }

    #[test]
    fn the_controller_of_clients_is_near_but_not_the_active_one() {
        for (brokers, own, active, expected) in [
            (vec![1, 2, 3], 2, Some(1), 2),
            (vec![1, 2, 3], 2, None, 2),
            (vec![1, 2, 3], 1, Some(1), 2),
            (vec![1, 2, 3], 2, Some(2), 1),
            // Controllers of their own are no brokers.
            (vec![1, 2, 3], 3, Some(100), 3),
            (vec![1], 1, Some(1), 1),
            (vec![1], 2, Some(2), 1),
            (vec![], 1, Some(1), -1),
        ] {
            let image = image(brokers.iter().copied().map(listening));
            let told = controller(&image, "PLAINTEXT", BrokerId(own), active.map(BrokerId));
            assert_eq!(told, expected, "{brokers:?} {own} {active:?}");
        }
    }
}

//! DescribeCluster (60): brokers and the node that takes admin requests. Source: `KafkaApis.handleDescribeCluster`.

use super::text::{broker, text};
use crate::kafka::dispatch::Call;
use crate::kafka::{authorized_operations, endpoints};
use milena_types::ErrorCode;
use milena_wire::messages::describe_cluster_response::DescribeClusterBroker;
use milena_wire::messages::{DescribeClusterRequest, DescribeClusterResponse};

const ENDPOINT_BROKERS: i8 = 1;
const ENDPOINT_CONTROLLERS: i8 = 2;

pub(in crate::kafka) async fn handle(
    call: &Call,
    request: DescribeClusterRequest,
) -> DescribeClusterResponse {
    let refused = |error: ErrorCode, message: &str| {
        DescribeClusterResponse::default()
            .with_error_code(error.code())
            .with_error_message(Some(text(message)))
            .with_endpoint_type(request.endpoint_type)
    };
    match request.endpoint_type {
        ENDPOINT_BROKERS => {}
        ENDPOINT_CONTROLLERS => {
            return refused(
                ErrorCode::MismatchedEndpointType,
                "The request was sent to an endpoint of type BROKER, but we wanted an endpoint of type CONTROLLER",
            );
        }
        _ => return refused(ErrorCode::UnsupportedEndpointType, "Unsupported endpoint type"),
    }
    let image = call.peer.ctx.image();
    let listener = &call.peer.listener;
    let shown = image
        .brokers
        .values()
        .filter(|broker| !broker.fenced || request.include_fenced_brokers);
    let brokers = shown
        .filter_map(|registration| {
            let endpoint = endpoints::on_listener(registration, listener)?;
            let row = DescribeClusterBroker::default()
                .with_broker_id(broker(registration.id))
                .with_host(text(endpoint.host.as_str()))
                .with_port(i32::from(endpoint.port))
                .with_rack(registration.rack.as_deref().map(text))
                .with_is_fenced(registration.fenced && call.version >= 2);
            Some(row)
        })
        .collect();
    DescribeClusterResponse::default()
        .with_cluster_id(text(
            image.cluster.as_ref().map_or("", |cluster| cluster.0.as_str()),
        ))
        .with_controller_id(call.peer.ctx.controller(&image, listener).into())
        .with_brokers(brokers)
        .with_cluster_authorized_operations(authorized_operations::of_cluster(
            request.include_cluster_authorized_operations,
        ))
}

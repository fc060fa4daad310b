//! UnregisterBroker (64): forgets a broker that will not come back. Source: `ClusterControlManager.unregisterBroker`.

use crate::kafka::dispatch::Call;
use crate::kafka::error_map::{code_and_message, controller_failed};
use milena_metadata::request::{AdminReply, AdminRequest};
use milena_types::{BrokerId, ErrorCode};
use milena_wire::messages::{UnregisterBrokerRequest, UnregisterBrokerResponse};

pub(in crate::kafka) async fn handle(
    call: &Call,
    request: UnregisterBrokerRequest,
) -> UnregisterBrokerResponse {
    let admin = AdminRequest::UnregisterBroker(BrokerId(request.broker_id.0));
    let outcome = match call.peer.ctx.cluster.admin(admin).await {
        Ok(AdminReply::UnregisterBroker(outcome)) => outcome,
        other => controller_failed(other.err().unwrap_or(ErrorCode::None)),
    };
    let (code, message) = code_and_message(outcome);
    UnregisterBrokerResponse::default()
        .with_error_code(code)
        .with_error_message(message)
}

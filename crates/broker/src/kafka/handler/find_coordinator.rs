//! FindCoordinator (10): which broker coordinates a group. Source: `KafkaApis.handleFindCoordinatorRequest`.

use super::text::text;
use crate::kafka::dispatch::Call;
use crate::kafka::endpoints;
use milena_types::ErrorCode;
use milena_wire::NodeEndpoint;
use milena_wire::messages::find_coordinator_response::Coordinator;
use milena_wire::messages::{FindCoordinatorRequest, FindCoordinatorResponse};

const KEY_GROUP: i8 = 0;
const KEY_TRANSACTION: i8 = 1;
const KEY_SHARE: i8 = 2;

pub(in crate::kafka) async fn handle(
    call: &Call,
    request: FindCoordinatorRequest,
) -> FindCoordinatorResponse {
    call.peer.ctx.metadata.undoubted().await;
    if call.version < 4 {
        let found = find(call, request.key_type, request.key.as_str()).await;
        let row = row(request.key.as_str(), found);
        return FindCoordinatorResponse::default()
            .with_error_code(row.error_code)
            .with_error_message(row.error_message)
            .with_node_id(row.node_id)
            .with_host(row.host)
            .with_port(row.port);
    }
    let mut rows = Vec::with_capacity(request.coordinator_keys.len());
    for key in &request.coordinator_keys {
        rows.push(row(
            key.as_str(),
            find(call, request.key_type, key.as_str()).await,
        ));
    }
    FindCoordinatorResponse::default().with_coordinators(rows)
}

type Found = Result<NodeEndpoint, (ErrorCode, &'static str)>;

async fn find(call: &Call, kind: i8, key: &str) -> Found {
    match kind {
        KEY_GROUP => {}
        // A code that clients treat as final: a retriable one would make them wait for a coordinator for ever.
        KEY_TRANSACTION => {
            return Err((
                ErrorCode::UnsupportedVersion,
                "transactions are not supported by this broker",
            ));
        }
        KEY_SHARE => {
            return Err((
                ErrorCode::UnsupportedVersion,
                "share groups are not supported by this broker",
            ));
        }
        _ => return Err((ErrorCode::InvalidRequest, "unknown key type")),
    }
    const UNAVAILABLE: (ErrorCode, &str) = (
        ErrorCode::CoordinatorNotAvailable,
        "The coordinator is not available.",
    );
    let ctx = &call.peer.ctx;
    let broker = ctx
        .groups
        .find_coordinator(key)
        .await
        .map_err(|error| (error, UNAVAILABLE.1))?;
    endpoints::node(&ctx.image(), &call.peer.listener, broker).ok_or(UNAVAILABLE)
}

fn row(key: &str, found: Found) -> Coordinator {
    let row = Coordinator::default().with_key(text(key));
    match found {
        Ok(node) => row
            .with_error_message(None)
            .with_node_id(node.node_id.into())
            .with_host(text(node.host))
            .with_port(node.port),
        Err((error, message)) => row
            .with_error_code(error.code())
            .with_error_message(Some(text(message)))
            .with_node_id((-1).into())
            .with_port(-1),
    }
}

//! InitProducerId (22): an id for an idempotent producer. Source: `KafkaApis.handleInitProducerIdRequest`.

use crate::kafka::dispatch::Call;
use milena_types::{ErrorCode, ProducerId};
use milena_wire::messages::{InitProducerIdRequest, InitProducerIdResponse};

pub(in crate::kafka) async fn handle(call: &Call, request: InitProducerIdRequest) -> InitProducerIdResponse {
    let ctx = &call.peer.ctx;
    let id = match &request.transactional_id {
        None => ctx.producer_ids.next(ctx.cluster.as_ref()).await,
        Some(id) if id.is_empty() => Err(ErrorCode::InvalidRequest),
        // Transactions have no coordinator here: a code that clients treat as final, not one that they retry.
        Some(_) => Err(ErrorCode::UnsupportedVersion),
    };
    let response = InitProducerIdResponse::default();
    match id {
        Ok(ProducerId(id)) => response.with_producer_id(id.into()).with_producer_epoch(0),
        Err(error) => response
            .with_error_code(error.code())
            .with_producer_id((-1).into())
            .with_producer_epoch(-1),
    }
}

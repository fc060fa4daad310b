//! IncrementalAlterConfigs (44): sets, deletes, appends and subtracts single keys (KIP-339).

use super::alter_configs::{Asked, alter};
use super::text::{owned, text};
use crate::kafka::dispatch::Call;
use crate::kafka::error_map::code_and_message;
use milena_metadata::request::{ConfigOp, Outcome};
use milena_types::ErrorCode;
use milena_wire::messages::incremental_alter_configs_request::AlterableConfig;
use milena_wire::messages::incremental_alter_configs_response::AlterConfigsResourceResponse;
use milena_wire::messages::{IncrementalAlterConfigsRequest, IncrementalAlterConfigsResponse};

pub(in crate::kafka) async fn handle(
    call: &Call,
    request: IncrementalAlterConfigsRequest,
) -> IncrementalAlterConfigsResponse {
    let asked = request.resources.iter().map(|resource| Asked {
        kind: resource.resource_type,
        name: owned(&resource.resource_name),
        changes: resource.configs.iter().map(change).collect(),
    });
    let outcomes = alter(call, asked.collect(), request.validate_only, false).await;
    let rows = outcomes.into_iter().map(|(kind, name, outcome)| {
        let (code, message) = code_and_message(outcome);
        AlterConfigsResourceResponse::default()
            .with_error_code(code)
            .with_error_message(message)
            .with_resource_type(kind)
            .with_resource_name(text(name))
    });
    IncrementalAlterConfigsResponse::default().with_responses(rows.collect())
}

fn change(config: &AlterableConfig) -> Result<(String, ConfigOp, Option<String>), Outcome> {
    let op = match config.config_operation {
        0 => ConfigOp::Set,
        1 => ConfigOp::Delete,
        2 => ConfigOp::Append,
        3 => ConfigOp::Subtract,
        other => {
            return Err(Outcome::failed(
                ErrorCode::InvalidRequest,
                format!("unknown operation {other}"),
            ));
        }
    };
    if config.value.is_none() && op != ConfigOp::Delete {
        let message = format!(
            "Null value not supported for : {}",
            config.name.as_str().escape_debug()
        );
        return Err(Outcome::failed(ErrorCode::InvalidRequest, message));
    }
    Ok((owned(&config.name), op, config.value.as_ref().map(owned)))
}

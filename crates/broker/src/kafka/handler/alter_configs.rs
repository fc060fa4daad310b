//! AlterConfigs (33): replaces a resource's whole configuration; deprecated, still served. The request for the
//! controller, and its answers, are shared with IncrementalAlterConfigs.

use super::config_resource::{parse, wire};
use super::text::{owned, text};
use crate::kafka::dispatch::Call;
use crate::kafka::error_map::{code_and_message, controller_failed};
use milena_metadata::request::{AdminReply, AdminRequest, AlterConfig, ConfigOp, Outcome};
use milena_types::ErrorCode;
use milena_wire::messages::alter_configs_response::AlterConfigsResourceResponse;
use milena_wire::messages::{AlterConfigsRequest, AlterConfigsResponse};

pub(in crate::kafka) async fn handle(call: &Call, request: AlterConfigsRequest) -> AlterConfigsResponse {
    let asked = request.resources.iter().map(|resource| {
        let changes = resource.configs.iter().map(|config| {
            Ok((
                owned(&config.name),
                ConfigOp::Set,
                config.value.as_ref().map(owned),
            ))
        });
        Asked {
            kind: resource.resource_type,
            name: owned(&resource.resource_name),
            changes: changes.collect(),
        }
    });
    let outcomes = alter(call, asked.collect(), request.validate_only, true).await;
    let rows = outcomes.into_iter().map(|(kind, name, outcome)| {
        let (code, message) = code_and_message(outcome);
        AlterConfigsResourceResponse::default()
            .with_error_code(code)
            .with_error_message(message)
            .with_resource_type(kind)
            .with_resource_name(text(name))
    });
    AlterConfigsResponse::default().with_responses(rows.collect())
}

/// One resource as a request names it; its changes, unless they make no sense.
pub(super) struct Asked {
    pub(super) kind: i8,
    pub(super) name: String,
    pub(super) changes: Result<Vec<(String, ConfigOp, Option<String>)>, Outcome>,
}

/// Forwards the resources that make sense and gives the outcome of each, in the request's order.
pub(super) async fn alter(
    call: &Call,
    asked: Vec<Asked>,
    validate_only: bool,
    replace_all: bool,
) -> Vec<(i8, String, Outcome)> {
    let mut outcomes: Vec<(i8, String, Option<Outcome>)> = Vec::with_capacity(asked.len());
    let mut resources: Vec<AlterConfig> = Vec::with_capacity(asked.len());
    for Asked { kind, name, changes } in asked {
        let checked = parse(kind, &name).and_then(|resource| Ok((resource, changes?)));
        let twice = outcomes.iter().any(|(k, n, _)| *k == kind && *n == name);
        let refusal = match checked {
            Ok(_) if twice => Some(Outcome::failed(
                ErrorCode::InvalidRequest,
                "each resource must appear at most once",
            )),
            Ok((resource, changes)) => {
                resources.push(AlterConfig {
                    resource,
                    changes,
                    replace_all,
                });
                None
            }
            Err(outcome) => Some(outcome),
        };
        outcomes.push((kind, name, refusal));
    }
    let mut results = Vec::new();
    let mut otherwise = controller_failed(ErrorCode::None);
    if !resources.is_empty() {
        match call
            .peer
            .ctx
            .cluster
            .admin(AdminRequest::AlterConfigs {
                resources,
                validate_only,
            })
            .await
        {
            Ok(AdminReply::AlterConfigs(list)) => results = list,
            Ok(_) => {}
            Err(error) => otherwise = controller_failed(error),
        }
    }
    let find = |kind: i8, name: &str| {
        let found = results
            .iter()
            .find(|result| wire(&result.resource) == (kind, name.to_owned()));
        found.map(|result| result.outcome.clone())
    };
    let settle = |(kind, name, outcome): (i8, String, Option<Outcome>)| {
        let outcome = outcome
            .or_else(|| find(kind, &name))
            .unwrap_or_else(|| otherwise.clone());
        (kind, name, outcome)
    };
    outcomes.into_iter().map(settle).collect()
}

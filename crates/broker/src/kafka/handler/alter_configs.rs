//! AlterConfigs (33): replaces a resource's whole configuration; deprecated, still served. The request for the
//! controller, and its answers, are shared with IncrementalAlterConfigs.

use super::broker_logger;
use super::broker_settings::{Change, check, idle};
use super::config_resource::{BROKER, BROKER_LOGGER, parse};
use super::text::{owned, text};
use crate::kafka::dispatch::Call;
use crate::kafka::error_map::{code_and_message, controller_failed};
use milena_metadata::plan::repeated;
use milena_metadata::request::{AdminReply, AdminRequest, AlterConfig, AlterConfigResult, ConfigOp, Outcome};
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
    pub(super) changes: Result<Vec<Change>, Outcome>,
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
    let names: Vec<(i8, String)> = asked
        .iter()
        .map(|asked| (asked.kind, asked.name.clone()))
        .collect();
    let repeated = repeated(names.iter());
    // With the place of their outcome.
    let mut idle_settings: Vec<(usize, String)> = Vec::new();
    for Asked { kind, name, changes } in asked {
        let twice = repeated.contains(&(kind, name.clone()));
        if kind == BROKER_LOGGER && !twice {
            let outcome = alter_loggers(call, &name, changes, validate_only, replace_all);
            outcomes.push((kind, name, Some(outcome)));
            continue;
        }
        let checked = match twice {
            true => Err(Outcome::failed(
                ErrorCode::InvalidRequest,
                "Each resource must appear at most once.",
            )),
            false => parse(kind, &name).and_then(|resource| {
                let changes = changes?;
                check(&call.peer.ctx, &resource, &changes, replace_all)?;
                Ok((resource, changes))
            }),
        };
        let refusal = match checked {
            Ok((resource, changes)) => {
                if kind == BROKER {
                    idle_settings.extend(idle(&changes).map(|key| (outcomes.len(), key.clone())));
                }
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
    let outcomes = settled(call, outcomes, resources, validate_only).await;
    if !validate_only {
        warn_of_idle(idle_settings, &outcomes);
    }
    outcomes
}

/// Asks the controller about what is left, and fills its outcomes in, which are in the order of `resources`.
async fn settled(
    call: &Call,
    outcomes: Vec<(i8, String, Option<Outcome>)>,
    resources: Vec<AlterConfig>,
    validate_only: bool,
) -> Vec<(i8, String, Outcome)> {
    let (asked, mut results): (usize, Vec<AlterConfigResult>) = (resources.len(), Vec::new());
    let mut otherwise = controller_failed(ErrorCode::None);
    if !resources.is_empty() {
        let request = AdminRequest::AlterConfigs {
            resources,
            validate_only,
        };
        match call.peer.ctx.cluster.admin(request).await {
            Ok(AdminReply::AlterConfigs(list)) if list.len() == asked => results = list,
            Ok(_) => {}
            Err(error) => otherwise = controller_failed(error),
        }
    }
    let mut results = results.into_iter().map(|result| result.outcome);
    let settle = |(kind, name, outcome): (i8, String, Option<Outcome>)| {
        let outcome = outcome
            .or_else(|| results.next())
            .unwrap_or_else(|| otherwise.clone());
        (kind, name, outcome)
    };
    outcomes.into_iter().map(settle).collect()
}

/// Says which of the settings that were made nothing acts upon.
fn warn_of_idle(settings: Vec<(usize, String)>, outcomes: &[(i8, String, Outcome)]) {
    for (at, key) in settings {
        if let Some((_, broker, outcome)) = outcomes.get(at)
            && outcome.error.is_none()
        {
            let text = "this setting is kept, but takes no effect at run time";
            tracing::warn!(broker, key, "{text}");
        }
    }
}

fn alter_loggers(
    call: &Call,
    name: &str,
    changes: Result<Vec<Change>, Outcome>,
    validate_only: bool,
    replace_all: bool,
) -> Outcome {
    if replace_all {
        let text = "AlterConfigs is deprecated and does not support the resource type BROKER_LOGGER";
        return Outcome::failed(ErrorCode::InvalidRequest, text);
    }
    match changes {
        Ok(changes) => broker_logger::alter(&call.peer.ctx, name, &changes, validate_only),
        Err(outcome) => outcome,
    }
}

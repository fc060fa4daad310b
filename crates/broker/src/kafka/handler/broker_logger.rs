//! BROKER_LOGGER resources: log levels that change while the broker runs (KIP-412). They belong to the process, so the
//! broker that is named answers itself, and a restart forgets them. Source: `ConfigAdminManager.validateLogLevelConfigs`.

use crate::kafka::context::KafkaContext;
use crate::loggers::{LogLevel, LoggerControl, ROOT_LOGGER};
use milena_metadata::request::{ConfigOp, Outcome};
use milena_types::ErrorCode;
use std::collections::HashSet;

/// Every logger of this broker with its level.
///
/// # Errors
/// INVALID_REQUEST for another broker's name.
pub(super) fn levels(ctx: &KafkaContext, name: &str) -> Result<Vec<(String, LogLevel)>, Outcome> {
    Ok(control(ctx, name)?.levels())
}

/// Changes levels: all of a resource, or none.
pub(super) fn alter(
    ctx: &KafkaContext,
    name: &str,
    changes: &[(String, ConfigOp, Option<String>)],
    validate_only: bool,
) -> Outcome {
    let set = || {
        let control = control(ctx, name)?;
        let checked = checked(&control.levels(), changes)?;
        if validate_only {
            return Ok(());
        }
        control
            .set(&checked)
            .map_err(|error| Outcome::failed(ErrorCode::InvalidConfig, error.to_string()))?;
        for (logger, level) in checked {
            let level = level.map_or("inherited", LogLevel::as_str);
            tracing::info!(logger, level, "log level changed");
        }
        Ok(())
    };
    set().err().unwrap_or(Outcome::OK)
}

fn control<'a>(ctx: &'a KafkaContext, name: &str) -> Result<&'a dyn LoggerControl, Outcome> {
    let refuse = |text: String| Outcome::failed(ErrorCode::InvalidRequest, text);
    let own = ctx.config.node_id;
    match name.parse::<i32>() {
        Ok(id) if id == own.0 => {}
        Ok(id) => {
            return Err(refuse(format!(
                "Unexpected broker id, expected {own}, but received {id}"
            )));
        }
        Err(_) => {
            return Err(refuse(format!(
                "Node id must be an integer, but it is: {}",
                name.escape_debug()
            )));
        }
    }
    let none = || refuse("this broker's process has no loggers".to_owned());
    ctx.config.loggers.control().ok_or_else(none)
}

fn checked(
    known: &[(String, LogLevel)],
    changes: &[(String, ConfigOp, Option<String>)],
) -> Result<Vec<(String, Option<LogLevel>)>, Outcome> {
    let invalid = |text: String| Outcome::failed(ErrorCode::InvalidConfig, text);
    let refuse = |text: String| Outcome::failed(ErrorCode::InvalidRequest, text);
    let known: HashSet<&String> = known.iter().map(|(name, _)| name).collect();
    let mut checked = Vec::with_capacity(changes.len());
    for (logger, op, value) in changes {
        let level = match op {
            ConfigOp::Set => Some(value.as_deref().unwrap_or_default()),
            ConfigOp::Delete => None,
            ConfigOp::Append => return Err(refuse(forbidden("APPEND"))),
            ConfigOp::Subtract => return Err(refuse(forbidden("SUBTRACT"))),
        };
        if !known.contains(logger) {
            return Err(invalid(format!(
                "Logger {} does not exist!",
                logger.escape_debug()
            )));
        }
        let parsed = level.map(|text| {
            let unknown = || {
                invalid(format!(
                    "Cannot set the log level of {logger} to {} as it is not a supported log level. \
                     Valid log levels are DEBUG, ERROR, FATAL, INFO, TRACE, WARN",
                    text.escape_debug()
                ))
            };
            LogLevel::parse(text).ok_or_else(unknown)
        });
        if parsed.is_none() && logger == ROOT_LOGGER {
            return Err(refuse(
                "Removing the log level of the root logger is not allowed".to_owned(),
            ));
        }
        checked.push((logger.clone(), parsed.transpose()?));
    }
    Ok(checked)
}

fn forbidden(op: &str) -> String {
    format!("{op} operation is not allowed for the BROKER_LOGGER resource")
}

//! `milena server`: configuration, logging, then the node until it stops.

use crate::args::{ConfigArguments, Format, ServerArguments};
use milena_node::config::{Inputs, Loaded, load};
use milena_node::telemetry::{self, LogFormat};
use std::error::Error;
use std::sync::Arc;

/// Runs a node; returns when it has stopped.
pub(crate) fn run(arguments: ServerArguments) -> Result<(), Box<dyn Error>> {
    let ServerArguments {
        mut settings,
        file,
        cluster_id,
        log_format,
        check,
    } = arguments;
    settings.config = settings.config.or(file);
    let Loaded { config, warnings } = loaded(settings)?;
    if check {
        warnings.iter().for_each(|warning| println!("warning: {warning}"));
        println!("the configuration of node {} is valid", config.node_id);
        return Ok(());
    }
    let configured = config
        .settings
        .text("milena.log.format")
        .and_then(|text| LogFormat::parse(&text));
    let format = match log_format {
        Some(Format::Text) => LogFormat::Text,
        Some(Format::Json) => LogFormat::Json,
        None => configured.unwrap_or_default(),
    };
    let level = config
        .settings
        .text("milena.log.level")
        .unwrap_or_else(|| "info".to_owned());
    let log = Arc::new(telemetry::init(format, &level)?);
    milena_node::run(
        config,
        &warnings,
        cluster_id.filter(|id| !id.is_empty()).as_deref(),
        log,
    )?;
    Ok(())
}

/// Reads and checks the configuration that a command line names.
pub(crate) fn loaded(settings: ConfigArguments) -> Result<Loaded, Box<dyn Error>> {
    let inputs = Inputs::gather(settings.config.as_deref(), settings.overrides, settings.strict)?;
    Ok(load(&inputs)?)
}

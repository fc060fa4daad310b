//! Starts logging for the process, and changes the level later.

use super::filter::{self, FilterError};
use std::sync::Mutex;
use tracing_subscriber::prelude::*;
use tracing_subscriber::{EnvFilter, Registry, fmt, reload};

/// How events are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// One line for people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

impl LogFormat {
    /// Parses `text` or `json`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "text" => Some(Self::Text),
            "json" => Some(Self::Json),
            _ => None,
        }
    }
}

/// Why logging did not start.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// The level is none.
    #[error(transparent)]
    Filter(#[from] FilterError),
    /// The process logs already.
    #[error("logging was started twice in one process")]
    Twice,
}

/// The level of the running process.
#[derive(Debug)]
pub struct LogControl {
    handle: reload::Handle<EnvFilter, Registry>,
    current: Mutex<String>,
}

impl LogControl {
    /// The level or directives in force.
    #[must_use]
    pub fn level(&self) -> String {
        self.current
            .lock()
            .map_or_else(|poisoned| poisoned.into_inner().clone(), |level| level.clone())
    }

    /// Replaces the level; events already written stay.
    ///
    /// # Errors
    /// When the text is no level and no directives.
    pub fn set_level(&self, text: &str) -> Result<(), FilterError> {
        let filter = filter::parse(text)?;
        let error = |_| FilterError {
            text: text.to_owned(),
        };
        self.handle.reload(filter).map_err(error)?;
        if let Ok(mut current) = self.current.lock() {
            text.trim().clone_into(&mut current);
        }
        Ok(())
    }
}

/// Starts logging to standard output; once in a process.
///
/// # Errors
/// [`TelemetryError::Filter`] for an unknown level, [`TelemetryError::Twice`] the second time.
pub fn init(format: LogFormat, level: &str) -> Result<LogControl, TelemetryError> {
    let (filter, handle) = reload::Layer::new(filter::parse(level)?);
    let registry = tracing_subscriber::registry().with(filter);
    let started = match format {
        LogFormat::Text => registry.with(fmt::layer().with_ansi(false)).try_init(),
        LogFormat::Json => registry.with(fmt::layer().json().flatten_event(true)).try_init(),
    };
    started.map_err(|_| TelemetryError::Twice)?;
    Ok(LogControl {
        handle,
        current: Mutex::new(level.trim().to_owned()),
    })
}

//! Starts logging for the process, and changes the level later.

use super::filter::{Directives, FilterError};
use milena_broker::loggers::{LogLevel, LoggerControl, LoggerError, ROOT_LOGGER};
use std::sync::{Mutex, MutexGuard, PoisonError};
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
    current: Mutex<Directives>,
}

impl LogControl {
    /// The level or directives in force.
    #[must_use]
    pub fn level(&self) -> String {
        self.current().text()
    }

    /// Replaces the level; events already written stay.
    ///
    /// # Errors
    /// When the text is no level and no directives.
    pub fn set_level(&self, text: &str) -> Result<(), FilterError> {
        self.replace(&mut self.current(), Directives::parse(text)?)
    }

    fn current(&self) -> MutexGuard<'_, Directives> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn replace(&self, current: &mut Directives, wanted: Directives) -> Result<(), FilterError> {
        let error = |_| FilterError { text: wanted.text() };
        self.handle.reload(wanted.filter()?).map_err(error)?;
        *current = wanted;
        Ok(())
    }
}

/// Loggers are named with dots: Kafka's tools take no colon in a name.
impl LoggerControl for LogControl {
    fn levels(&self) -> Vec<(String, LogLevel)> {
        let current = self.current();
        let mut levels = current.levels();
        levels
            .iter_mut()
            .for_each(|(name, _)| *name = name.replace("::", "."));
        levels.push((ROOT_LOGGER.to_owned(), current.root()));
        levels.sort();
        levels
    }

    fn set(&self, changes: &[(String, Option<LogLevel>)]) -> Result<(), LoggerError> {
        let mut current = self.current();
        let mut wanted = current.clone();
        for (logger, level) in changes {
            let target = (logger != ROOT_LOGGER).then(|| logger.replace('.', "::"));
            wanted.set(target.as_deref(), *level);
        }
        self.replace(&mut current, wanted)
            .map_err(|error| LoggerError(error.to_string()))
    }
}

/// Starts logging to standard output; once in a process.
///
/// # Errors
/// [`TelemetryError::Filter`] for an unknown level, [`TelemetryError::Twice`] the second time.
pub fn init(format: LogFormat, level: &str) -> Result<LogControl, TelemetryError> {
    let directives = Directives::parse(level)?;
    let (filter, handle) = reload::Layer::new(directives.filter()?);
    let registry = tracing_subscriber::registry().with(filter);
    let started = match format {
        LogFormat::Text => registry.with(fmt::layer().with_ansi(false)).try_init(),
        LogFormat::Json => registry.with(fmt::layer().json().flatten_event(true)).try_init(),
    };
    started.map_err(|_| TelemetryError::Twice)?;
    Ok(LogControl {
        handle,
        current: Mutex::new(directives),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loggers_are_named_with_dots_and_all_changes_are_made_or_none() {
        let directives = Directives::parse("info").unwrap();
        let (_layer, handle) = reload::Layer::new(directives.filter().unwrap());
        let control = LogControl {
            handle,
            current: Mutex::new(directives),
        };
        let level = |name: &str| {
            let levels = control.levels();
            assert!(levels.is_sorted() && levels.iter().all(|(name, _)| !name.contains(':')));
            levels
                .into_iter()
                .find(|(logger, _)| logger == name)
                .map(|(_, level)| level)
        };
        let change = |name: &str, level| (name.to_owned(), level);
        let changes = [
            change("milena_broker.kafka", Some(LogLevel::Trace)),
            change("root", Some(LogLevel::Warn)),
        ];
        control.set(&changes).unwrap();
        assert_eq!(control.level(), "milena_broker::kafka=trace,warn");
        assert_eq!(level("milena_broker.kafka"), Some(LogLevel::Trace));
        assert_eq!(
            (level("milena_log"), level("root")),
            (Some(LogLevel::Warn), Some(LogLevel::Warn))
        );
        let impossible = [
            change("root", Some(LogLevel::Error)),
            change("a[", Some(LogLevel::Info)),
        ];
        assert!(control.set(&impossible).is_err());
        assert_eq!(level("root"), Some(LogLevel::Warn), "nothing changed");
        control.set_level("debug").unwrap();
        assert_eq!(level("milena_broker.kafka"), Some(LogLevel::Debug));
    }
}

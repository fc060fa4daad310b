//! The loggers of the process, as BROKER_LOGGER resources see them: a node gives its broker the way to them.

use std::fmt;
use std::sync::Arc;

/// How much a logger says. Source: `org.apache.kafka.common.config.LogLevelConfig`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum LogLevel {
    /// Everything.
    Trace,
    /// What a developer wants to see.
    Debug,
    /// What an operator wants to see.
    Info,
    /// What looks wrong.
    Warn,
    /// What is wrong.
    Error,
    /// Nothing: no event is above an error.
    Fatal,
}

impl LogLevel {
    /// Every level, from the one that says most.
    pub const ALL: [LogLevel; 6] = [
        LogLevel::Trace,
        LogLevel::Debug,
        LogLevel::Info,
        LogLevel::Warn,
        LogLevel::Error,
        LogLevel::Fatal,
    ];

    /// Kafka's name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            LogLevel::Trace => "TRACE",
            LogLevel::Debug => "DEBUG",
            LogLevel::Info => "INFO",
            LogLevel::Warn => "WARN",
            LogLevel::Error => "ERROR",
            LogLevel::Fatal => "FATAL",
        }
    }

    /// Parses Kafka's name, as Kafka in upper case only.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|level| level.as_str() == text)
    }
}

/// The name of the logger that all others inherit from.
pub const ROOT_LOGGER: &str = "root";

/// A change of loggers that could not be made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the log levels cannot be changed: {0}")]
pub struct LoggerError(pub String);

/// The loggers of a process. Safe to call from any thread; never blocks.
pub trait LoggerControl: Send + Sync {
    /// Every logger that can be named with the level in force, sorted by name; `root` is among them.
    fn levels(&self) -> Vec<(String, LogLevel)>;

    /// Sets loggers; `None` lets one inherit again.
    ///
    /// # Errors
    /// [`LoggerError`]: nothing has changed.
    fn set(&self, changes: &[(String, Option<LogLevel>)]) -> Result<(), LoggerError>;
}

/// The loggers of this process, if it has any.
#[derive(Clone, Default)]
pub struct Loggers(Option<Arc<dyn LoggerControl>>);

impl Loggers {
    /// Those of a process that logs.
    #[must_use]
    pub fn new(control: Arc<dyn LoggerControl>) -> Self {
        Self(Some(control))
    }

    /// The way to them; `None` in a process that does not log.
    #[must_use]
    pub fn control(&self) -> Option<&dyn LoggerControl> {
        self.0.as_deref()
    }
}

impl PartialEq for Loggers {
    /// Two are equal when they are the same process's.
    fn eq(&self, other: &Self) -> bool {
        match (&self.0, &other.0) {
            (Some(one), Some(two)) => Arc::ptr_eq(one, two),
            (None, None) => true,
            _ => false,
        }
    }
}

impl fmt::Debug for Loggers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Loggers").field(&self.0.is_some()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_have_kafkas_names() {
        for level in LogLevel::ALL {
            assert_eq!(LogLevel::parse(level.as_str()), Some(level));
        }
        for bad in ["", "info", "OFF", "LOUD"] {
            assert_eq!(LogLevel::parse(bad), None, "{bad}");
        }
    }
}

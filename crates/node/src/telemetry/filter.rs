//! Which events are logged: a level, or directives in the syntax of `tracing_subscriber::EnvFilter`, as a list that
//! single loggers can be changed in.

use milena_broker::loggers::LogLevel;
use tracing_subscriber::EnvFilter;

/// Libraries that say much, and from which level on they are heard unless a directive names them.
///
/// openraft warns of every peer that cannot be reached, and calls messages to a raft that is being stopped errors;
/// what an operator must know of both, the controller says itself.
const QUIET: &[(&str, LogLevel)] = &[
    ("h2", LogLevel::Warn),
    ("hyper", LogLevel::Warn),
    ("hyper_util", LogLevel::Warn),
    ("openraft", LogLevel::Error),
    ("openraft::raft::raft_inner", LogLevel::Fatal),
    ("tonic", LogLevel::Warn),
    ("tower", LogLevel::Warn),
];

/// The loggers that can be named although nobody has set them, beside those of [`QUIET`]: our crates, and the parts of
/// the two that say most.
const NAMED: &[&str] = &[
    "milena_broker",
    "milena_broker::controller",
    "milena_broker::coordinator",
    "milena_broker::kafka",
    "milena_broker::metadata",
    "milena_broker::shard",
    "milena_broker::start",
    "milena_controller",
    "milena_controller::bootstrap",
    "milena_controller::planner",
    "milena_controller::raft",
    "milena_controller::service",
    "milena_controller::store",
    "milena_log",
    "milena_node",
];

/// A text that is no level and no list of directives.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "'{text}' is not a log level; allowed: off, error, warn, info, debug, trace, or directives such as info,milena_broker=debug"
)]
pub struct FilterError {
    /// As given.
    pub text: String,
}

/// One part of a filter: a target with its spans, or nothing for all others, and a level.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Directive {
    target: Option<String>,
    level: LogLevel,
}

/// What is logged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Directives(Vec<Directive>);

/// Checks a level or directives.
///
/// # Errors
/// [`FilterError`] when it is neither.
pub fn check_level(text: &str) -> Result<(), FilterError> {
    Directives::parse(text).map(drop)
}

fn parse_level(text: &str) -> Option<LogLevel> {
    match text.trim().to_ascii_lowercase().as_str() {
        "off" => Some(LogLevel::Fatal),
        "error" => Some(LogLevel::Error),
        "warn" => Some(LogLevel::Warn),
        "info" => Some(LogLevel::Info),
        "debug" => Some(LogLevel::Debug),
        "trace" => Some(LogLevel::Trace),
        _ => None,
    }
}

fn level_text(level: LogLevel) -> &'static str {
    match level {
        LogLevel::Fatal => "off",
        LogLevel::Error => "error",
        LogLevel::Warn => "warn",
        LogLevel::Info => "info",
        LogLevel::Debug => "debug",
        LogLevel::Trace => "trace",
    }
}

impl Directives {
    /// Reads a level or directives.
    pub(super) fn parse(text: &str) -> Result<Self, FilterError> {
        let error = || FilterError {
            text: text.trim().chars().take(200).collect(),
        };
        let directive = |part: &str| {
            let (target, level) = match part.rsplit_once('=') {
                Some((target, level)) => (Some(target.trim().to_owned()), level),
                None => (None, part),
            };
            let level = parse_level(level).ok_or_else(error)?;
            Ok(Directive { target, level })
        };
        let directives = Self(text.split(',').map(directive).collect::<Result<_, _>>()?);
        directives.filter().map_err(|_| error())?;
        Ok(directives)
    }

    /// The filter that does it.
    pub(super) fn filter(&self) -> Result<EnvFilter, FilterError> {
        let quiet = self
            .quiet()
            .map(|(library, level)| format!("{library}={}", level_text(level)));
        let directives: Vec<String> = quiet.chain([self.text()]).collect();
        EnvFilter::try_new(directives.join(",")).map_err(|_| FilterError { text: self.text() })
    }

    /// As it would be written.
    pub(super) fn text(&self) -> String {
        let one = |d: &Directive| match &d.target {
            Some(target) => format!("{target}={}", level_text(d.level)),
            None => level_text(d.level).to_owned(),
        };
        self.0.iter().map(one).collect::<Vec<_>>().join(",")
    }

    /// Sets one logger, `None`: all that have no level of their own; without a level it inherits again.
    pub(super) fn set(&mut self, target: Option<&str>, level: Option<LogLevel>) {
        self.0.retain(|directive| directive.target.as_deref() != target);
        if let Some(level) = level {
            let target = target.map(str::to_owned);
            self.0.push(Directive { target, level });
        }
    }

    /// Every logger that can be named but the root, sorted, with the level in force.
    pub(super) fn levels(&self) -> Vec<(String, LogLevel)> {
        let set = self.0.iter().filter_map(|directive| directive.target.as_deref());
        // Spans and fields are no loggers.
        let set = set.filter(|target| !target.contains(['[', '{']));
        let quiet = QUIET.iter().map(|(library, _)| *library);
        let names: std::collections::BTreeSet<&str> = set.chain(quiet).chain(NAMED.iter().copied()).collect();
        names
            .into_iter()
            .map(|name| (name.to_owned(), self.level_of(name)))
            .collect()
    }

    /// The level of everything that has none of its own; nothing is logged of it when there is no such directive.
    pub(super) fn root(&self) -> LogLevel {
        let root = self.0.iter().rev().find(|directive| directive.target.is_none());
        root.map_or(LogLevel::Fatal, |directive| directive.level)
    }

    fn targets(&self) -> impl Iterator<Item = (&str, LogLevel)> {
        self.0
            .iter()
            .filter_map(|d| Some((d.target.as_deref()?, d.level)))
    }

    /// Those of [`QUIET`] that no directive names.
    fn quiet(&self) -> impl Iterator<Item = (&str, LogLevel)> {
        let is_named = |library: &str| {
            let root = library.split(':').next().unwrap_or_default();
            self.targets().any(|(target, _)| target.starts_with(root))
        };
        QUIET
            .iter()
            .copied()
            .filter(move |(library, _)| !is_named(library))
    }

    /// The level of the longest directive that covers a logger. As `EnvFilter`, by prefix.
    fn level_of(&self, logger: &str) -> LogLevel {
        let covering = self
            .targets()
            .chain(self.quiet())
            .filter(|(target, _)| logger.starts_with(target));
        let longest = covering.max_by_key(|(target, _)| target.len());
        longest.map_or_else(|| self.root(), |(_, level)| level)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Directives, FilterError> {
        Directives::parse(text)
    }

    #[test]
    fn levels_and_directives_are_filters_and_other_words_are_not() {
        for good in [
            "info",
            " WARN\n",
            "off",
            "info,milena_broker=debug",
            "error,openraft=trace",
        ] {
            assert!(parse(good).is_ok(), "{good}");
        }
        for bad in ["", "loud", "info,", "milena_broker", "milena=loud", "[]"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
        let shown = |text| parse(text).unwrap().filter().unwrap().to_string();
        assert!(shown("info").contains("h2=warn"));
        assert!(!shown("info,h2=trace").contains("h2=warn"));
    }

    #[test]
    fn loggers_are_set_and_inherit_again() {
        let mut directives = parse("info,milena_log=debug").unwrap();
        let level = |directives: &Directives, name: &str| {
            let levels = directives.levels();
            levels.into_iter().find(|(logger, _)| logger == name).unwrap().1
        };
        assert_eq!(level(&directives, "milena_log"), LogLevel::Debug);
        assert_eq!(level(&directives, "milena_broker::kafka"), LogLevel::Info);
        assert_eq!(level(&directives, "openraft"), LogLevel::Error);
        directives.set(Some("milena_broker"), Some(LogLevel::Trace));
        directives.set(Some("openraft"), Some(LogLevel::Info));
        directives.set(None, Some(LogLevel::Warn));
        assert_eq!(level(&directives, "milena_broker::kafka"), LogLevel::Trace);
        assert_eq!(level(&directives, "openraft::raft::raft_inner"), LogLevel::Info);
        assert_eq!(
            (level(&directives, "milena_node"), directives.root()),
            (LogLevel::Warn, LogLevel::Warn)
        );
        directives.set(Some("milena_broker"), None);
        assert_eq!(level(&directives, "milena_broker::kafka"), LogLevel::Warn);
        assert_eq!(directives.text(), "milena_log=debug,openraft=info,warn");
        assert!(directives.filter().is_ok());
    }

    #[test]
    fn the_named_loggers_are_modules_of_this_program() {
        let crates = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        for name in NAMED {
            let (krate, module) = name.split_once("::").unwrap_or((name, ""));
            let source = crates
                .join(krate.trim_start_matches("milena_"))
                .join("src")
                .join(module);
            assert!(source.is_dir(), "{name}");
        }
    }
}

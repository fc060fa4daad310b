//! Checked settings: a typed value for every known key, from the layers or from the defaults.
//!
//! The getters panic on a key that is not in the tables or has another type: the keys are literals of this crate,
//! and the test that builds every role's configuration reads all of them.

use milena_metadata::config::broker::{KeySpec, Value, lookup};
#[cfg(test)]
use milena_metadata::config::broker::{Kind, all_keys};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// Where a value was given.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Origin {
    /// Nowhere: it is the default, or derived.
    #[default]
    Default,
    /// In a file.
    File {
        /// Its path as given.
        path: String,
        /// From 1.
        line: usize,
    },
    /// In an environment variable.
    Environment {
        /// Its name.
        variable: String,
    },
    /// By `--override`.
    Override,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::Default => f.write_str("default"),
            Origin::File { path, line } => write!(f, "{path} line {line}"),
            Origin::Environment { variable } => f.write_str(variable),
            Origin::Override => f.write_str("--override"),
        }
    }
}

/// One setting that was given.
#[derive(Clone, Debug)]
struct Given {
    text: String,
    value: Value,
    origin: Origin,
}

/// The value of every known key.
#[derive(Debug, Default)]
pub struct Settings {
    given: BTreeMap<&'static str, Given>,
    /// Keys whose value is not one: what follows from their default says nothing.
    refused: BTreeSet<&'static str>,
    #[cfg(test)]
    reads: std::sync::Mutex<BTreeSet<String>>,
}

impl Clone for Settings {
    fn clone(&self) -> Self {
        Self {
            given: self.given.clone(),
            refused: self.refused.clone(),
            #[cfg(test)]
            reads: std::sync::Mutex::default(),
        }
    }
}

impl Settings {
    /// Takes a value that was given, already parsed by `spec`.
    pub(super) fn insert(&mut self, spec: &'static KeySpec, text: &str, value: Value, origin: Origin) {
        self.given.insert(
            spec.name,
            Given {
                text: text.trim().to_owned(),
                value,
                origin,
            },
        );
    }

    /// Notes that a key was given what is no value of it.
    pub(super) fn refuse(&mut self, spec: &'static KeySpec) {
        self.refused.insert(spec.name);
    }

    /// True when a key was given what is no value of it: the problem is known, its default is not what was meant.
    pub(super) fn is_refused(&self, key: &str) -> bool {
        self.refused.contains(key)
    }

    /// True when the key was given a value that is not blank.
    #[must_use]
    pub fn is_given(&self, key: &str) -> bool {
        self.note(key);
        self.given.get(key).is_some_and(|given| !given.text.is_empty())
    }

    /// True when the key was given a blank value: nothing was meant, or nothing came of what was.
    #[must_use]
    pub fn is_blank(&self, key: &str) -> bool {
        self.note(key);
        self.given.get(key).is_some_and(|given| given.text.is_empty())
    }

    /// Where the key's value was given.
    #[must_use]
    pub fn origin(&self, key: &str) -> Origin {
        self.given
            .get(key)
            .map(|given| given.origin.clone())
            .unwrap_or_default()
    }

    /// The value as it would be written: the given one or the default.
    #[must_use]
    pub fn written(&self, key: &str) -> Option<String> {
        self.note(key);
        let default = || lookup(key).and_then(|spec| spec.default).map(str::to_owned);
        self.given
            .get(key)
            .map(|given| given.text.clone())
            .or_else(default)
    }

    /// The keys that were given, with their text and whether it must stay hidden; sorted by key.
    pub fn given(&self) -> impl Iterator<Item = (&'static str, &str, bool)> {
        let is_sensitive = |key: &str| lookup(key).is_some_and(KeySpec::is_sensitive);
        self.given
            .iter()
            .map(move |(key, given)| (*key, given.text.as_str(), is_sensitive(key)))
    }

    /// A Boolean.
    ///
    /// # Panics
    /// As all getters: when the key is unknown, of another type, or has neither value nor default.
    #[must_use]
    pub fn boolean(&self, key: &str) -> bool {
        match self.value(key) {
            Some(Value::Boolean(b)) => b,
            other => wrong_type(key, &other),
        }
    }

    /// A Short, Int or Long.
    #[must_use]
    pub fn integer(&self, key: &str) -> i64 {
        self.integer_if_any(key).unwrap_or_else(|| wrong_type(key, &None))
    }

    /// A Short, Int or Long whose default may be "none".
    #[must_use]
    pub fn integer_if_any(&self, key: &str) -> Option<i64> {
        match self.value(key) {
            Some(Value::Integer(n)) => Some(n),
            None => None,
            other => wrong_type(key, &other),
        }
    }

    /// An Int; also a Long or Short, whose values beyond 32 bits become the bound.
    #[must_use]
    pub fn int(&self, key: &str) -> i32 {
        let value = self.integer(key);
        i32::try_from(value).unwrap_or(if value < 0 { i32::MIN } else { i32::MAX })
    }

    /// An integer as a count or size: negative values become 0.
    #[must_use]
    pub fn count(&self, key: &str) -> usize {
        usize::try_from(self.integer(key).max(0)).unwrap_or(usize::MAX)
    }

    /// A key in milliseconds as a duration: negative values become 0.
    #[must_use]
    pub fn millis(&self, key: &str) -> std::time::Duration {
        std::time::Duration::from_millis(self.integer(key).max(0).unsigned_abs())
    }

    /// A Double.
    #[must_use]
    pub fn double(&self, key: &str) -> f64 {
        match self.value(key) {
            Some(Value::Double(d)) => d,
            other => wrong_type(key, &other),
        }
    }

    /// A String, Password or Class; `None` when there is none or it is blank.
    #[must_use]
    pub fn text(&self, key: &str) -> Option<String> {
        match self.value(key) {
            Some(Value::Text(text)) => Some(text).filter(|text| !text.is_empty()),
            None => None,
            other => wrong_type(key, &other),
        }
    }

    /// A List; empty when there is none.
    #[must_use]
    pub fn list(&self, key: &str) -> Vec<String> {
        match self.value(key) {
            Some(Value::List(items)) => items,
            None => Vec::new(),
            other => wrong_type(key, &other),
        }
    }

    fn value(&self, key: &str) -> Option<Value> {
        self.note(key);
        if let Some(given) = self.given.get(key) {
            return Some(given.value.clone());
        }
        let spec = lookup(key).unwrap_or_else(|| wrong_type(key, &None));
        spec.default.and_then(|text| spec.parse(text))
    }

    #[cfg(test)]
    fn note(&self, key: &str) {
        self.reads.lock().unwrap().insert(key.to_owned());
    }

    #[cfg(not(test))]
    fn note(&self, _key: &str) {}

    /// Every key that a getter has been asked for.
    #[cfg(test)]
    pub(crate) fn reads(&self) -> BTreeSet<String> {
        self.reads.lock().unwrap().clone()
    }
}

/// A programming error in this crate, found by the test that reads every used key.
fn wrong_type(key: &str, value: &Option<Value>) -> ! {
    let kind = lookup(key).map(|spec| spec.kind);
    panic!("configuration key {key} of kind {kind:?} was read as another type; its value is {value:?}")
}

/// Keys whose value is a number of any width; used by checks that compare numbers.
#[cfg(test)]
pub(super) fn integer_keys() -> impl Iterator<Item = &'static str> {
    let is_integer = |spec: &&KeySpec| matches!(spec.kind, Kind::Short | Kind::Int | Kind::Long);
    all_keys().filter(is_integer).map(|spec| spec.name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_answer_for_keys_that_were_not_given() {
        let settings = Settings::default();
        assert_eq!(settings.int("num.partitions"), 1);
        assert!(settings.boolean("auto.create.topics.enable"));
        assert_eq!(settings.integer("log.flush.interval.messages"), i64::MAX);
        assert_eq!(settings.integer_if_any("log.retention.ms"), None);
        assert_eq!(settings.list("log.dir"), ["/tmp/kafka-logs"]);
        assert_eq!(settings.text("broker.rack"), None);
        assert_eq!(settings.text("milena.admin.listen"), None);
        for key in integer_keys() {
            let _ = settings.integer_if_any(key);
        }
    }
}

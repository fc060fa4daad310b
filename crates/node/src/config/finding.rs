//! What is wrong with a configuration, collected so that everything is reported at once.

use super::settings::Origin;
use std::fmt;

/// One thing that makes a configuration unusable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The key.
    pub key: String,
    /// As given; `None` when it is missing, `<hidden>` when it is a secret.
    pub value: Option<String>,
    /// Where it was given.
    pub origin: Origin,
    /// What is wrong, and what is allowed.
    pub text: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.value {
            Some(value) => write!(f, "{} = '{value}' ({}): {}", self.key, self.origin, self.text),
            None => write!(f, "{} (not set): {}", self.key, self.text),
        }
    }
}

/// The configuration cannot be used; every problem is listed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read the configuration file {path}: {reason}")]
    Unreadable {
        /// Its path as given.
        path: String,
        /// The operating system's words.
        reason: String,
    },
    /// The file or an override is not of the form `key=value`.
    #[error("{place}: {reason}")]
    Syntax {
        /// File, or `--override`.
        place: String,
        /// What is wrong.
        reason: String,
    },
    /// Values are wrong or contradict each other.
    #[error("{}", [list("problem", problems), list("warning", warnings)].join("\n").trim_end())]
    Problems {
        /// All of them, each once.
        problems: Vec<Problem>,
        /// What is to be said besides: unknown keys, old keys, keys without effect.
        warnings: Vec<String>,
    },
}

/// A heading and an item a line; nothing when there is nothing.
fn list<T: fmt::Display>(noun: &str, items: &[T]) -> String {
    let mut text = match items.len() {
        0 => return String::new(),
        1 => format!("1 {noun} in the configuration:"),
        n => format!("{n} {noun}s in the configuration:"),
    };
    for item in items {
        text.push_str("\n  - ");
        text.push_str(&item.to_string().replace('\n', "\n    "));
    }
    text
}

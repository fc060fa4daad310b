//! Which events are logged: a level, or directives in the syntax of `tracing_subscriber::EnvFilter`.

use tracing_subscriber::EnvFilter;

/// Libraries that say much, and from which level on they are heard unless a directive names them.
///
/// openraft warns of every peer that cannot be reached, and calls messages to a raft that is being stopped errors;
/// what an operator must know of both, the controller says itself.
const QUIET: &[(&str, &str)] = &[
    ("h2", "warn"),
    ("hyper", "warn"),
    ("hyper_util", "warn"),
    ("openraft", "error"),
    ("openraft::raft::raft_inner", "off"),
    ("tonic", "warn"),
    ("tower", "warn"),
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

/// Makes the filter of a text.
pub(super) fn parse(text: &str) -> Result<EnvFilter, FilterError> {
    let text = text.trim();
    let error = || FilterError {
        text: text.chars().take(200).collect(),
    };
    let is_word = |part: &str| {
        let level = part
            .rsplit('=')
            .next()
            .unwrap_or_default()
            .trim()
            .to_ascii_lowercase();
        matches!(
            level.as_str(),
            "off" | "error" | "warn" | "info" | "debug" | "trace"
        )
    };
    if text.is_empty() || !text.split(',').all(is_word) {
        return Err(error());
    }
    let mut directives: Vec<String> = QUIET
        .iter()
        .filter(|(library, _)| !text.contains(library.split(':').next().unwrap_or_default()))
        .map(|(library, level)| format!("{library}={level}"))
        .collect();
    directives.insert(0, text.to_owned());
    EnvFilter::try_new(directives.join(",")).map_err(|_| error())
}

#[cfg(test)]
mod tests {
    use super::*;

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
        assert!(parse("info").unwrap().to_string().contains("h2=warn"));
        assert!(!parse("info,h2=trace").unwrap().to_string().contains("h2=warn"));
    }
}

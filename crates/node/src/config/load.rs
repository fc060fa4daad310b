//! From text to a checked configuration: all problems at once, all warnings once.

use super::contradictions;
use super::finding::{ConfigError, Problem};
use super::layers::Layers;
use super::legacy;
use super::nearest::nearest;
use super::settings::Settings;
use super::topology::{NodeConfig, derive};
use super::used::is_used;
use milena_metadata::config::broker::{KeySpec, lookup};
use std::path::Path;

/// Prefixes under which Kafka's plugins and listeners have keys of their own.
const FREE_PREFIXES: &[&str] = &[
    "config.providers.",
    "listener.name.",
    "metrics.jmx.",
    "rlmm.config.",
    "rsm.config.",
];

/// Everything that a configuration is made of.
#[derive(Clone, Debug, Default)]
pub struct Inputs {
    /// Path and content of `--config`.
    pub file: Option<(String, Vec<u8>)>,
    /// The process's environment.
    pub environment: Vec<(String, String)>,
    /// `key=value` of `--override`, the later wins.
    pub overrides: Vec<String>,
    /// An unknown key is a problem and not a warning.
    pub strict: bool,
    /// What an advertised listener without a host is reached by.
    pub hostname: String,
}

/// A checked configuration and what to say about it.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The configuration.
    pub config: NodeConfig,
    /// To be logged once.
    pub warnings: Vec<String>,
}

impl Inputs {
    /// Reads the file, the environment and the host's name.
    ///
    /// # Errors
    /// [`ConfigError::Unreadable`] when the file cannot be read.
    pub fn gather(config: Option<&Path>, overrides: Vec<String>, strict: bool) -> Result<Self, ConfigError> {
        let read = |path: &Path| {
            let shown = path.display().to_string();
            match std::fs::read(path) {
                Ok(bytes) => Ok((shown, bytes)),
                Err(e) => Err(ConfigError::Unreadable {
                    path: shown,
                    reason: e.to_string(),
                }),
            }
        };
        let file = config.map(read).transpose()?;
        let text = |(k, v): (std::ffi::OsString, std::ffi::OsString)| {
            Some((k.into_string().ok()?, v.into_string().ok()?))
        };
        let environment = std::env::vars_os().filter_map(text).collect();
        let name = rustix::system::uname().nodename().to_string_lossy().into_owned();
        let hostname = if name.is_empty() {
            "localhost".to_owned()
        } else {
            name
        };
        Ok(Self {
            file,
            environment,
            overrides,
            strict,
            hostname,
        })
    }
}

/// Checks everything.
///
/// # Errors
/// [`ConfigError::Syntax`] for text that is not `key=value`; [`ConfigError::Problems`] with every wrong value,
/// contradiction and, when strict, unknown key.
pub fn load(inputs: &Inputs) -> Result<Loaded, ConfigError> {
    let mut warnings = Vec::new();
    let mut layers = Layers::default();
    if let Some((path, bytes)) = &inputs.file {
        layers.add_file(path, bytes, &mut warnings)?;
    }
    layers.add_environment(&inputs.environment);
    layers.add_overrides(&inputs.overrides)?;

    let mut sorter = Sorter {
        strict: inputs.strict,
        warnings,
        ..Sorter::default()
    };
    for (key, entry) in layers.iter() {
        sorter.take(key, &entry.value, &entry.origin);
    }
    sorter.check_broker_id(&layers);
    let needs_roles = sorter.check_zookeeper(&layers);
    let Sorter {
        settings,
        mut problems,
        mut warnings,
        idle,
        ..
    } = sorter;
    if !idle.is_empty() {
        warnings.push(format!("these settings have no effect: {}", idle.join(", ")));
    }
    // A copy: keys that are only compared are not keys that are used, and the list of these is checked by what is read.
    let checked = settings.clone();
    contradictions::check(&checked, &mut problems);
    warnings.extend(contradictions::doubtful(&checked));
    match derive(settings, &inputs.hostname, needs_roles, &mut problems) {
        Some(config) if problems.is_empty() => Ok(Loaded { config, warnings }),
        _ => Err(ConfigError::Problems { problems, warnings }),
    }
}

/// Sorts every given key: known and valid, known and wrong, old, of a plugin, or unknown.
#[derive(Default)]
struct Sorter {
    strict: bool,
    settings: Settings,
    problems: Vec<Problem>,
    warnings: Vec<String>,
    /// Known keys that take no effect.
    idle: Vec<String>,
}

impl Sorter {
    fn take(&mut self, key: &str, value: &str, origin: &super::settings::Origin) {
        if let Some(spec) = lookup(key) {
            return self.take_known(spec, value, origin);
        }
        if key == "zookeeper.connect" {
            return;
        }
        if key.is_empty() {
            self.warnings.push(format!(
                "a value without a key ({origin}) has no effect; write key=value"
            ));
            return;
        }
        if let Some(text) = legacy::replacement(key, value) {
            self.warnings
                .push(format!("{key} ({origin}) has no effect since Kafka 4: {text}"));
        } else if FREE_PREFIXES.iter().any(|prefix| key.starts_with(prefix)) {
            self.idle.push(key.to_owned());
        } else {
            let hint = match (nearest(key), key.strip_prefix("cfg.")) {
                (_, Some(rest)) if lookup(rest).is_some() => format!("did you mean {rest}?"),
                (Some(name), _) => format!("did you mean {name}?"),
                (None, _) => "no known key is like it".to_owned(),
            };
            if self.strict {
                let (key, origin) = (key.to_owned(), origin.clone());
                let text = format!("nobody knows this key; {hint}");
                self.problems.push(Problem {
                    key,
                    value: Some(value.to_owned()),
                    origin,
                    text,
                });
            } else {
                self.warnings.push(format!(
                    "nobody knows the key {key} ({origin}), it has no effect; {hint}"
                ));
            }
        }
    }

    fn take_known(&mut self, spec: &'static KeySpec, text: &str, origin: &super::settings::Origin) {
        match spec.parse(text) {
            Some(value) => self.settings.insert(spec, text, value, origin.clone()),
            None => {
                self.settings.refuse(spec);
                let shown = if spec.is_sensitive() { "<hidden>" } else { text };
                self.problems.push(Problem {
                    key: spec.name.to_owned(),
                    value: Some(shown.to_owned()),
                    origin: origin.clone(),
                    text: format!("allowed: {}", spec.allowed_text()),
                });
            }
        }
        if !is_used(spec.name) {
            self.idle.push(spec.name.to_owned());
        }
    }

    /// `broker.id` still counts; what differs from `node.id` is a problem of the topology.
    fn check_broker_id(&mut self, layers: &Layers) {
        let Some(entry) = layers.get("broker.id") else {
            return;
        };
        let instead = match layers.get("node.id") {
            Some(_) => "node.id, which is set, replaces it; remove it".to_owned(),
            None => format!("set node.id={} instead", entry.value.trim()),
        };
        if self
            .settings
            .integer_if_any("broker.id")
            .is_some_and(|id| id >= 0)
        {
            let text = format!(
                "broker.id ({}) is a key of Kafka before 4: {instead}",
                entry.origin
            );
            self.warnings.push(text);
        }
    }

    /// With `zookeeper.connect`, and without what replaces it, the node can not know its quorum.
    fn check_zookeeper(&mut self, layers: &Layers) -> bool {
        let Some(entry) = layers.get("zookeeper.connect") else {
            return false;
        };
        let has = |key: &str| layers.get(key).is_some();
        if let Some(instead) = legacy::beside_zookeeper(has("process.roles"), has("controller.quorum.voters"))
        {
            let text = format!("zookeeper.connect ({}) {instead}", entry.origin);
            self.warnings.push(text);
            return false;
        }
        let id = ["node.id", "broker.id"]
            .iter()
            .find_map(|key| self.settings.integer_if_any(key));
        let id = id.and_then(|id| i32::try_from(id).ok()).filter(|id| *id >= 0);
        self.problems.push(Problem {
            key: "zookeeper.connect".to_owned(),
            value: Some(entry.value.clone()),
            origin: entry.origin.clone(),
            text: legacy::instead_of_zookeeper(layers, id),
        });
        true
    }
}

#[cfg(test)]
#[path = "load_test.rs"]
mod tests;

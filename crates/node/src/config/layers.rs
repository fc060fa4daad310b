//! The three layers of settings as text: file, then environment, then overrides; the later wins.

use super::environment;
use super::finding::ConfigError;
use super::properties;
use super::settings::Origin;
use std::collections::BTreeMap;

/// A value as text, and where it was given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) value: String,
    pub(super) origin: Origin,
}

/// All settings as text, by key.
#[derive(Clone, Debug, Default)]
pub(super) struct Layers {
    entries: BTreeMap<String, Entry>,
}

impl Layers {
    /// Adds a properties text; of a key that occurs twice the later value holds, and a warning says so.
    pub(super) fn add_file(
        &mut self,
        path: &str,
        bytes: &[u8],
        warnings: &mut Vec<String>,
    ) -> Result<(), ConfigError> {
        let text = properties::decode(bytes);
        let parsed = properties::parse(&text).map_err(|e| ConfigError::Syntax {
            place: path.to_owned(),
            reason: e.to_string(),
        })?;
        for property in parsed {
            let origin = Origin::File {
                path: path.to_owned(),
                line: property.line,
            };
            let previous = self.entries.insert(
                property.key.clone(),
                Entry {
                    value: property.value,
                    origin,
                },
            );
            if let Some(Entry {
                origin: Origin::File { line, .. },
                ..
            }) = previous
            {
                let (key, now) = (property.key, property.line);
                warnings.push(format!(
                    "{key} is set twice in {path}: line {now} wins over line {line}"
                ));
            }
        }
        Ok(())
    }

    /// Adds the variables that are settings.
    pub(super) fn add_environment(&mut self, variables: &[(String, String)]) {
        for (variable, value) in variables {
            if let Some(key) = environment::key_of(variable) {
                let origin = Origin::Environment {
                    variable: variable.clone(),
                };
                self.entries.insert(
                    key,
                    Entry {
                        value: value.clone(),
                        origin,
                    },
                );
            }
        }
    }

    /// Adds `key=value` words of the command line.
    pub(super) fn add_overrides(&mut self, overrides: &[String]) -> Result<(), ConfigError> {
        for word in overrides {
            let Some((key, value)) = word.split_once('=').filter(|(key, _)| !key.trim().is_empty()) else {
                let reason = format!("'{word}' is not of the form key=value");
                return Err(ConfigError::Syntax {
                    place: "--override".to_owned(),
                    reason,
                });
            };
            let entry = Entry {
                value: value.to_owned(),
                origin: Origin::Override,
            };
            self.entries.insert(key.trim().to_owned(), entry);
        }
        Ok(())
    }

    pub(super) fn get(&self, key: &str) -> Option<&Entry> {
        self.entries.get(key)
    }

    /// In order of the keys.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&String, &Entry)> {
        self.entries.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn overrides_win_over_environment_and_environment_over_the_file() {
        let mut layers = Layers::default();
        let mut warnings = Vec::new();
        layers
            .add_file("f", b"a.b=1\nc.d=1\ne.f=1\ne.f=2", &mut warnings)
            .unwrap();
        layers.add_environment(&[("KAFKA_A_B".into(), "2".into()), ("KAFKA_C_D".into(), "2".into())]);
        layers.add_overrides(&["a.b=3=x".into()]).unwrap();
        let values: Vec<_> = layers
            .iter()
            .map(|(k, e)| (k.as_str(), e.value.as_str()))
            .collect();
        assert_eq!(values, [("a.b", "3=x"), ("c.d", "2"), ("e.f", "2")]);
        assert_eq!(warnings, ["e.f is set twice in f: line 4 wins over line 3"]);
        assert!(layers.add_overrides(&["nonsense".into()]).is_err());
        assert!(layers.add_overrides(&["=1".into()]).is_err());
    }
}

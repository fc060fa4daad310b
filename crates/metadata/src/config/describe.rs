//! A topic's configuration as DescribeConfigs and CreateTopics show it.

use super::defaults::BrokerDefaults;
use super::key::{ConfigKey, ConfigType};
use super::lookup::{ConfigSource, Lookup};
use super::table::TOPIC_KEYS;
use crate::image::MetadataImage;
use crate::record::ConfigResource;
use milena_types::TopicName;
use std::collections::BTreeMap;

/// One value that stands behind an entry, the strongest first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigSynonymEntry {
    /// The topic's key or a broker-level name.
    pub name: String,
    /// As written there; `None` when sensitive.
    pub value: Option<String>,
    /// Who set it.
    pub source: ConfigSource,
}

/// One configuration key of a topic with its effective value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigEntry {
    /// The key.
    pub name: &'static str,
    /// The effective value; `None` when sensitive.
    pub value: Option<String>,
    /// Who set it.
    pub source: ConfigSource,
    /// Never shown.
    pub sensitive: bool,
    /// Its type.
    pub kind: ConfigType,
    /// One sentence for people.
    pub doc: &'static str,
    /// What else was set, the strongest first, the default last.
    pub synonyms: Vec<ConfigSynonymEntry>,
}

/// All keys of an existing topic, sorted by name.
#[must_use]
pub fn describe_topic(
    image: &MetadataImage,
    topic: &TopicName,
    defaults: &BrokerDefaults,
) -> Vec<ConfigEntry> {
    let overrides = image.configs.get(&ConfigResource::Topic(topic.clone()));
    describe(image, overrides.map(AsRef::as_ref), defaults)
}

/// All keys of a topic that is created with `overrides`, sorted by name.
#[must_use]
pub fn describe_created(
    image: &MetadataImage,
    overrides: &BTreeMap<String, String>,
    defaults: &BrokerDefaults,
) -> Vec<ConfigEntry> {
    describe(image, Some(overrides), defaults)
}

fn describe(
    image: &MetadataImage,
    overrides: Option<&BTreeMap<String, String>>,
    defaults: &BrokerDefaults,
) -> Vec<ConfigEntry> {
    let lookup = Lookup::with_overrides(image, overrides, defaults);
    let shown = TOPIC_KEYS.iter().filter(|k| !k.internal);
    shown
        .map(|key| entry(&lookup, overrides.and_then(|o| o.get(key.name)), key))
        .collect()
}

fn entry(lookup: &Lookup<'_>, own: Option<&String>, key: &'static ConfigKey) -> ConfigEntry {
    let show = |value: &str| (!key.sensitive).then(|| value.to_owned());
    let (value, source) = lookup.effective(key);
    let mut synonyms = Vec::new();
    if let Some(value) = own {
        let name = key.name.to_owned();
        synonyms.push(ConfigSynonymEntry {
            name,
            value: show(value),
            source: ConfigSource::Topic,
        });
    }
    for synonym in key.synonyms {
        for (value, source) in lookup.of_synonym(synonym) {
            synonyms.push(ConfigSynonymEntry {
                name: synonym.name.to_owned(),
                value: show(value),
                source,
            });
        }
    }
    // Kafka names the default by the strongest broker-level name; without one there is no such line.
    if let Some(synonym) = key.synonyms.first() {
        let name = synonym.name.to_owned();
        synonyms.push(ConfigSynonymEntry {
            name,
            value: show(key.default),
            source: ConfigSource::Default,
        });
    }
    ConfigEntry {
        name: key.name,
        value: show(&value),
        source,
        sensitive: key.sensitive,
        kind: key.kind,
        doc: key.doc,
        synonyms,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_shows_everything_that_was_set() {
        let defaults = BrokerDefaults::new(None, [("log.retention.hours".to_owned(), "1".to_owned())]);
        let own = BTreeMap::from([("retention.ms".to_owned(), "5".to_owned())]);
        let entries = describe_created(&MetadataImage::default(), &own, &defaults);
        let retention = entries.iter().find(|e| e.name == "retention.ms").unwrap();
        assert_eq!(
            (retention.value.as_deref(), retention.source),
            (Some("5"), ConfigSource::Topic)
        );
        let shown: Vec<_> = retention
            .synonyms
            .iter()
            .map(|s| (s.name.as_str(), s.source))
            .collect();
        assert_eq!(
            shown,
            [
                ("retention.ms", ConfigSource::Topic),
                ("log.retention.hours", ConfigSource::StaticBroker),
                ("log.retention.ms", ConfigSource::Default)
            ]
        );
        assert!(entries.iter().all(|e| !e.name.starts_with("internal.")));
    }
}

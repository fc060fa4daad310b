//! A broker's configuration as DescribeConfigs shows it. Source: `ConfigHelper.createBrokerConfigEntry`.

use super::dynamic::is_dynamic;
use super::key::{KeySpec, all_keys, lookup};
use super::quota_table::quota_key;
use crate::config::{ConfigSource, TOPIC_KEYS};
use crate::image::MetadataImage;
use crate::record::ConfigResource;
use milena_types::BrokerId;
use std::collections::{BTreeMap, BTreeSet};

/// The number of "no type is known" in DescribeConfigs responses.
const UNKNOWN_TYPE: i8 = 0;

/// What a broker was started with.
#[derive(Clone, Copy, Debug)]
pub struct StaticSettings<'a> {
    /// What its properties file, environment or command line set. The value of a secret does not matter.
    pub given: &'a BTreeMap<String, String>,
    /// Defaults of this broker that differ from the table's, for example because they follow the machine.
    pub defaults: &'a BTreeMap<String, String>,
}

/// One value that stands behind an entry, the strongest first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BrokerSynonymEntry {
    /// The key itself, or a weaker one that stands in for it.
    pub name: String,
    /// `None` when sensitive.
    pub value: Option<String>,
    /// Who set it.
    pub source: ConfigSource,
}

/// One key of a broker with its value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BrokerConfigEntry {
    /// The key.
    pub name: String,
    /// The value that counts; `None` when there is none, or it is sensitive.
    pub value: Option<String>,
    /// Who set it.
    pub source: ConfigSource,
    /// It takes a restart to change it.
    pub read_only: bool,
    /// Never shown: a password, or a key that nobody knows.
    pub sensitive: bool,
    /// The number of its type in DescribeConfigs responses; 0 when unknown.
    pub kind: i8,
    /// One sentence for people; empty when there is none.
    pub doc: &'static str,
    /// What else was set, the strongest first, the default last.
    pub synonyms: Vec<BrokerSynonymEntry>,
}

/// All keys of a broker, sorted by name: the whole table, and what was set beyond it.
#[must_use]
pub fn describe_broker(
    image: &MetadataImage,
    broker: BrokerId,
    settings: StaticSettings<'_>,
) -> Vec<BrokerConfigEntry> {
    let own = set_on(image, Some(broker));
    let all = set_on(image, None);
    let shown = all_keys().filter(|key| !key.is_internal()).map(|key| key.name);
    let set = [own, all, Some(settings.given)].into_iter().flatten();
    let mut names: BTreeSet<&str> = set.flat_map(|set| set.keys().map(String::as_str)).collect();
    names.extend(shown);
    let find = |source: ConfigSource, name: &str| -> Option<String> {
        match source {
            ConfigSource::DynamicBroker => own.and_then(|set| set.get(name)).cloned(),
            ConfigSource::DynamicDefaultBroker => all.and_then(|set| set.get(name)).cloned(),
            ConfigSource::StaticBroker => settings.given.get(name).cloned(),
            _ => {
                let default = || lookup(name).and_then(|key| key.default).map(str::to_owned);
                settings.defaults.get(name).cloned().or_else(default)
            }
        }
    };
    const ORDER: [ConfigSource; 4] = [
        ConfigSource::DynamicBroker,
        ConfigSource::DynamicDefaultBroker,
        ConfigSource::StaticBroker,
        ConfigSource::Default,
    ];
    names.into_iter().map(|name| entry(name, &ORDER, &find)).collect()
}

/// What was set at run time on one broker, or with `None` on all, and nothing else.
#[must_use]
pub fn describe_dynamic(image: &MetadataImage, broker: Option<BrokerId>) -> Vec<BrokerConfigEntry> {
    let source = match broker {
        Some(_) => ConfigSource::DynamicBroker,
        None => ConfigSource::DynamicDefaultBroker,
    };
    let Some(set) = set_on(image, broker) else {
        return Vec::new();
    };
    let find = |_: ConfigSource, name: &str| set.get(name).cloned();
    set.keys().map(|name| entry(name, &[source], &find)).collect()
}

fn set_on(image: &MetadataImage, broker: Option<BrokerId>) -> Option<&BTreeMap<String, String>> {
    image
        .configs
        .get(&ConfigResource::Broker(broker))
        .map(AsRef::as_ref)
}

fn entry(
    name: &str,
    order: &[ConfigSource],
    find: &impl Fn(ConfigSource, &str) -> Option<String>,
) -> BrokerConfigEntry {
    let spec = typed(name);
    let sensitive = spec.is_none_or(KeySpec::is_sensitive);
    let mut synonyms = Vec::new();
    for source in order {
        for stand_in in stand_ins(name) {
            if let Some(value) = find(*source, stand_in) {
                synonyms.push(BrokerSynonymEntry {
                    name: stand_in.to_owned(),
                    value: (!sensitive).then_some(value),
                    source: *source,
                });
            }
        }
    }
    // Weaker keys count only behind the key itself.
    let own = synonyms.iter().position(|synonym| synonym.name == name);
    synonyms.drain(..own.unwrap_or(synonyms.len()));
    let strongest = synonyms.first();
    BrokerConfigEntry {
        name: name.to_owned(),
        value: strongest.and_then(|synonym| synonym.value.clone()),
        source: strongest.map_or(ConfigSource::Default, |synonym| synonym.source),
        read_only: spec.is_some() && !is_dynamic(name) && quota_key(name).is_none(),
        sensitive,
        kind: spec.map_or(UNKNOWN_TYPE, |key| key.kind.wire_code()),
        doc: doc(name),
        synonyms,
    }
}

/// The row of a key; for `listener.name.<listener>.[<mechanism>.]<key>` that of the key at its end.
fn typed(name: &str) -> Option<&'static KeySpec> {
    if let Some(found) = lookup(name).or_else(|| quota_key(name)) {
        return Some(found);
    }
    let mut rest = name.strip_prefix("listener.name.")?;
    while let Some((_, shorter)) = rest.split_once('.') {
        if let Some(found) = lookup(shorter) {
            return Some(found);
        }
        rest = shorter;
    }
    None
}

/// The key and those that stand in for it, the strongest first. Source: `DynamicBrokerConfig.brokerConfigSynonyms`.
fn stand_ins(name: &str) -> Vec<&str> {
    const FAMILIES: [&[&str]; 4] = [
        &["log.roll.ms", "log.roll.hours"],
        &["log.roll.jitter.ms", "log.roll.jitter.hours"],
        &["log.retention.ms", "log.retention.minutes", "log.retention.hours"],
        &["log.flush.interval.ms", "log.flush.scheduler.interval.ms"],
    ];
    // The scheduler's interval is a default of the other, which is none of its own.
    let family = FAMILIES
        .iter()
        .find(|family| family.contains(&name) && name != "log.flush.scheduler.interval.ms");
    family.map_or_else(|| vec![name], |family| family.to_vec())
}

fn doc(name: &str) -> &'static str {
    let named = |key: &&crate::config::ConfigKey| key.synonyms.iter().any(|synonym| synonym.name == name);
    TOPIC_KEYS.iter().find(named).map_or("", |key| key.doc)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{MetadataBatch, MetadataRecord};

    const BROKER: BrokerId = BrokerId(1);

    fn image(set: &[(Option<BrokerId>, &str, &str)]) -> MetadataImage {
        let record = |(broker, key, value): &(Option<BrokerId>, &str, &str)| MetadataRecord::Config {
            resource: ConfigResource::Broker(*broker),
            key: (*key).to_owned(),
            value: Some((*value).to_owned()),
        };
        let mut image = MetadataImage::default();
        let records = set.iter().map(record).collect();
        let batch = MetadataBatch {
            expected_version: image.version,
            records,
        };
        image.apply(&batch).unwrap();
        image
    }

    fn described(image: &MetadataImage, given: &[(&str, &str)]) -> BTreeMap<String, BrokerConfigEntry> {
        let given = given
            .iter()
            .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
            .collect();
        let defaults = BTreeMap::from([("num.io.threads".to_owned(), "2".to_owned())]);
        let settings = StaticSettings {
            given: &given,
            defaults: &defaults,
        };
        let entries = describe_broker(image, BROKER, settings);
        entries
            .into_iter()
            .map(|entry| (entry.name.clone(), entry))
            .collect()
    }

    #[test]
    fn every_key_of_kafka_is_there_with_its_default_type_and_mutability() {
        let entries = described(&MetadataImage::default(), &[]);
        assert_eq!(entries.len(), 340 + super::super::own_table::OWN_KEYS.len());
        for (name, value, read_only, kind) in [
            ("num.partitions", Some("1"), true, 3),
            ("log.retention.ms", None, false, 5),
            ("log.retention.hours", Some("168"), true, 3),
            ("offsets.topic.replication.factor", Some("3"), true, 4),
            ("auto.create.topics.enable", Some("true"), true, 1),
            ("num.io.threads", Some("2"), false, 3),
            ("ack.durability", Some("flushed"), false, 2),
        ] {
            let entry = &entries[name];
            let shown = (entry.value.as_deref(), entry.read_only, entry.kind);
            assert_eq!(shown, (value, read_only, kind), "{name}");
            assert_eq!(
                (entry.source, entry.sensitive),
                (ConfigSource::Default, false),
                "{name}"
            );
        }
        assert!(entries.values().all(|entry| entry.kind != UNKNOWN_TYPE));
        assert!(!entries.contains_key("unstable.api.versions.enable"), "internal");
    }

    #[test]
    fn the_strongest_source_is_shown_and_the_others_stand_behind_it() {
        let image = image(&[
            (None, "log.retention.ms", "5"),
            (Some(BROKER), "log.retention.ms", "6"),
            (Some(BrokerId(2)), "log.retention.bytes", "7"),
        ]);
        let entries = described(
            &image,
            &[
                ("log.retention.minutes", "9"),
                ("unstable.api.versions.enable", "true"),
            ],
        );
        let retention = &entries["log.retention.ms"];
        let shown: Vec<_> = retention
            .synonyms
            .iter()
            .map(|s| (s.name.as_str(), s.value.as_deref(), s.source))
            .collect();
        assert_eq!(
            shown,
            [
                ("log.retention.ms", Some("6"), ConfigSource::DynamicBroker),
                ("log.retention.ms", Some("5"), ConfigSource::DynamicDefaultBroker),
                ("log.retention.minutes", Some("9"), ConfigSource::StaticBroker),
                ("log.retention.hours", Some("168"), ConfigSource::Default),
            ]
        );
        assert_eq!(
            (retention.value.as_deref(), retention.source),
            (Some("6"), ConfigSource::DynamicBroker)
        );
        assert_eq!(
            entries["log.retention.bytes"].value.as_deref(),
            Some("-1"),
            "set on another broker"
        );
        assert!(
            entries["log.roll.ms"].synonyms.is_empty(),
            "hours alone are not the milliseconds"
        );
        assert!(
            entries.contains_key("unstable.api.versions.enable"),
            "internal, but set"
        );
    }

    #[test]
    fn secrets_and_keys_that_nobody_knows_are_not_shown() {
        let image = image(&[
            (Some(BROKER), "no.such.key", "secret"),
            (Some(BROKER), "listener.name.x.ssl.key.password", "p"),
        ]);
        let entries = described(&image, &[("ssl.keystore.password", "p")]);
        for (name, source) in [
            ("ssl.keystore.password", ConfigSource::StaticBroker),
            ("no.such.key", ConfigSource::DynamicBroker),
            ("listener.name.x.ssl.key.password", ConfigSource::DynamicBroker),
        ] {
            let entry = &entries[name];
            assert_eq!(
                (entry.value.as_deref(), entry.sensitive, entry.source),
                (None, true, source),
                "{name}"
            );
            assert!(
                entry.synonyms.iter().all(|synonym| synonym.value.is_none()),
                "{name}"
            );
        }
        assert_eq!(entries["no.such.key"].kind, UNKNOWN_TYPE);
    }

    #[test]
    fn of_all_brokers_only_what_was_set_is_shown() {
        let image = image(&[(None, "log.retention.ms", "5")]);
        let entries = describe_dynamic(&image, None);
        assert_eq!(entries.len(), 1);
        assert_eq!(
            (entries[0].value.as_deref(), entries[0].synonyms.len()),
            (Some("5"), 1)
        );
        assert!(describe_dynamic(&image, Some(BROKER)).is_empty());
    }
}

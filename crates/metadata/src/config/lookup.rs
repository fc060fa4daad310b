//! Where a topic configuration's value comes from.

use super::defaults::BrokerDefaults;
use super::key::{ConfigKey, Synonym};
use super::table::topic_key;
use crate::image::MetadataImage;
use crate::record::ConfigResource;
use milena_types::{AckDurability, TopicName};
use std::borrow::Cow;
use std::collections::BTreeMap;

/// Who set a value. Source: `DescribeConfigsResponse.ConfigSource`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConfigSource {
    /// Set on the topic.
    Topic,
    /// Set on this broker at run time.
    DynamicBroker,
    /// Set on all brokers at run time.
    DynamicDefaultBroker,
    /// In the properties file.
    StaticBroker,
    /// Nobody: the default.
    Default,
}

impl ConfigSource {
    /// The number in DescribeConfigs responses.
    #[must_use]
    pub fn wire_code(self) -> i8 {
        match self {
            ConfigSource::Topic => 1,
            ConfigSource::DynamicBroker => 2,
            ConfigSource::DynamicDefaultBroker => 3,
            ConfigSource::StaticBroker => 4,
            ConfigSource::Default => 5,
        }
    }
}

/// Looks values up for one topic (or, without overrides, for a topic that has none).
pub(super) struct Lookup<'a> {
    topic: Option<&'a BTreeMap<String, String>>,
    broker: Option<&'a BTreeMap<String, String>>,
    all_brokers: Option<&'a BTreeMap<String, String>>,
    defaults: &'a BrokerDefaults,
}

impl<'a> Lookup<'a> {
    pub(super) fn of_topic(
        image: &'a MetadataImage,
        topic: &TopicName,
        defaults: &'a BrokerDefaults,
    ) -> Self {
        let overrides = image.configs.get(&ConfigResource::Topic(topic.clone()));
        Self::with_overrides(image, overrides.map(AsRef::as_ref), defaults)
    }

    pub(super) fn with_overrides(
        image: &'a MetadataImage,
        topic: Option<&'a BTreeMap<String, String>>,
        defaults: &'a BrokerDefaults,
    ) -> Self {
        let broker = defaults
            .broker()
            .and_then(|id| image.configs.get(&ConfigResource::Broker(Some(id))));
        let all_brokers = image.configs.get(&ConfigResource::Broker(None));
        Self {
            topic,
            broker: broker.map(AsRef::as_ref),
            all_brokers: all_brokers.map(AsRef::as_ref),
            defaults,
        }
    }

    /// The values of one broker-level name, the strongest first.
    pub(super) fn of_synonym(
        &self,
        synonym: &Synonym,
    ) -> impl Iterator<Item = (&'a str, ConfigSource)> + use<'a> {
        let get = |map: Option<&'a BTreeMap<String, String>>, source| {
            map.and_then(|m| m.get(synonym.name))
                .map(|v| (v.as_str(), source))
        };
        let dynamic = get(self.broker, ConfigSource::DynamicBroker);
        let default = get(self.all_brokers, ConfigSource::DynamicDefaultBroker);
        let file = self
            .defaults
            .get(synonym.name)
            .map(|v| (v, ConfigSource::StaticBroker));
        dynamic.into_iter().chain(default).chain(file)
    }

    /// The value that counts, in the topic's unit. What does not parse is passed over.
    pub(super) fn effective(&self, key: &'static ConfigKey) -> (Cow<'a, str>, ConfigSource) {
        if let Some(value) = self.topic.and_then(|t| t.get(key.name))
            && key.validate(value).is_ok()
        {
            return (Cow::Borrowed(value), ConfigSource::Topic);
        }
        for synonym in key.synonyms {
            for (value, source) in self.of_synonym(synonym) {
                if let Some(value) = synonym.unit.convert(value)
                    && key.validate(&value).is_ok()
                {
                    return (Cow::Owned(value), source);
                }
            }
        }
        (Cow::Borrowed(key.default), ConfigSource::Default)
    }

    /// The effective value of a key of the table, parsed; a key that is missing or does not parse gives `T::default()`,
    /// which the table's own test excludes.
    pub(super) fn parsed<T: Default>(&self, name: &str, parse: impl Fn(&str) -> Option<T>) -> T {
        topic_key(name)
            .and_then(|key| parse(self.effective(key).0.trim()))
            .unwrap_or_default()
    }
}

/// The topic's effective `min.insync.replicas`, as configured (not bounded by the replication factor).
#[must_use]
pub fn min_insync_replicas(image: &MetadataImage, topic: &TopicName, defaults: &BrokerDefaults) -> usize {
    Lookup::of_topic(image, topic, defaults)
        .parsed("min.insync.replicas", |v| v.parse::<usize>().ok())
        .max(1)
}

/// The topic's effective `unclean.leader.election.enable`.
#[must_use]
pub fn unclean_leader_election(image: &MetadataImage, topic: &TopicName, defaults: &BrokerDefaults) -> bool {
    Lookup::of_topic(image, topic, defaults).parsed("unclean.leader.election.enable", super::key::parse_bool)
}

/// The topic's effective `ack.durability`.
#[must_use]
pub fn ack_durability(image: &MetadataImage, topic: &TopicName, defaults: &BrokerDefaults) -> AckDurability {
    Lookup::of_topic(image, topic, defaults).parsed("ack.durability", AckDurability::parse)
}

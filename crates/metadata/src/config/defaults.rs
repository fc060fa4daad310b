//! What a broker's own properties file says about topics.

use super::table::TOPIC_KEYS;
use milena_types::BrokerId;
use std::collections::BTreeMap;

/// The broker-level settings from one node's properties file that are defaults of topic configurations.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BrokerDefaults {
    broker: Option<BrokerId>,
    properties: BTreeMap<String, String>,
}

impl BrokerDefaults {
    /// Keeps of `properties` what is a broker-level name of a topic configuration (`log.retention.hours`, …).
    ///
    /// `broker` is the node whose dynamic settings apply; `None` for a controller that is no broker.
    /// Values are expected to be valid; one that is not counts as absent.
    pub fn new(broker: Option<BrokerId>, properties: impl IntoIterator<Item = (String, String)>) -> Self {
        let known = |name: &str| {
            TOPIC_KEYS
                .iter()
                .find_map(|k| k.synonyms.iter().find(|s| s.name == name).map(|s| (k, s)))
        };
        let valid = |(name, value): &(String, String)| {
            known(name).is_some_and(|(key, synonym)| {
                synonym
                    .unit
                    .convert(value)
                    .is_some_and(|value| key.validate(&value).is_ok())
            })
        };
        Self {
            broker,
            properties: properties.into_iter().filter(valid).collect(),
        }
    }

    /// Whose dynamic settings apply.
    #[must_use]
    pub fn broker(&self) -> Option<BrokerId> {
        self.broker
    }

    /// The value of a broker-level key in the properties file.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.properties.get(name).map(String::as_str)
    }
}

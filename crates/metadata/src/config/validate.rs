//! Whether a resource's configuration as a whole is acceptable.

use super::ConfigKey;
use super::broker::{BrokerConfigError, validate_broker_resource};
use super::defaults::BrokerDefaults;
use super::key::ConfigError;
use super::lookup::Lookup;
use super::resource::{CLIENT_METRICS_KEYS, GROUP_KEYS};
use super::table::{TOPIC_KEYS, topic_key};
use crate::image::MetadataImage;
use crate::record::ConfigResource;
use std::collections::BTreeMap;

/// Checks all configurations that a topic would have.
///
/// # Errors
/// The first [`ConfigError`], in Kafka's words: unknown key, bad value, or settings that contradict each other.
pub fn validate_topic(
    image: &MetadataImage,
    values: &BTreeMap<String, String>,
    defaults: &BrokerDefaults,
) -> Result<(), ConfigError> {
    for name in values.keys() {
        topic_key(name).ok_or_else(|| ConfigError::UnknownTopicKey(name.clone()))?;
    }
    for (name, value) in values {
        topic_key(name).map_or(Ok(()), |key| key.validate(value))?;
    }
    let lookup = Lookup::with_overrides(image, Some(values), defaults);
    let number = |name: &str| lookup.parsed(name, |v| v.parse::<i64>().ok());
    let (min, max) = (number("min.compaction.lag.ms"), number("max.compaction.lag.ms"));
    if min > max {
        return Err(ConfigError::Contradiction(format!(
            "conflict topic config setting min.compaction.lag.ms ({min}) > max.compaction.lag.ms ({max})"
        )));
    }
    if lookup.parsed("remote.storage.enable", super::key::parse_bool) {
        return Err(ConfigError::Contradiction(
            "Tiered Storage functionality is disabled in the broker. Topic cannot be configured with remote log \
             storage."
                .to_owned(),
        ));
    }
    Ok(())
}

/// Checks one broker-level name of a topic configuration by the rules of that; other names pass.
///
/// # Errors
/// [`ConfigError::Value`] under the broker-level name.
pub fn validate_broker(name: &str, value: &str) -> Result<(), ConfigError> {
    let known = TOPIC_KEYS
        .iter()
        .find_map(|k| k.synonyms.iter().find(|s| s.name == name).map(|s| (k, s)));
    let Some((key, synonym)) = known else {
        return Ok(());
    };
    let under_its_name = ConfigKey {
        name: synonym.name,
        ..*key
    };
    match synonym.unit.convert(value) {
        Some(converted) => under_its_name.validate(&converted),
        None => Err(ConfigError::Value {
            key: name.to_owned(),
            value: value.to_owned(),
            reason: "Not a number of type INT".to_owned(),
        }),
    }
}

/// Settings of any resource that are refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ResourceConfigError {
    /// INVALID_REQUEST.
    #[error(transparent)]
    Broker(#[from] BrokerConfigError),
    /// INVALID_CONFIG.
    #[error(transparent)]
    Other(#[from] ConfigError),
}

/// Checks all configurations that a resource would have.
///
/// # Errors
/// The first [`ResourceConfigError`].
pub fn validate_resource(
    image: &MetadataImage,
    resource: &ConfigResource,
    values: &BTreeMap<String, String>,
    defaults: &BrokerDefaults,
) -> Result<(), ResourceConfigError> {
    match resource {
        ConfigResource::Topic(_) => Ok(validate_topic(image, values, defaults)?),
        ConfigResource::Broker(broker) => Ok(validate_broker_resource(values, broker.is_none())?),
        ConfigResource::Group(_) => Ok(validate_known(GROUP_KEYS, "group", values)?),
        ConfigResource::ClientMetrics(_) => {
            Ok(validate_known(CLIENT_METRICS_KEYS, "client metrics", values)?)
        }
    }
}

fn validate_known(
    keys: &[ConfigKey],
    kind: &'static str,
    values: &BTreeMap<String, String>,
) -> Result<(), ConfigError> {
    for (name, value) in values {
        let key = keys.iter().find(|k| k.name == name);
        key.ok_or_else(|| ConfigError::UnknownKey {
            kind,
            key: name.clone(),
        })?
        .validate(value)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(values: &[(&str, &str)]) -> Result<(), String> {
        let values = values
            .iter()
            .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
            .collect();
        validate_topic(&MetadataImage::default(), &values, &BrokerDefaults::default())
            .map_err(|e| e.to_string())
    }

    #[test]
    fn topics_are_checked_as_a_whole() {
        assert_eq!(
            check(&[("retention.ms", "1"), ("cleanup.policy", "compact")]),
            Ok(())
        );
        assert_eq!(
            check(&[("retension.ms", "1")]),
            Err("Unknown topic config name: retension.ms".into())
        );
        assert_eq!(
            check(&[("min.compaction.lag.ms", "9"), ("max.compaction.lag.ms", "8")]),
            Err("conflict topic config setting min.compaction.lag.ms (9) > max.compaction.lag.ms (8)".into())
        );
        assert!(check(&[("remote.storage.enable", "true")]).is_err());
    }

    #[test]
    fn broker_level_names_are_checked_under_their_own_name() {
        assert_eq!(validate_broker("log.retention.hours", "3"), Ok(()));
        assert_eq!(
            validate_broker("num.io.threads", "many"),
            Ok(()),
            "not known here"
        );
        let error = validate_broker("log.segment.bytes", "5").unwrap_err();
        assert_eq!(
            error.to_string(),
            "Invalid value 5 for configuration log.segment.bytes: Value must be at least 1048576"
        );
        assert!(validate_broker("log.roll.hours", "soon").is_err());
    }
}

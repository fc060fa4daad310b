//! Whether settings may be made on running brokers. Source: `DynamicBrokerConfig.validate`; the texts are Kafka's.

use super::dynamic::{is_dynamic, is_per_broker, needs_listener_prefix};
use super::key::{Allowed, KeySpec, Kind, Value, lookup};
use super::quota_table::quota_key;
use crate::config::key::ConfigError;
use crate::config::validate_broker;
use std::collections::BTreeMap;

/// Settings of brokers that are refused (INVALID_REQUEST).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BrokerConfigError {
    /// Keys that only a restart can change.
    #[error("Cannot update these configs dynamically: [{}]", .0.join(", "))]
    ReadOnly(Vec<String>),
    /// Keys that belong to one listener.
    #[error(
        "These security configs can be dynamically updated only per-listener using the listener prefix: [{}]",
        .0.join(", ")
    )]
    NeedsListener(Vec<String>),
    /// Keys that belong to one broker.
    #[error("Cannot update these configs at default cluster level, broker id must be specified: [{}]", .0.join(", "))]
    PerBroker(Vec<String>),
    /// A value that its key does not allow.
    #[error(transparent)]
    Value(#[from] ConfigError),
}

/// Checks everything that would be set on one broker, or on all of them. A key that nobody knows is accepted, as in
/// Kafka: plugins may read it.
///
/// # Errors
/// The first [`BrokerConfigError`].
pub fn validate_broker_resource(
    values: &BTreeMap<String, String>,
    is_for_all: bool,
) -> Result<(), BrokerConfigError> {
    let those = |wrong: &dyn Fn(&str) -> bool| -> Option<Vec<String>> {
        let found: Vec<String> = values.keys().filter(|name| wrong(name)).cloned().collect();
        (!found.is_empty()).then_some(found)
    };
    let is_read_only = |name: &str| lookup(name).is_some() && !is_dynamic(name);
    if let Some(names) = those(&is_read_only) {
        return Err(BrokerConfigError::ReadOnly(names));
    }
    if let Some(names) = those(&needs_listener_prefix) {
        return Err(BrokerConfigError::NeedsListener(names));
    }
    if let Some(names) = those(&is_per_broker).filter(|_| is_for_all) {
        return Err(BrokerConfigError::PerBroker(names));
    }
    for (name, value) in values {
        validate_broker(name, value)?;
        validate_value(name, value)?;
    }
    Ok(())
}

fn validate_value(name: &str, value: &str) -> Result<(), ConfigError> {
    let spec = lookup(name).or_else(|| quota_key(name));
    let Some(spec) = spec.filter(|spec| spec.parse(value).is_none()) else {
        return Ok(());
    };
    Err(ConfigError::Value {
        key: name.to_owned(),
        value: if spec.is_sensitive() { "[hidden]" } else { value }.to_owned(),
        reason: reason(spec, value.trim()),
    })
}

/// Why the key does not allow the value. Source: `ConfigDef.parseType`, `ConfigDef.Range`.
fn reason(spec: &KeySpec, value: &str) -> String {
    let (number, kind) = match spec.kind {
        Kind::Short => (value.parse::<i16>().ok().map(f64::from), "SHORT"),
        Kind::Int => (value.parse::<i32>().ok().map(f64::from), "INT"),
        #[expect(clippy::cast_precision_loss, reason = "compared with small bounds")]
        Kind::Long => (value.parse::<i64>().ok().map(|number| number as f64), "LONG"),
        Kind::Double => (value.parse().ok(), "DOUBLE"),
        _ => return format!("allowed: {}", spec.allowed_text()),
    };
    match (number, spec.allowed) {
        (None, _) => format!("Not a number of type {kind}"),
        #[expect(clippy::cast_precision_loss, reason = "bounds are small")]
        (Some(number), Allowed::Min(min) | Allowed::Range(min, _)) if number < min as f64 => {
            format!("Value must be at least {min}")
        }
        (Some(_), Allowed::Range(_, max)) => format!("Value must be no more than {max}"),
        (Some(_), _) => format!("allowed: {}", spec.allowed_text()),
    }
}

/// The default of a key of brokers whose type is a list; `None` when it is not.
pub(crate) fn list_default(name: &str) -> Option<&'static str> {
    let spec = lookup(name).filter(|spec| spec.kind == Kind::List)?;
    debug_assert!(
        spec.default
            .is_none_or(|text| matches!(spec.parse(text), Some(Value::List(_))))
    );
    Some(spec.default.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(is_for_all: bool, values: &[(&str, &str)]) -> Result<(), String> {
        let values = values
            .iter()
            .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
            .collect();
        validate_broker_resource(&values, is_for_all).map_err(|error| error.to_string())
    }

    #[test]
    fn refusals_are_kafkas() {
        type Case<'a> = (bool, &'a [(&'a str, &'a str)], &'a str);
        let cases: [Case<'_>; 9] = [
            (
                false,
                &[("num.partitions", "5"), ("node.id", "4")],
                "Cannot update these configs dynamically: [node.id, num.partitions]",
            ),
            (
                false,
                &[("ssl.keystore.location", "/x")],
                "These security configs can be dynamically updated only per-listener using the listener prefix: [ssl.keystore.location]",
            ),
            (
                true,
                &[("listeners", "PLAINTEXT://:1")],
                "Cannot update these configs at default cluster level, broker id must be specified: [listeners]",
            ),
            (
                false,
                &[("log.cleaner.threads", "zwei")],
                "Invalid value zwei for configuration log.cleaner.threads: Not a number of type INT",
            ),
            (
                false,
                &[("log.cleaner.threads", "-1")],
                "Invalid value -1 for configuration log.cleaner.threads: Value must be at least 0",
            ),
            (
                true,
                &[("replica.alter.log.dirs.io.max.bytes.per.second", "-5")],
                "Invalid value -5 for configuration replica.alter.log.dirs.io.max.bytes.per.second: Value must be at least 0",
            ),
            (
                false,
                &[("leader.replication.throttled.rate", "much")],
                "Invalid value much for configuration leader.replication.throttled.rate: Not a number of type LONG",
            ),
            (
                true,
                &[("log.segment.bytes", "5")],
                "Invalid value 5 for configuration log.segment.bytes: Value must be at least 1048576",
            ),
            (
                true,
                &[("ack.durability", "never")],
                "Invalid value never for configuration ack.durability: String must be one of: flushed, replicated",
            ),
        ];
        for (is_for_all, values, text) in cases {
            assert_eq!(check(is_for_all, values), Err(text.to_owned()));
        }
    }

    #[test]
    fn dynamic_and_unknown_keys_are_accepted() {
        let values = [
            ("log.retention.ms", "5"),
            ("no.such.key", "x"),
            ("max.connections", "10"),
        ];
        assert_eq!(check(true, &values), Ok(()));
        assert_eq!(
            check(
                false,
                &[
                    ("listeners", "PLAINTEXT://:1"),
                    ("listener.name.x.ssl.keystore.location", "/x")
                ]
            ),
            Ok(())
        );
    }
}

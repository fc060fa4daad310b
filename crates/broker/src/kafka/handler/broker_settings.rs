//! Settings of brokers that are about to be altered, as the broker that takes them sees them.
//!
//! The controller checks keys and values; whether a running broker can follow, only that broker knows: of settings for itself
//! and for all brokers the one that is asked looks before it asks the controller, as in Kafka.
//! Source: `ConfigAdminManager.validateBrokerConfigChange`, `DynamicBrokerConfig.validate`.

use crate::kafka::context::KafkaContext;
use crate::shard::{CleanerRefused, is_background_key};
use milena_metadata::config::broker::validate_broker_resource;
use milena_metadata::config::is_broker_synonym;
use milena_metadata::record::ConfigResource;
use milena_metadata::request::{ConfigOp, Outcome};
use milena_types::ErrorCode;
use std::collections::BTreeMap;

/// One key's change, as requests ask for it.
pub(super) type Change = (String, ConfigOp, Option<String>);

/// Whether this broker can follow the change of a resource.
///
/// # Errors
/// INVALID_REQUEST, in Kafka's words.
pub(super) fn check(
    ctx: &KafkaContext,
    resource: &ConfigResource,
    changes: &[Change],
    replace_all: bool,
) -> Result<(), Outcome> {
    let ConfigResource::Broker(broker) = *resource else {
        return Ok(());
    };
    let node = ctx.config.node_id;
    if broker.is_some_and(|broker| broker != node) {
        // That broker looks when the metadata come to it.
        return Ok(());
    }
    let image = ctx.metadata.image();
    let set_on = |broker| {
        image
            .configs
            .get(&ConfigResource::Broker(broker))
            .map(AsRef::as_ref)
    };
    let before = set_on(broker).filter(|_| !replace_all);
    let after = changed(before.cloned().unwrap_or_default(), changes);
    if validate_broker_resource(&after, broker.is_none()).is_err() {
        // The controller says it.
        return Ok(());
    }
    let followed = match broker {
        None => ctx.router.check_settings(Some(&after), set_on(Some(node))),
        Some(_) => ctx.router.check_settings(set_on(None), Some(&after)),
    };
    followed.map_err(|error| Outcome::failed(ErrorCode::InvalidRequest, refusal(error)))
}

/// Kafka makes the exception of a component that refuses into another one, as if it were a value.
fn refusal(error: CleanerRefused) -> String {
    match error {
        CleanerRefused::Buffer => error.to_string(),
        CleanerRefused::NoThread | CleanerRefused::TooFew(_) | CleanerRefused::TooMany(_) => format!(
            "Invalid value org.apache.kafka.common.config.ConfigException: {error} for configuration Invalid dynamic configuration"
        ),
    }
}

/// Appending and subtracting are for lists, of which there are none among the settings that matter here.
fn changed(mut values: BTreeMap<String, String>, changes: &[Change]) -> BTreeMap<String, String> {
    for (key, op, value) in changes {
        match (op, value) {
            (ConfigOp::Set, Some(value)) => drop(values.insert(key.clone(), value.clone())),
            (ConfigOp::Delete, _) => drop(values.remove(key)),
            (ConfigOp::Set | ConfigOp::Append | ConfigOp::Subtract, _) => {}
        }
    }
    values
}

/// The keys of a broker that would be set and that nothing acts upon while it runs.
pub(super) fn idle(changes: &[Change]) -> impl Iterator<Item = &String> {
    let set = changes.iter().filter(|(_, op, _)| *op != ConfigOp::Delete);
    set.map(|(key, ..)| key)
        .filter(|key| !is_broker_synonym(key) && !is_background_key(key))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_are_made_one_after_the_other() {
        let values = BTreeMap::from([("a", "1"), ("b", "2")].map(|(k, v)| (k.to_owned(), v.to_owned())));
        let change = |key: &str, op, value: Option<&str>| (key.to_owned(), op, value.map(str::to_owned));
        let changes = [
            change("a", ConfigOp::Delete, None),
            change("b", ConfigOp::Set, Some("3")),
            change("c", ConfigOp::Append, Some("4")),
        ];
        let after = changed(values, &changes);
        assert_eq!(after, BTreeMap::from([("b".to_owned(), "3".to_owned())]));
    }

    #[test]
    fn settings_that_take_effect_are_not_idle() {
        let set = |key: &str| (key.to_owned(), ConfigOp::Set, Some("1".to_owned()));
        let changes = [
            set("log.cleaner.threads"),
            set("log.cleaner.io.buffer.size"),
            set("log.retention.ms"),
            set("replica.alter.log.dirs.io.max.bytes.per.second"),
        ];
        assert_eq!(idle(&changes).collect::<Vec<_>>(), ["log.cleaner.io.buffer.size"]);
    }
}

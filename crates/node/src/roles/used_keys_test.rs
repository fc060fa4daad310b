//! The list of keys that take effect is the list of keys that are read.

use super::{broker_config, controller_config};
use crate::config::{Inputs, USED_KEYS, load, lookup};
use milena_metadata::config::TOPIC_KEYS;
use std::collections::BTreeSet;

/// Broker-level names of topic settings that nothing acts upon yet.
const IDLE_TOPIC_DEFAULTS: &[&str] = &[
    "log.local.retention.bytes",
    "log.local.retention.ms",
    "log.preallocate",
];
/// Read by the program before the node starts.
const READ_FOR_LOGGING: &[&str] = &["milena.log.format", "milena.log.level"];

#[test]
fn a_key_is_listed_as_used_exactly_when_it_is_read() {
    let inputs = Inputs {
        hostname: "h".to_owned(),
        ..Inputs::default()
    };
    let config = load(&inputs).unwrap().config;
    broker_config(&config, None).unwrap();
    controller_config(&config, None).unwrap();
    let mut read: BTreeSet<String> = config.settings.reads();
    let synonyms = TOPIC_KEYS
        .iter()
        .flat_map(|key| key.synonyms.iter().map(|synonym| synonym.name));
    let effective = synonyms.filter(|name| !IDLE_TOPIC_DEFAULTS.contains(name));
    read.extend(
        effective
            .chain(READ_FOR_LOGGING.iter().copied())
            .map(str::to_owned),
    );

    let listed: BTreeSet<String> = USED_KEYS.iter().map(|key| (*key).to_owned()).collect();
    assert!(USED_KEYS.is_sorted());
    assert_eq!(
        read.difference(&listed).collect::<Vec<_>>(),
        Vec::<&String>::new(),
        "read, but not listed"
    );
    assert_eq!(
        listed.difference(&read).collect::<Vec<_>>(),
        Vec::<&String>::new(),
        "listed, but not read"
    );
    for key in USED_KEYS {
        assert!(lookup(key).is_some(), "{key}");
    }
}

//! The table is consistent, and refused values get Kafka's words.

use super::*;

#[test]
fn the_table_is_sorted_and_every_default_is_valid() {
    assert!(TOPIC_KEYS.windows(2).all(|w| w[0].name < w[1].name));
    for key in TOPIC_KEYS {
        assert_eq!(key.validate(key.default), Ok(()), "{}", key.name);
        assert!(!key.doc.is_empty() && topic_key(key.name).is_some());
    }
    // Kafka 4.3 describes 33 keys; ack.durability is Milena's own.
    assert_eq!(TOPIC_KEYS.iter().filter(|k| !k.internal).count(), 34);
}

#[test]
fn refused_values_get_kafkas_words() {
    let cases = [
        ("retention.ms", "abc", "Not a number of type LONG"),
        ("retention.ms", "-2", "Value must be at least -1"),
        ("min.insync.replicas", "0", "Value must be at least 1"),
        ("preallocate", "yes", "Expected value to be either true or false"),
        ("cleanup.policy", "foo", "String must be one of: compact, delete"),
        ("min.cleanable.dirty.ratio", "1.5", "Value must be no more than 1"),
        (
            "compression.gzip.level",
            "0",
            "Value must be between 1 and 9 or equal to -1",
        ),
        ("segment.bytes", "100", "Value must be at least 1048576"),
        ("segment.bytes", "3000000000", "Not a number of type INT"),
        (
            "message.timestamp.type",
            "createtime",
            "String must be one of: CreateTime, LogAppendTime",
        ),
        (
            "ack.durability",
            "never",
            "String must be one of: flushed, replicated",
        ),
    ];
    for (name, value, reason) in cases {
        let error = topic_key(name).unwrap().validate(value).unwrap_err();
        assert_eq!(
            error.to_string(),
            format!("Invalid value {value} for configuration {name}: {reason}")
        );
    }
}

#[test]
fn refused_lists_get_kafkas_words() {
    let throttled = "leader.replication.throttled.replicas";
    let cases = [
        (
            "cleanup.policy",
            "delete,delete",
            "Configuration 'cleanup.policy' values must not be duplicated.".to_owned(),
        ),
        (
            "cleanup.policy",
            "delete,foo",
            "Invalid value foo for configuration cleanup.policy: String must be one of: compact, delete"
                .to_owned(),
        ),
        (
            throttled,
            "1-2",
            format!(
                "Invalid value [1-2] for configuration {throttled}: {throttled} must be the literal '*' or a list of \
                 replicas in the following format: [partitionId]:[brokerId],[partitionId]:[brokerId],..."
            ),
        ),
    ];
    for (name, value, text) in cases {
        assert_eq!(
            topic_key(name).unwrap().validate(value).unwrap_err().to_string(),
            text
        );
    }
}

#[test]
fn legal_values_are_taken() {
    for (name, value) in [
        ("cleanup.policy", " compact , delete "),
        ("cleanup.policy", ""),
        ("compression.gzip.level", "-1"),
        ("preallocate", "TRUE"),
        ("leader.replication.throttled.replicas", "*"),
        ("leader.replication.throttled.replicas", "0:1, 2:3"),
        ("min.cleanable.dirty.ratio", "0.25"),
    ] {
        assert_eq!(topic_key(name).unwrap().validate(value), Ok(()), "{name}={value}");
    }
}

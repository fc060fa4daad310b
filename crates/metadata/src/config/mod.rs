//! Topic configurations: the table of keys, defaults and synonyms, typed views, validation, description.
//!
//! A value is looked up in this order: the topic's own, then the broker-level synonyms in the order of the table
//! (each: set on this broker, set on all brokers, in the properties file), then Kafka's default. The
//! order is the one that DescribeConfigs shows. Source: `LogConfig`, `ServerTopicConfigSynonyms`.

pub mod broker;

mod defaults;
mod describe;
mod key;
mod lookup;
mod resource;
mod table;
mod throttled;
mod topic;
mod validate;

pub use defaults::BrokerDefaults;
pub use describe::{ConfigEntry, ConfigSynonymEntry, describe_created, describe_topic};
pub use key::{Check, ConfigError, ConfigKey, ConfigType, Synonym, Unit, is_broker_synonym};
pub use lookup::{ConfigSource, ack_durability, min_insync_replicas, unclean_leader_election};
pub use table::{TOPIC_KEYS, topic_key};
pub use throttled::ThrottledReplicas;
pub use topic::{CleanupPolicy, TimestampPolicy, TopicCompression, TopicConfig};
pub use validate::{ResourceConfigError, validate_broker, validate_resource, validate_topic};

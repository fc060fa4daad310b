//! The keys of a broker: Kafka's full table and Milena's own, which of them change at run time, and their description.
//!
//! `server.properties` is read by these tables, dynamic settings of brokers are checked by them, and DescribeConfigs
//! shows them. Source: `AbstractKafkaConfig.CONFIG_DEF`, `DynamicBrokerConfig`.

mod describe;
mod dynamic;
mod kafka_table;
mod key;
mod own_table;
mod quota_table;
mod validate;

pub use describe::{
    BrokerConfigEntry, BrokerSynonymEntry, StaticSettings, describe_broker, describe_dynamic,
};
pub use key::{Allowed, KeySpec, Kind, Value, all_keys, lookup};
pub(crate) use validate::list_default;
pub use validate::{BrokerConfigError, validate_broker_resource};

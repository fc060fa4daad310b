//! The keys of the resources that are neither topics nor brokers: groups and client-metrics subscriptions.
//!
//! Bounds that depend on broker settings are checked by the coordinator that reads them.
//! Source: `GroupConfig`, `ClientMetricsConfigs`.

use super::key::{Check, ConfigKey, ConfigType};

const fn key(name: &'static str, kind: ConfigType, default: &'static str, check: Check) -> ConfigKey {
    ConfigKey {
        name,
        kind,
        default,
        check,
        synonyms: &[],
        doc: "",
        sensitive: false,
        internal: false,
    }
}

/// Keys of `ConfigResource::Group`.
pub(super) const GROUP_KEYS: &[ConfigKey] = &[
    key(
        "consumer.session.timeout.ms",
        ConfigType::Int,
        "45000",
        Check::AtLeast(1),
    ),
    key(
        "consumer.heartbeat.interval.ms",
        ConfigType::Int,
        "5000",
        Check::AtLeast(1),
    ),
    key(
        "share.session.timeout.ms",
        ConfigType::Int,
        "45000",
        Check::AtLeast(1),
    ),
    key(
        "share.heartbeat.interval.ms",
        ConfigType::Int,
        "5000",
        Check::AtLeast(1),
    ),
    key(
        "share.record.lock.duration.ms",
        ConfigType::Int,
        "30000",
        Check::AtLeast(1000),
    ),
    key(
        "share.auto.offset.reset",
        ConfigType::String,
        "latest",
        Check::Any,
    ),
    key(
        "share.isolation.level",
        ConfigType::String,
        "read_uncommitted",
        Check::OneOf(&["read_committed", "read_uncommitted"]),
    ),
    key(
        "streams.session.timeout.ms",
        ConfigType::Int,
        "45000",
        Check::AtLeast(1),
    ),
    key(
        "streams.heartbeat.interval.ms",
        ConfigType::Int,
        "5000",
        Check::AtLeast(1),
    ),
    key(
        "streams.num.standby.replicas",
        ConfigType::Int,
        "0",
        Check::AtLeast(0),
    ),
    key(
        "streams.initial.rebalance.delay.ms",
        ConfigType::Int,
        "3000",
        Check::AtLeast(0),
    ),
];

/// Keys of `ConfigResource::ClientMetrics`.
pub(super) const CLIENT_METRICS_KEYS: &[ConfigKey] = &[
    key("metrics", ConfigType::List, "", Check::Any),
    key(
        "interval.ms",
        ConfigType::Int,
        "300000",
        Check::Between(100, 3_600_000),
    ),
    key("match", ConfigType::List, "", Check::Any),
];

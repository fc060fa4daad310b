//! Kafka's keys of brokers that can only be set at run time: `server.properties` does not know them. Data only, sorted by name.
//!
//! Source: `QuotaConfig.brokerQuotaConfigs`, `DynamicConfig.Broker`.

use super::key::Allowed::Min;
use super::key::Kind::Long;
use super::key::{KeySpec, key};

#[rustfmt::skip]
const QUOTA_KEYS: &[KeySpec] = &[
    key("follower.replication.throttled.rate", Long, Some("9223372036854775807"), Min(0)),
    key("leader.replication.throttled.rate", Long, Some("9223372036854775807"), Min(0)),
    key("replica.alter.log.dirs.io.max.bytes.per.second", Long, Some("9223372036854775807"), Min(0)),
];

/// The key of this name.
pub(super) fn quota_key(name: &str) -> Option<&'static KeySpec> {
    QUOTA_KEYS.iter().find(|spec| spec.name == name)
}

#[cfg(test)]
mod tests {
    use super::super::key::lookup;
    use super::*;

    #[test]
    fn they_are_in_no_properties_file() {
        assert!(QUOTA_KEYS.is_sorted_by_key(|spec| spec.name));
        assert!(QUOTA_KEYS.iter().all(|spec| lookup(spec.name).is_none()));
    }
}

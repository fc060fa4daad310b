//! The typed, effective configuration of one topic: what the log, the replication and the produce path read.

use super::defaults::BrokerDefaults;
use super::key::{parse_bool, parse_list};
use super::lookup::Lookup;
use super::throttled::ThrottledReplicas;
use crate::image::MetadataImage;
use milena_types::{AckDurability, TopicName};
use std::str::FromStr;

/// `cleanup.policy`; both, one or (with tiered storage) none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CleanupPolicy {
    /// Old segments are deleted by time and size.
    pub delete: bool,
    /// The last value of each key is kept.
    pub compact: bool,
}

/// `compression.type`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TopicCompression {
    /// Batches stay as the producer compressed them.
    #[default]
    Producer,
    /// No compression.
    Uncompressed,
    /// gzip.
    Gzip,
    /// snappy.
    Snappy,
    /// lz4.
    Lz4,
    /// zstd.
    Zstd,
}

/// `message.timestamp.type`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TimestampPolicy {
    /// The producer's time.
    #[default]
    CreateTime,
    /// The broker's time.
    LogAppendTime,
}

/// The effective configuration of one topic. Times in milliseconds, sizes in bytes; -1 keeps Kafka's "no limit".
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs)] // Every field is the key of the same name in `TOPIC_KEYS`, where its meaning is.
pub struct TopicConfig {
    pub ack_durability: AckDurability,
    pub cleanup_policy: CleanupPolicy,
    pub compression_type: TopicCompression,
    pub compression_gzip_level: i32,
    pub compression_lz4_level: i32,
    pub compression_zstd_level: i32,
    pub delete_retention_ms: i64,
    pub file_delete_delay_ms: i64,
    pub flush_messages: i64,
    pub flush_ms: i64,
    pub index_interval_bytes: i32,
    pub max_compaction_lag_ms: i64,
    pub max_message_bytes: i32,
    pub message_timestamp_after_max_ms: i64,
    pub message_timestamp_before_max_ms: i64,
    pub message_timestamp_type: TimestampPolicy,
    pub min_cleanable_dirty_ratio: f64,
    pub min_compaction_lag_ms: i64,
    pub min_insync_replicas: usize,
    pub preallocate: bool,
    pub retention_bytes: i64,
    pub retention_ms: i64,
    /// `internal.segment.bytes` when set, else `segment.bytes`.
    pub segment_bytes: i32,
    pub segment_index_bytes: i32,
    pub segment_jitter_ms: i64,
    pub segment_ms: i64,
    pub unclean_leader_election_enable: bool,
    pub leader_throttled: ThrottledReplicas,
    pub follower_throttled: ThrottledReplicas,
}

impl Default for TopicConfig {
    /// Kafka's defaults (and `ack.durability=flushed`), from the table.
    fn default() -> Self {
        let (image, defaults) = (MetadataImage::default(), BrokerDefaults::default());
        Self::read(&Lookup::with_overrides(&image, None, &defaults))
    }
}

impl TopicConfig {
    /// The configuration that counts for `topic` on the broker of `defaults`.
    #[must_use]
    pub fn effective(image: &MetadataImage, topic: &TopicName, defaults: &BrokerDefaults) -> Self {
        Self::read(&Lookup::of_topic(image, topic, defaults))
    }

    fn read(lookup: &Lookup<'_>) -> Self {
        fn number<T: FromStr + Default>(lookup: &Lookup<'_>, name: &str) -> T {
            lookup.parsed(name, |v| v.parse().ok())
        }
        let segment_bytes = match number::<i32>(lookup, "internal.segment.bytes") {
            0 => number(lookup, "segment.bytes"),
            bytes => bytes,
        };
        Self {
            ack_durability: lookup.parsed("ack.durability", AckDurability::parse),
            cleanup_policy: lookup.parsed("cleanup.policy", |v| Some(cleanup_policy(v))),
            compression_type: lookup.parsed("compression.type", compression),
            compression_gzip_level: number(lookup, "compression.gzip.level"),
            compression_lz4_level: number(lookup, "compression.lz4.level"),
            compression_zstd_level: number(lookup, "compression.zstd.level"),
            delete_retention_ms: number(lookup, "delete.retention.ms"),
            file_delete_delay_ms: number(lookup, "file.delete.delay.ms"),
            flush_messages: number(lookup, "flush.messages"),
            flush_ms: number(lookup, "flush.ms"),
            index_interval_bytes: number(lookup, "index.interval.bytes"),
            max_compaction_lag_ms: number(lookup, "max.compaction.lag.ms"),
            max_message_bytes: number(lookup, "max.message.bytes"),
            message_timestamp_after_max_ms: number(lookup, "message.timestamp.after.max.ms"),
            message_timestamp_before_max_ms: number(lookup, "message.timestamp.before.max.ms"),
            message_timestamp_type: lookup.parsed("message.timestamp.type", timestamp_policy),
            min_cleanable_dirty_ratio: number(lookup, "min.cleanable.dirty.ratio"),
            min_compaction_lag_ms: number(lookup, "min.compaction.lag.ms"),
            min_insync_replicas: number::<usize>(lookup, "min.insync.replicas").max(1),
            preallocate: lookup.parsed("preallocate", parse_bool),
            retention_bytes: number(lookup, "retention.bytes"),
            retention_ms: number(lookup, "retention.ms"),
            segment_bytes,
            segment_index_bytes: number(lookup, "segment.index.bytes"),
            segment_jitter_ms: number(lookup, "segment.jitter.ms"),
            segment_ms: number(lookup, "segment.ms"),
            leader_throttled: throttled(lookup, "leader.replication.throttled.replicas"),
            follower_throttled: throttled(lookup, "follower.replication.throttled.replicas"),
            unclean_leader_election_enable: lookup.parsed("unclean.leader.election.enable", parse_bool),
        }
    }
}

fn throttled(lookup: &Lookup<'_>, key: &str) -> ThrottledReplicas {
    lookup.parsed(key, |value| Some(ThrottledReplicas::parse(value)))
}

fn cleanup_policy(value: &str) -> CleanupPolicy {
    let items = parse_list(value);
    CleanupPolicy {
        delete: items.contains(&"delete"),
        compact: items.contains(&"compact"),
    }
}

fn compression(value: &str) -> Option<TopicCompression> {
    match value {
        "producer" => Some(TopicCompression::Producer),
        "uncompressed" => Some(TopicCompression::Uncompressed),
        "gzip" => Some(TopicCompression::Gzip),
        "snappy" => Some(TopicCompression::Snappy),
        "lz4" => Some(TopicCompression::Lz4),
        "zstd" => Some(TopicCompression::Zstd),
        _ => None,
    }
}

fn timestamp_policy(value: &str) -> Option<TimestampPolicy> {
    match value {
        "CreateTime" => Some(TimestampPolicy::CreateTime),
        "LogAppendTime" => Some(TimestampPolicy::LogAppendTime),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{ConfigResource, MetadataBatch, MetadataRecord};
    use milena_types::BrokerId;

    fn set(image: &mut MetadataImage, resource: ConfigResource, key: &str, value: &str) {
        let record = MetadataRecord::Config {
            resource,
            key: key.into(),
            value: Some(value.into()),
        };
        image
            .apply(&MetadataBatch {
                expected_version: image.version,
                records: vec![record],
            })
            .unwrap();
    }

    #[test]
    fn defaults_are_kafkas() {
        let config = TopicConfig::default();
        assert_eq!(config.retention_ms, 7 * 24 * 3_600_000);
        assert_eq!(
            (config.segment_bytes, config.max_message_bytes),
            (1 << 30, 1_048_588)
        );
        assert_eq!(
            config.cleanup_policy,
            CleanupPolicy {
                delete: true,
                compact: false
            }
        );
        assert_eq!((config.flush_messages, config.min_insync_replicas), (i64::MAX, 1));
        assert!((config.min_cleanable_dirty_ratio - 0.5).abs() < 1e-9);
        assert_eq!(config.ack_durability, AckDurability::Flushed);
        assert_eq!(config.compression_zstd_level, 3);
    }

    #[test]
    fn the_strongest_source_wins() {
        let topic = TopicName::new("t").unwrap();
        let mut image = MetadataImage::default();
        let file = [
            ("log.retention.hours", "1"),
            ("log.segment.bytes", "nonsense"),
            ("node.id", "1"),
        ];
        let defaults =
            BrokerDefaults::new(Some(BrokerId(1)), file.map(|(k, v)| (k.to_owned(), v.to_owned())));
        let retention = |image: &MetadataImage| TopicConfig::effective(image, &topic, &defaults).retention_ms;
        assert_eq!(retention(&image), 3_600_000);
        assert_eq!(
            TopicConfig::effective(&image, &topic, &defaults).segment_bytes,
            1 << 30
        );
        set(
            &mut image,
            ConfigResource::Broker(None),
            "log.retention.minutes",
            "2",
        );
        assert_eq!(retention(&image), 120_000, "minutes are stronger than hours");
        set(&mut image, ConfigResource::Broker(None), "log.retention.ms", "5");
        set(
            &mut image,
            ConfigResource::Broker(Some(BrokerId(2))),
            "log.retention.ms",
            "6",
        );
        assert_eq!(retention(&image), 5, "another broker's setting does not count");
        set(
            &mut image,
            ConfigResource::Broker(Some(BrokerId(1))),
            "log.retention.ms",
            "7",
        );
        assert_eq!(retention(&image), 7);
        set(
            &mut image,
            ConfigResource::Topic(topic.clone()),
            "retention.ms",
            "-1",
        );
        assert_eq!(retention(&image), -1);
    }

    #[test]
    fn no_limit_survives_the_change_of_unit() {
        let file = [("log.retention.hours".to_owned(), "-1".to_owned())];
        let defaults = BrokerDefaults::new(None, file);
        let topic = TopicName::new("t").unwrap();
        assert_eq!(
            TopicConfig::effective(&MetadataImage::default(), &topic, &defaults).retention_ms,
            -1
        );
    }
}

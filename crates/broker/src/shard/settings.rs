//! The settings of partitions: one shared value per topic, made from the image when it is first needed.

use crate::config::BrokerConfig;
use milena_log::LogConfig;
use milena_log::compaction::CompactionRules;
use milena_metadata::MetadataImage;
use milena_metadata::config::{
    BrokerDefaults, ThrottledReplicas, TimestampPolicy, TopicCompression, TopicConfig,
};
use milena_record::{Compression, TimestampType};
use milena_replication::LeaderRules;
use milena_types::{AckDurability, TopicName};
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

/// What a topic's configuration means for each of its partitions.
#[derive(Debug)]
pub(crate) struct PartitionSettings {
    pub(super) log: Arc<LogConfig>,
    pub(super) rules: Arc<LeaderRules>,
    pub(super) compaction: CompactionRules,
    pub(super) ack_durability: AckDurability,
    /// `flush.messages`, for topics that do not flush before every acknowledgement.
    pub(super) flush_messages: i64,
    /// `flush.ms`, likewise; `None`: never.
    pub(super) flush_after: Option<Duration>,
    pub(super) throttled: Throttled,
}

/// The replicas of a topic whose replication keeps to a rate.
#[derive(Debug)]
pub(super) struct Throttled {
    /// Where the leader's counts.
    pub(super) leader: ThrottledReplicas,
    /// Where the follower's counts.
    pub(super) follower: ThrottledReplicas,
}

/// The settings of all topics that have a partition on this data thread.
pub(crate) struct SettingsCache {
    defaults: BrokerDefaults,
    lag_time_max: Duration,
    producer_expiration_ms: i64,
    topics: HashMap<TopicName, Rc<PartitionSettings>>,
}

impl SettingsCache {
    pub(super) fn new(config: &BrokerConfig) -> Self {
        Self {
            defaults: config.topic_defaults.clone(),
            lag_time_max: config.replica.lag_time_max,
            producer_expiration_ms: millis(config.log_work.producer_id_expiration),
            topics: HashMap::new(),
        }
    }

    /// The topic's settings.
    pub(super) fn of(&mut self, image: &MetadataImage, topic: &TopicName) -> Rc<PartitionSettings> {
        if let Some(settings) = self.topics.get(topic) {
            return Rc::clone(settings);
        }
        let config = TopicConfig::effective(image, topic, &self.defaults);
        let settings = Rc::new(self.make(&config));
        self.topics.insert(topic.clone(), Rc::clone(&settings));
        settings
    }

    /// A topic's configuration changed, or the topic is gone; `None`: a default of all topics changed.
    pub(super) fn forget(&mut self, topic: Option<&TopicName>) {
        match topic {
            Some(topic) => drop(self.topics.remove(topic)),
            None => self.topics.clear(),
        }
    }

    fn make(&self, config: &TopicConfig) -> PartitionSettings {
        PartitionSettings {
            log: Arc::new(log_config(config, self.producer_expiration_ms)),
            rules: Arc::new(LeaderRules {
                min_insync_replicas: config.min_insync_replicas,
                lag_time_max: self.lag_time_max,
            }),
            compaction: CompactionRules {
                min_cleanable_dirty_ratio: config.min_cleanable_dirty_ratio,
                min_compaction_lag_ms: config.min_compaction_lag_ms,
                max_compaction_lag_ms: config.max_compaction_lag_ms,
                delete_retention_ms: config.delete_retention_ms,
            },
            ack_durability: config.ack_durability,
            flush_messages: config.flush_messages.max(1),
            throttled: Throttled {
                leader: config.leader_throttled.clone(),
                follower: config.follower_throttled.clone(),
            },
            flush_after: (config.flush_ms < i64::MAX)
                .then(|| Duration::from_millis(u64::try_from(config.flush_ms).unwrap_or_default())),
        }
    }
}

fn log_config(config: &TopicConfig, producer_expiration_ms: i64) -> LogConfig {
    let (compression, compression_level) = match config.compression_type {
        TopicCompression::Producer => (None, None),
        TopicCompression::Uncompressed => (Some(Compression::None), None),
        TopicCompression::Gzip => (Some(Compression::Gzip), Some(config.compression_gzip_level)),
        TopicCompression::Snappy => (Some(Compression::Snappy), None),
        TopicCompression::Lz4 => (Some(Compression::Lz4), Some(config.compression_lz4_level)),
        TopicCompression::Zstd => (Some(Compression::Zstd), Some(config.compression_zstd_level)),
    };
    LogConfig {
        segment_bytes: u64::try_from(config.segment_bytes).unwrap_or(1 << 30),
        segment_ms: segment_ms(config),
        segment_jitter_ms: config.segment_jitter_ms,
        segment_index_bytes: u32::try_from(config.segment_index_bytes).unwrap_or(10 << 20),
        index_interval_bytes: u32::try_from(config.index_interval_bytes).unwrap_or(4096),
        retention_ms: config.retention_ms,
        retention_bytes: config.retention_bytes,
        max_message_bytes: usize::try_from(config.max_message_bytes).unwrap_or_default(),
        message_timestamp_type: match config.message_timestamp_type {
            TimestampPolicy::CreateTime => TimestampType::CreateTime,
            TimestampPolicy::LogAppendTime => TimestampType::LogAppendTime,
        },
        timestamp_before_max_ms: config.message_timestamp_before_max_ms,
        timestamp_after_max_ms: config.message_timestamp_after_max_ms,
        compression,
        compression_level,
        compact: config.cleanup_policy.compact,
        delete: config.cleanup_policy.delete,
        producer_expiration_ms,
        file_delete_delay_ms: config.file_delete_delay_ms,
        ..LogConfig::default()
    }
}

/// A record cannot be compacted before its segment is closed. Source: `LogConfig.maxSegmentMs`.
fn segment_ms(config: &TopicConfig) -> i64 {
    if config.cleanup_policy.compact && config.max_compaction_lag_ms > 0 {
        config.segment_ms.min(config.max_compaction_lag_ms)
    } else {
        config.segment_ms
    }
}

/// Milliseconds, as configurations count them.
pub(super) fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

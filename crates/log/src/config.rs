//! The settings of one log: the part of a topic's configuration that storage obeys.

use milena_record::{Compression, TimestampType};

/// Settings of one log; [`Default`] holds Kafka's defaults. Source: `LogConfig.java`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogConfig {
    /// `segment.bytes`: size at which a segment is closed; at least one batch always fits. Default 1 GiB.
    pub segment_bytes: u64,
    /// `segment.ms`: age (of the first record's timestamp) at which a segment is closed. Default 7 days.
    pub segment_ms: i64,
    /// `segment.jitter.ms`: up to this much is taken off `segment_ms`, spread over partitions. Default 0.
    pub segment_jitter_ms: i64,
    /// `segment.index.bytes`: size at which an index is full and its segment closed. Default 10 MiB.
    pub segment_index_bytes: u32,
    /// `index.interval.bytes`: bytes of batches between two index entries. Default 4096.
    pub index_interval_bytes: u32,
    /// `retention.ms`: age (of a segment's largest timestamp) at which it may go; -1 for never. Default 7 days.
    pub retention_ms: i64,
    /// `retention.bytes`: size of the log above which the oldest segments go; -1 for no limit. Default -1.
    pub retention_bytes: i64,
    /// `max.message.bytes`: largest batch, as stored, with its 12 bytes of overhead. Default 1048588.
    pub max_message_bytes: usize,
    /// `message.timestamp.type`. Default `CreateTime`.
    pub message_timestamp_type: TimestampType,
    /// `message.timestamp.before.max.ms`: how far a record's timestamp may lie behind the clock. Default: any.
    pub timestamp_before_max_ms: i64,
    /// `message.timestamp.after.max.ms`: how far it may lie ahead. Default 1 hour.
    pub timestamp_after_max_ms: i64,
    /// `compression.type`: `None` is `producer` (keep what came), else the codec to store with. Default `None`.
    pub compression: Option<Compression>,
    /// `compression.gzip.level` and its siblings, for `compression`; `None` is the codec's default.
    pub compression_level: Option<i32>,
    /// `cleanup.policy` contains `compact`. Default false.
    pub compact: bool,
    /// `cleanup.policy` contains `delete`. Default true.
    pub delete: bool,
    /// `producer.id.expiration.ms`: how long a silent producer is remembered. Default 1 day.
    pub producer_expiration_ms: i64,
    /// `file.delete.delay.ms`: how long a deleted segment's files stay, renamed. Default 60 s.
    pub file_delete_delay_ms: i64,
    /// Most bytes a compressed batch may unpack to when it must be looked into. Default 256 MiB;
    /// checking it holds none of them.
    pub decompressed_bytes_max: usize,
}

impl Default for LogConfig {
    fn default() -> Self {
        const HOUR_MS: i64 = 3_600_000;
        Self {
            segment_bytes: 1 << 30,
            segment_ms: 7 * 24 * HOUR_MS,
            segment_jitter_ms: 0,
            segment_index_bytes: 10 << 20,
            index_interval_bytes: 4096,
            retention_ms: 7 * 24 * HOUR_MS,
            retention_bytes: -1,
            max_message_bytes: 1_048_588,
            message_timestamp_type: TimestampType::CreateTime,
            timestamp_before_max_ms: i64::MAX,
            timestamp_after_max_ms: HOUR_MS,
            compression: None,
            compression_level: None,
            compact: false,
            delete: true,
            producer_expiration_ms: 24 * HOUR_MS,
            file_delete_delay_ms: 60_000,
            decompressed_bytes_max: 256 << 20,
        }
    }
}

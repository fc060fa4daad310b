//! Every topic configuration key of Kafka 4.3, and `ack.durability`.
//!
//! Sorted by name (a test holds it so): lookup is a binary search. Source: `LogConfig.CONFIG`,
//! `ServerTopicConfigSynonyms.ALL_TOPIC_CONFIG_SYNONYMS`.

use super::key::{Check, ConfigKey, ConfigType, Synonym, Unit};
use Check::{Any, AtLeast, Between, BetweenOr, ListOf, OneOf, ThrottledReplicas};
use ConfigType::{Boolean, Double, Int, List, Long, String};

const NEVER: &str = "9223372036854775807";

const fn same(name: &'static str) -> Synonym {
    Synonym {
        name,
        unit: Unit::Same,
    }
}

const fn minutes(name: &'static str) -> Synonym {
    Synonym {
        name,
        unit: Unit::Minutes,
    }
}

const fn hours(name: &'static str) -> Synonym {
    Synonym {
        name,
        unit: Unit::Hours,
    }
}

const fn key(
    name: &'static str,
    kind: ConfigType,
    default: &'static str,
    check: Check,
    synonyms: &'static [Synonym],
    doc: &'static str,
) -> ConfigKey {
    ConfigKey {
        name,
        kind,
        default,
        check,
        synonyms,
        doc,
        sensitive: false,
        internal: false,
    }
}

/// The key of that name.
#[must_use]
pub fn topic_key(name: &str) -> Option<&'static ConfigKey> {
    TOPIC_KEYS
        .binary_search_by(|k| k.name.cmp(name))
        .ok()
        .and_then(|at| TOPIC_KEYS.get(at))
}

/// All keys, sorted by name.
pub static TOPIC_KEYS: &[ConfigKey] = &[
    key(
        "ack.durability",
        String,
        "flushed",
        OneOf(&["flushed", "replicated"]),
        &[same("ack.durability")],
        "When a replica counts towards acks=all: once the records are on its disk (flushed) or in its page cache \
         (replicated, Kafka's contract).",
    ),
    key(
        "cleanup.policy",
        List,
        "delete",
        ListOf(&["compact", "delete"]),
        &[same("log.cleanup.policy")],
        "What happens to old segments: delete discards them by time or size, compact keeps the last value of each \
         key; both may be given.",
    ),
    key(
        "compression.gzip.level",
        Int,
        "-1",
        BetweenOr(1, 9, -1),
        &[same("compression.gzip.level")],
        "The level when compression.type is gzip.",
    ),
    key(
        "compression.lz4.level",
        Int,
        "9",
        Between(1, 17),
        &[same("compression.lz4.level")],
        "The level when compression.type is lz4.",
    ),
    key(
        "compression.type",
        String,
        "producer",
        OneOf(&["uncompressed", "zstd", "lz4", "snappy", "gzip", "producer"]),
        &[same("compression.type")],
        "The codec in which batches are stored; producer keeps the codec that the producer chose.",
    ),
    key(
        "compression.zstd.level",
        Int,
        "3",
        Between(-131_072, 22),
        &[same("compression.zstd.level")],
        "The level when compression.type is zstd.",
    ),
    key(
        "delete.retention.ms",
        Long,
        "86400000",
        AtLeast(0),
        &[same("log.cleaner.delete.retention.ms")],
        "How long tombstones of compacted topics are kept, which bounds the time for a full read.",
    ),
    key(
        "file.delete.delay.ms",
        Long,
        "60000",
        AtLeast(0),
        &[same("log.segment.delete.delay.ms")],
        "How long a file is kept after it was taken out of its log.",
    ),
    key(
        "flush.messages",
        Long,
        NEVER,
        AtLeast(1),
        &[same("log.flush.interval.messages")],
        "After how many records the log is written to disk by force.",
    ),
    key(
        "flush.ms",
        Long,
        NEVER,
        AtLeast(0),
        &[
            same("log.flush.interval.ms"),
            same("log.flush.scheduler.interval.ms"),
        ],
        "After what time the log is written to disk by force.",
    ),
    key(
        "follower.replication.throttled.replicas",
        List,
        "",
        ThrottledReplicas,
        &[],
        "Replicas whose replication is throttled at the follower: * or partition:broker,...",
    ),
    key(
        "index.interval.bytes",
        Int,
        "4096",
        AtLeast(0),
        &[same("log.index.interval.bytes")],
        "How many bytes of records lie between two entries of the offset index.",
    ),
    ConfigKey {
        name: "internal.segment.bytes",
        kind: Int,
        default: "0",
        check: AtLeast(0),
        synonyms: &[],
        doc: "The segment size for tests, below the minimum of segment.bytes; 0 is unset.",
        sensitive: false,
        internal: true,
    },
    key(
        "leader.replication.throttled.replicas",
        List,
        "",
        ThrottledReplicas,
        &[],
        "Replicas whose replication is throttled at the leader: * or partition:broker,...",
    ),
    key(
        "local.retention.bytes",
        Long,
        "-2",
        AtLeast(-2),
        &[same("log.local.retention.bytes")],
        "The size of the local part of a tiered log; -2 is retention.bytes.",
    ),
    key(
        "local.retention.ms",
        Long,
        "-2",
        AtLeast(-2),
        &[same("log.local.retention.ms")],
        "The age of the local part of a tiered log; -2 is retention.ms.",
    ),
    key(
        "max.compaction.lag.ms",
        Long,
        NEVER,
        AtLeast(1),
        &[same("log.cleaner.max.compaction.lag.ms")],
        "The longest time that a record of a compacted topic stays uncompacted.",
    ),
    key(
        "max.message.bytes",
        Int,
        "1048588",
        AtLeast(0),
        &[same("message.max.bytes")],
        "The largest record batch that is accepted, after compression.",
    ),
    key(
        "message.timestamp.after.max.ms",
        Long,
        "3600000",
        AtLeast(0),
        &[same("log.message.timestamp.after.max.ms")],
        "How far a record's time may be ahead of the broker's clock (CreateTime only).",
    ),
    key(
        "message.timestamp.before.max.ms",
        Long,
        NEVER,
        AtLeast(0),
        &[same("log.message.timestamp.before.max.ms")],
        "How far a record's time may be behind the broker's clock (CreateTime only).",
    ),
    key(
        "message.timestamp.type",
        String,
        "CreateTime",
        OneOf(&["CreateTime", "LogAppendTime"]),
        &[same("log.message.timestamp.type")],
        "Whether a record's time is the producer's (CreateTime) or the broker's (LogAppendTime).",
    ),
    key(
        "min.cleanable.dirty.ratio",
        Double,
        "0.5",
        Between(0, 1),
        &[same("log.cleaner.min.cleanable.ratio")],
        "The share of uncompacted bytes from which a log is compacted.",
    ),
    key(
        "min.compaction.lag.ms",
        Long,
        "0",
        AtLeast(0),
        &[same("log.cleaner.min.compaction.lag.ms")],
        "The shortest time that a record of a compacted topic stays uncompacted.",
    ),
    key(
        "min.insync.replicas",
        Int,
        "1",
        AtLeast(1),
        &[same("min.insync.replicas")],
        "How many replicas must be in sync for a write with acks=all to be accepted.",
    ),
    key(
        "preallocate",
        Boolean,
        "false",
        Any,
        &[same("log.preallocate")],
        "Whether a segment's file is allocated when it is created.",
    ),
    key(
        "remote.log.copy.disable",
        Boolean,
        "false",
        Any,
        &[],
        "Whether the tiered part of a log is read only.",
    ),
    key(
        "remote.log.delete.on.disable",
        Boolean,
        "false",
        Any,
        &[],
        "Whether the tiered part of a log goes when tiered storage is switched off.",
    ),
    key(
        "remote.storage.enable",
        Boolean,
        "false",
        Any,
        &[],
        "Whether old segments move to tiered storage.",
    ),
    key(
        "retention.bytes",
        Long,
        "-1",
        Any,
        &[same("log.retention.bytes")],
        "The size of a partition above which old segments are deleted; -1 is no limit.",
    ),
    key(
        "retention.ms",
        Long,
        "604800000",
        AtLeast(-1),
        &[
            same("log.retention.ms"),
            minutes("log.retention.minutes"),
            hours("log.retention.hours"),
        ],
        "The age at which old segments are deleted; -1 is no limit.",
    ),
    key(
        "segment.bytes",
        Int,
        "1073741824",
        AtLeast(1024 * 1024),
        &[same("log.segment.bytes")],
        "The size at which a new segment is begun.",
    ),
    key(
        "segment.index.bytes",
        Int,
        "10485760",
        AtLeast(4),
        &[same("log.index.size.max.bytes")],
        "The largest size of an index file.",
    ),
    key(
        "segment.jitter.ms",
        Long,
        "0",
        AtLeast(0),
        &[same("log.roll.jitter.ms"), hours("log.roll.jitter.hours")],
        "The largest random time by which a new segment is begun earlier than segment.ms.",
    ),
    key(
        "segment.ms",
        Long,
        "604800000",
        AtLeast(1),
        &[same("log.roll.ms"), hours("log.roll.hours")],
        "The age at which a new segment is begun.",
    ),
    key(
        "unclean.leader.election.enable",
        Boolean,
        "false",
        Any,
        &[same("unclean.leader.election.enable")],
        "Whether a replica that is not in sync may lead as a last resort, at the price of records.",
    ),
];

#[cfg(test)]
#[path = "table_test.rs"]
mod tests;

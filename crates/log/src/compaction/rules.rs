//! Which part of a log may be compacted now, and is it worth it? Source: `LogCleanerManager.cleanableOffsets`,
//! `LogToClean.java`.

use milena_types::Offset;

/// The settings that compaction obeys; [`Default`] holds Kafka's.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CompactionRules {
    /// `min.cleanable.dirty.ratio`: share of bytes that are dirty above which a log is compacted. Default 0.5.
    pub min_cleanable_dirty_ratio: f64,
    /// `min.compaction.lag.ms`: a segment with a younger record is left alone. Default 0.
    pub min_compaction_lag_ms: i64,
    /// `max.compaction.lag.ms`: a log with an older dirty record is compacted whatever its ratio. Default: never.
    pub max_compaction_lag_ms: i64,
    /// `delete.retention.ms`: how long a tombstone stays after the pass that saw it first. Default 1 day.
    pub delete_retention_ms: i64,
}

impl Default for CompactionRules {
    fn default() -> Self {
        Self {
            min_cleanable_dirty_ratio: 0.5,
            min_compaction_lag_ms: 0,
            max_compaction_lag_ms: i64::MAX,
            delete_retention_ms: 24 * 3_600_000,
        }
    }
}

/// What of a log could be compacted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cleanable {
    /// Below it the log was compacted before.
    pub first_dirty: Offset,
    /// Nothing at or past it may be touched; the base of a segment.
    pub upper: Offset,
    /// Bytes of the segments below `first_dirty`.
    pub clean_bytes: u64,
    /// Bytes of the segments from `first_dirty` to `upper`.
    pub dirty_bytes: u64,
    /// How long ago `max.compaction.lag.ms` had passed for the oldest of them, in milliseconds; 0: not yet.
    pub delay_ms: i64,
}

impl Cleanable {
    /// Share of the bytes that are dirty, 0 to 1.
    #[must_use]
    pub fn dirty_ratio(&self) -> f64 {
        let total = self.clean_bytes + self.dirty_bytes;
        if total == 0 {
            return 0.0;
        }
        // Sizes of logs are far below 2^53.
        #[expect(clippy::cast_precision_loss, reason = "a ratio of bytes")]
        let ratio = self.dirty_bytes as f64 / total as f64;
        ratio
    }

    /// Is it time?
    #[must_use]
    pub fn is_due(&self, rules: &CompactionRules) -> bool {
        self.dirty_bytes > 0 && (self.delay_ms > 0 || self.dirty_ratio() > rules.min_cleanable_dirty_ratio)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn due_by_ratio_or_by_age() {
        let log = |clean_bytes, dirty_bytes, delay_ms| Cleanable {
            first_dirty: Offset(0),
            upper: Offset(9),
            clean_bytes,
            dirty_bytes,
            delay_ms,
        };
        let rules = CompactionRules::default();
        for (cleanable, due) in [
            (log(0, 0, 1), false),
            (log(0, 1, 0), true),
            (log(50, 50, 0), false),
            (log(49, 51, 0), true),
            (log(99, 1, 1), true),
        ] {
            assert_eq!(cleanable.is_due(&rules), due, "{cleanable:?}");
        }
    }
}

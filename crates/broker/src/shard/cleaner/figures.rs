//! What the cleaner tells of itself, and how it becomes Kafka's metrics.
//!
//! Source: `LogCleaner.registerMetrics`, `LogCleanerManager.registerMetrics`. A thread that has not compacted anything yet
//! counts as 0 (Kafka's clean time is then a negative number).

use super::choose::Candidate;
use milena_log::compaction::CompactionStats;
use milena_metrics::Metric;
use std::time::{Duration, Instant};

/// Of one thread.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct ThreadFigures {
    /// Of its last compaction that came to its end.
    pub(super) last: LastPass,
    /// When it last found a log to compact: for how long the most overdue log had been.
    pub(super) delay_ms: i64,
    /// It ended of itself.
    pub(super) is_dead: bool,
}

/// Of one compaction.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct LastPass {
    /// Share of the key map that was in use.
    pub(super) utilization: f64,
    pub(super) stats: CompactionStats,
    pub(super) took: Duration,
}

/// The logs of one directory that cannot be compacted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Uncleanable {
    pub(super) partitions: u64,
    pub(super) bytes: u64,
}

/// Of all threads.
#[derive(Clone, Debug)]
pub(super) struct Figures {
    /// By the thread's number.
    pub(super) threads: Vec<ThreadFigures>,
    /// The dirty share of the dirtiest log when some thread last looked for one.
    pub(super) max_dirty_ratio: f64,
    /// When that was.
    pub(super) last_run: Instant,
    /// By the directory's index.
    pub(super) uncleanable: Vec<Uncleanable>,
}

impl Figures {
    pub(super) fn new(dirs: usize, now: Instant) -> Self {
        Self {
            threads: Vec::new(),
            max_dirty_ratio: 0.0,
            last_run: now,
            uncleanable: vec![Uncleanable::default(); dirs],
        }
    }

    /// A thread looks for a log; these have something to compact.
    pub(super) fn on_run(&mut self, candidates: &[Candidate]) {
        let ratios = candidates
            .iter()
            .map(|candidate| candidate.cleanable.dirty_ratio());
        self.max_dirty_ratio = ratios.fold(0.0, f64::max);
    }

    /// The metrics; `dir` is the path of each directory.
    pub(super) fn metrics(&self, dirs: &[String], now: Instant) -> Vec<Metric> {
        let of_all = |of: &dyn Fn(&ThreadFigures) -> f64| self.threads.iter().map(of).fold(0.0, f64::max);
        let sum = |of: &dyn Fn(&CompactionStats) -> u64| -> f64 {
            whole(self.threads.iter().map(|thread| of(&thread.last.stats)).sum())
        };
        let recopied = sum(&|stats| stats.bytes_after) / sum(&|stats| stats.bytes_before).max(1.0);
        let dead = self.threads.iter().filter(|thread| thread.is_dead).count();
        let since = now.saturating_duration_since(self.last_run);
        let cleaner =
            |name, help, value: f64| Metric::new(("kafka.log", "LogCleaner"), name, help, value.trunc());
        let manager = |name, help, value: f64| {
            Metric::new(("kafka.log", "LogCleanerManager"), name, help, value.trunc())
        };
        let mut metrics = vec![
            cleaner(
                "max-buffer-utilization-percent",
                "Largest share of the key map that the last compaction of a thread has used.",
                of_all(&|thread| thread.last.utilization * 100.0),
            ),
            cleaner(
                "cleaner-recopy-percent",
                "Bytes that the threads' last compactions have kept, of those that were there before.",
                recopied * 100.0,
            ),
            cleaner(
                "max-clean-time-secs",
                "Longest time that the last compaction of a thread has taken.",
                of_all(&|thread| thread.last.took.as_secs_f64()),
            ),
            cleaner(
                "max-compaction-delay-secs",
                "For how long the log that was most overdue had been past max.compaction.lag.ms.",
                of_all(&|thread| whole(u64::try_from(thread.delay_ms).unwrap_or_default()) / 1000.0),
            ),
            cleaner(
                "DeadThreadCount",
                "Cleaner threads that have ended of themselves.",
                whole(dead as u64),
            ),
            manager(
                "max-dirty-percent",
                "Dirty share of the dirtiest log.",
                self.max_dirty_ratio * 100.0,
            ),
            manager(
                "time-since-last-run-ms",
                "Since a cleaner thread last looked for a log to compact.",
                since.as_secs_f64() * 1000.0,
            ),
        ];
        for (dir, found) in dirs.iter().zip(&self.uncleanable) {
            let count = "Partitions with records that cannot be read, which are compacted no more.";
            let count = manager("uncleanable-partitions-count", count, whole(found.partitions));
            let bytes = "Bytes of them that wait to be compacted.";
            let bytes = manager("uncleanable-bytes", bytes, whole(found.bytes));
            metrics.extend([count, bytes].map(|metric| metric.with_tag("logDirectory", dir.clone())));
        }
        metrics
    }
}

#[expect(clippy::cast_precision_loss, reason = "metrics are floating point")]
fn whole(count: u64) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use milena_log::compaction::{Cleanable, CompactionRules};
    use milena_types::{Offset, PartitionIndex, TopicId, TopicIdPartition};

    fn value(metrics: &[Metric], name: &str, tag: Option<&str>) -> f64 {
        let of = |metric: &&Metric| metric.name == name && metric.tags.first().map(|tag| &*tag.1) == tag;
        let found: Vec<f64> = metrics.iter().filter(of).filter_map(Metric::number).collect();
        assert_eq!(found.len(), 1, "{name} {tag:?}");
        found[0]
    }

    fn thread(utilization: f64, before: u64, after: u64, took_ms: u64, delay_ms: i64) -> ThreadFigures {
        let stats = CompactionStats {
            bytes_before: before,
            bytes_after: after,
            ..CompactionStats::default()
        };
        let last = LastPass {
            utilization,
            stats,
            took: Duration::from_millis(took_ms),
        };
        ThreadFigures {
            last,
            delay_ms,
            is_dead: false,
        }
    }

    #[test]
    fn the_largest_of_the_threads_counts_and_of_bytes_the_sum() {
        let now = Instant::now();
        let mut figures = Figures::new(2, now);
        let names = [
            "max-buffer-utilization-percent",
            "cleaner-recopy-percent",
            "max-clean-time-secs",
            "max-compaction-delay-secs",
            "DeadThreadCount",
            "max-dirty-percent",
            "time-since-last-run-ms",
        ];
        let dirs = ["/a".to_owned(), "/b".to_owned()];
        let nothing = figures.metrics(&dirs, now);
        for name in names {
            assert_eq!(value(&nothing, name, None), 0.0, "{name}");
        }
        figures.threads = vec![
            thread(0.129, 300, 100, 7_999, 500),
            thread(0.5, 100, 60, 2_000, 61_000),
            thread(0.0, 0, 0, 0, 0),
        ];
        figures.threads[2].is_dead = true;
        figures.uncleanable[1] = Uncleanable {
            partitions: 2,
            bytes: 1234,
        };
        let then = figures.metrics(&dirs, now + Duration::from_millis(1500));
        for (name, expected) in names.into_iter().zip([50.0, 40.0, 7.0, 61.0, 1.0, 0.0, 1500.0]) {
            assert_eq!(value(&then, name, None), expected, "{name}");
        }
        for (dir, partitions, bytes) in [("/a", 0.0, 0.0), ("/b", 2.0, 1234.0)] {
            assert_eq!(
                value(&then, "uncleanable-partitions-count", Some(dir)),
                partitions
            );
            assert_eq!(value(&then, "uncleanable-bytes", Some(dir)), bytes);
        }
    }

    #[test]
    fn the_dirtiest_log_counts_whether_it_is_due_or_not() {
        let candidate = |clean_bytes, dirty_bytes| Candidate {
            id: TopicIdPartition {
                topic: TopicId::default(),
                partition: PartitionIndex(0),
            },
            cleanable: Cleanable {
                first_dirty: Offset(0),
                upper: Offset(9),
                clean_bytes,
                dirty_bytes,
                delay_ms: 0,
            },
            rules: CompactionRules::default(),
        };
        let mut figures = Figures::new(0, Instant::now());
        figures.on_run(&[candidate(90, 10), candidate(60, 40)]);
        let metrics = figures.metrics(&[], Instant::now());
        assert_eq!(value(&metrics, "max-dirty-percent", None), 40.0);
        figures.on_run(&[]);
        let metrics = figures.metrics(&[], Instant::now());
        assert_eq!(value(&metrics, "max-dirty-percent", None), 0.0);
    }
}

//! How often something took how long.

use crate::{Metric, Value};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// The upper ends of the buckets in milliseconds; beyond the last there is one more.
const BOUNDS_MS: [u64; 14] = [
    1, 5, 10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 30_000, 60_000,
];

/// Durations, counted in fixed buckets from 1 ms to 60 s.
///
/// May be shared by threads; each observation is two additions, and what is read meanwhile may lack one of them.
#[derive(Debug, Default)]
pub struct Histogram {
    buckets: [AtomicU64; BOUNDS_MS.len() + 1],
    micros: AtomicU64,
}

/// What a histogram shows at one moment.
#[derive(Clone, Debug, PartialEq)]
pub struct Distribution {
    /// (upper end in seconds, observations up to it), ascending; the last end is infinite and its count that of all.
    pub buckets: Vec<(f64, u64)>,
    /// Of all observations, in seconds.
    pub sum: f64,
}

impl Histogram {
    /// It took so long once.
    pub fn observe(&self, took: Duration) {
        let at = BOUNDS_MS.partition_point(|bound| Duration::from_millis(*bound) < took);
        if let Some(bucket) = self.buckets.get(at) {
            bucket.fetch_add(1, Ordering::Relaxed);
        }
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        self.micros.fetch_add(micros, Ordering::Relaxed);
    }

    /// As it is now.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "figures for people")]
    pub fn distribution(&self) -> Distribution {
        let mut all = 0;
        let ends = BOUNDS_MS.map(|bound| bound as f64 / 1_000.0);
        let ends = ends.into_iter().chain([f64::INFINITY]);
        let buckets = ends.zip(&self.buckets).map(|(end, count)| {
            all += count.load(Ordering::Relaxed);
            (end, all)
        });
        Distribution {
            buckets: buckets.collect(),
            sum: self.micros.load(Ordering::Relaxed) as f64 / 1_000_000.0,
        }
    }

    /// As a figure of that name.
    #[must_use]
    pub fn metric(
        &self,
        (domain, kind): (&'static str, &'static str),
        name: &'static str,
        help: &'static str,
    ) -> Metric {
        Metric {
            domain,
            kind,
            name,
            help,
            tags: Vec::new(),
            value: Value::Distribution(self.distribution()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_observation_is_counted_in_each_bucket_that_it_fits() {
        let histogram = Histogram::default();
        for millis in [0, 1, 2, 1_000, 61_000] {
            histogram.observe(Duration::from_millis(millis));
        }
        histogram.observe(Duration::from_micros(1_001));
        let shown = histogram.distribution();
        let up_to = |end: f64| {
            shown
                .buckets
                .iter()
                .find(|bucket| bucket.0 == end)
                .map(|bucket| bucket.1)
        };
        assert_eq!(up_to(0.001), Some(2));
        assert_eq!(up_to(0.005), Some(4));
        assert_eq!(up_to(0.5), Some(4));
        assert_eq!(up_to(1.0), Some(5));
        assert_eq!(up_to(60.0), Some(5));
        assert_eq!(up_to(f64::INFINITY), Some(6));
        assert!((shown.sum - 62.004_001).abs() < 1e-9);
    }
}

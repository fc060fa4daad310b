//! The cleaner's settings as they are now: what the file says, and over it what was altered at run time; and by how much the
//! number of threads may change at once.
//!
//! Source: `LogCleaner.RECONFIGURABLE_CONFIGS`, `LogCleaner.validateReconfiguration`.

use crate::config::CleanerConfig;
use std::collections::BTreeMap;
use std::str::FromStr;
use std::time::Duration;

/// Settings that were made at run time, by key.
pub(in crate::shard) type Altered<'a> = Option<&'a BTreeMap<String, String>>;

/// Settings of the cleaner that a running broker does not take, in Kafka's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CleanerRefused {
    /// Not a mebibyte for each thread.
    #[error("requirement failed: log.cleaner.dedupe.buffer.size must be at least 1MB per cleaner thread.")]
    Buffer,
    /// There must be a thread. A Kafka broker that is asked (4.3.1) gets to say only `/ by zero`, before it comes to this.
    #[error("Log cleaner threads should be at least 1")]
    NoThread,
    /// Too few.
    #[error("Log cleaner threads cannot be reduced to less than half the current value {0}")]
    TooFew(usize),
    /// Too many.
    #[error("Log cleaner threads cannot be increased to more than double the current value {0}")]
    TooMany(usize),
}

/// Whether `current` threads may become `wanted`.
pub(super) fn check_threads(current: usize, wanted: usize) -> Result<(), CleanerRefused> {
    if wanted == current {
        // Also none, where there is no cleaner.
        return Ok(());
    }
    if wanted < 1 {
        return Err(CleanerRefused::NoThread);
    }
    if wanted < current / 2 {
        return Err(CleanerRefused::TooFew(current));
    }
    if wanted > current.saturating_mul(2) {
        return Err(CleanerRefused::TooMany(current));
    }
    Ok(())
}

/// Whether the threads have room for their key maps. Source: `KafkaConfig.validateValues`.
pub(super) fn check_buffer(settings: &CleanerConfig) -> Result<(), CleanerRefused> {
    let per_thread = settings.dedupe_buffer_bytes / settings.threads.max(1);
    if per_thread > 1 << 20 {
        Ok(())
    } else {
        Err(CleanerRefused::Buffer)
    }
}

/// The settings that hold on this broker: those made for it alone go over those for all brokers, and these over the file's.
/// Values were checked when they were altered; one that does not parse is not taken.
pub(super) fn effective(file: &CleanerConfig, all: Altered<'_>, own: Altered<'_>) -> CleanerConfig {
    let mut effective = file.clone();
    for values in [all, own].into_iter().flatten() {
        let get = |key: &str| values.get(key).map(String::as_str);
        take(&mut effective.threads, get("log.cleaner.threads"));
        take(
            &mut effective.dedupe_buffer_bytes,
            get("log.cleaner.dedupe.buffer.size"),
        );
        take(
            &mut effective.load_factor,
            get("log.cleaner.io.buffer.load.factor"),
        );
        take(
            &mut effective.io_bytes_per_second,
            get("log.cleaner.io.max.bytes.per.second"),
        );
        if let Some(backoff) = get("log.cleaner.backoff.ms").and_then(|text| text.trim().parse().ok()) {
            effective.backoff = Duration::from_millis(backoff);
        }
    }
    effective
}

fn take<T: FromStr>(into: &mut T, text: Option<&str>) {
    if let Some(value) = text.and_then(|text| text.trim().parse().ok()) {
        *into = value;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_brokers_own_value_goes_over_that_of_all_and_both_over_the_file() {
        let set = |values: &[(&str, &str)]| -> BTreeMap<String, String> {
            let owned = values.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned()));
            owned.collect()
        };
        let all = set(&[
            ("log.cleaner.backoff.ms", "7"),
            ("log.cleaner.dedupe.buffer.size", "1000"),
            ("log.cleaner.threads", "3"),
        ]);
        let own = set(&[
            ("log.cleaner.dedupe.buffer.size", "2000"),
            ("log.cleaner.io.max.bytes.per.second", "5.5"),
            ("log.cleaner.io.buffer.load.factor", "no number"),
        ]);
        let file = CleanerConfig::default();
        let both = effective(&file, Some(&all), Some(&own));
        let expected = CleanerConfig {
            threads: 3,
            backoff: Duration::from_millis(7),
            dedupe_buffer_bytes: 2000,
            io_bytes_per_second: 5.5,
            ..file.clone()
        };
        assert_eq!(both, expected);
        assert_eq!(effective(&file, Some(&all), None).dedupe_buffer_bytes, 1000);
        assert_eq!(effective(&file, None, None), file);
    }

    #[test]
    fn threads_change_by_half_or_double_at_most() {
        for (current, wanted, text) in [
            (1, 1, ""),
            (1, 2, ""),
            (5, 2, ""),
            (4, 8, ""),
            (1, 0, "Log cleaner threads should be at least 1"),
            (
                4,
                1,
                "Log cleaner threads cannot be reduced to less than half the current value 4",
            ),
            (
                4,
                9,
                "Log cleaner threads cannot be increased to more than double the current value 4",
            ),
        ] {
            let error =
                check_threads(current, wanted).map_or_else(|error| error.to_string(), |()| String::new());
            assert_eq!(error, text, "{current} to {wanted}");
        }
    }

    #[test]
    fn each_thread_has_more_than_a_mebibyte() {
        let settings = |threads, dedupe_buffer_bytes| CleanerConfig {
            threads,
            dedupe_buffer_bytes,
            ..CleanerConfig::default()
        };
        for (threads, bytes, is_enough) in [
            (1, 1 << 20, false),
            (1, (1 << 20) + 1, true),
            (2, 2 << 20, false),
            (2, (2 << 20) + 2, true),
        ] {
            let found = check_buffer(&settings(threads, bytes));
            assert_eq!(found.is_ok(), is_enough, "{bytes} of {threads}");
        }
    }
}

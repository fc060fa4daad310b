//! The cleaner's settings as they are now: what the file says, and over it what was altered at run time.
//!
//! `log.cleaner.threads` is read at the start only. Source: `LogCleaner.RECONFIGURABLE_CONFIGS`.

use crate::config::CleanerConfig;
use milena_metadata::MetadataImage;
use milena_metadata::record::ConfigResource;
use milena_types::BrokerId;
use std::str::FromStr;
use std::time::Duration;

/// The settings that hold on this broker. Values were checked when they were altered; one that does not parse is not taken.
pub(super) fn effective(config: &CleanerConfig, image: &MetadataImage, node: BrokerId) -> CleanerConfig {
    let mut effective = config.clone();
    // The broker's own values go over those of all brokers.
    for resource in [ConfigResource::Broker(None), ConfigResource::Broker(Some(node))] {
        let Some(values) = image.configs.get(&resource) else {
            continue;
        };
        let get = |key: &str| values.get(key).map(String::as_str);
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
    use milena_metadata::record::{MetadataBatch, MetadataRecord};

    #[test]
    fn the_brokers_own_value_goes_over_that_of_all_and_both_over_the_file() {
        let set = |resource, key: &str, value: &str| MetadataRecord::Config {
            resource,
            key: key.to_owned(),
            value: Some(value.to_owned()),
        };
        let mut image = MetadataImage::default();
        let records = vec![
            set(ConfigResource::Broker(None), "log.cleaner.backoff.ms", "7"),
            set(
                ConfigResource::Broker(None),
                "log.cleaner.dedupe.buffer.size",
                "1000",
            ),
            set(
                ConfigResource::Broker(Some(BrokerId(1))),
                "log.cleaner.dedupe.buffer.size",
                "2000",
            ),
            set(
                ConfigResource::Broker(Some(BrokerId(2))),
                "log.cleaner.io.max.bytes.per.second",
                "5.5",
            ),
        ];
        let expected_version = image.version;
        image
            .apply(&MetadataBatch {
                expected_version,
                records,
            })
            .unwrap();
        let file = CleanerConfig::default();
        let one = effective(&file, &image, BrokerId(1));
        let expected = CleanerConfig {
            backoff: Duration::from_millis(7),
            dedupe_buffer_bytes: 2000,
            ..file.clone()
        };
        assert_eq!(one, expected);
        let two = effective(&file, &image, BrokerId(2));
        assert_eq!((two.dedupe_buffer_bytes, two.io_bytes_per_second), (1000, 5.5));
    }
}

//! The settings of background work that may be altered while the broker runs: the cleaner's, and the rates of moves between
//! directories and of throttled replication.
//!
//! The first data thread hands them on when the metadata changes. Source: `BrokerConfigHandler.processConfigChanges`.

use super::availability::AvailabilityFigures;
use super::cleaner::{Cleaner, CleanerRefused};
use super::id::ShardId;
use super::link::ReplicationQuotas;
use super::pace::Pacer;
use super::preparers::Preparers;
use super::quarantine::{Gates, TruncationFigures};
use super::router::Router;
use super::state::Shard;
use milena_metadata::MetadataDelta;
use milena_metadata::record::ConfigResource;
use milena_metrics::Metric;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

/// Bytes per second that all moves between directories may write together. Source: `QuotaConfig`.
const MOVES_RATE: &str = "replica.alter.log.dirs.io.max.bytes.per.second";

/// Bytes per second that throttled replicas here may take, and be sent, together. Source: KIP-73.
const FOLLOWER_RATE: &str = "follower.replication.throttled.rate";
const LEADER_RATE: &str = "leader.replication.throttled.rate";

/// Keys of brokers that take effect here at run time, sorted.
const BACKGROUND_KEYS: &[&str] = &[
    FOLLOWER_RATE,
    LEADER_RATE,
    "log.cleaner.backoff.ms",
    "log.cleaner.dedupe.buffer.size",
    "log.cleaner.io.buffer.load.factor",
    "log.cleaner.io.max.bytes.per.second",
    "log.cleaner.threads",
    MOVES_RATE,
];

/// The background work of a broker, its rates and its figures, for all data threads.
#[derive(Clone, Debug)]
pub(super) struct Background {
    pub(super) cleaner: Arc<Cleaner>,
    /// Of moves between directories.
    pub(super) moves: Arc<Pacer>,
    /// Of the quarantines.
    pub(super) gates: Arc<Gates>,
    pub(super) truncated: Arc<TruncationFigures>,
    pub(super) availability: Arc<AvailabilityFigures>,
    pub(super) quotas: Arc<ReplicationQuotas>,
    /// Of heavy batches.
    pub(super) preparers: Arc<Preparers>,
}

impl Background {
    pub(super) fn new(cleaner: Arc<Cleaner>, shards: usize) -> Self {
        Self {
            cleaner,
            moves: Arc::default(),
            gates: Arc::default(),
            truncated: Arc::default(),
            quotas: Arc::default(),
            preparers: Preparers::new(shards),
            availability: Arc::new(AvailabilityFigures::new(shards)),
        }
    }

    #[cfg(test)]
    pub(super) fn none(mailboxes: &super::mailbox::Mailboxes) -> Self {
        let off = crate::config::CleanerConfig {
            enable: false,
            ..Default::default()
        };
        let cleaners = super::cleaner::Cleaners::start(&off, Vec::new(), mailboxes).unwrap();
        Self::new(cleaners.cleaner(), mailboxes.len())
    }
}

impl Shard {
    /// Hands the settings on, if this is the first data thread, and they are new.
    pub(super) fn follow_background(&mut self, is_first: bool, delta: &MetadataDelta) {
        let is_broker = |resource: &ConfigResource| matches!(resource, ConfigResource::Broker(_));
        if self.cx.shard != ShardId(0) || !(is_first || delta.configs.iter().any(is_broker)) {
            return;
        }
        let image = &self.cx.image;
        let of = |broker| image.configs.get(&ConfigResource::Broker(broker));
        let (all, own) = (of(None), of(Some(self.cx.node)));
        let (all, own) = (all.map(AsRef::as_ref), own.map(AsRef::as_ref));
        let background = &self.cx.background;
        background.cleaner.follow(all, own);
        let quotas = &background.quotas;
        for (pacer, key) in [
            (&*background.moves, MOVES_RATE),
            (&quotas.leader, LEADER_RATE),
            (&quotas.follower, FOLLOWER_RATE),
        ] {
            pacer.set_rate(rate(key, all, own), Instant::now());
        }
    }
}

/// The broker's own value goes over that of all brokers; without either there is no limit, whatever its file says.
fn rate(key: &str, all: Option<&BTreeMap<String, String>>, own: Option<&BTreeMap<String, String>>) -> f64 {
    let values = [own, all].into_iter().flatten();
    let mut rates = values.filter_map(|values| values.get(key)?.trim().parse::<i64>().ok());
    #[expect(clippy::cast_precision_loss, reason = "a rate of bytes")]
    rates.next().map_or(f64::MAX, |rate| rate as f64)
}

impl Router {
    /// Whether this broker takes the settings of all brokers and its own, while it runs, as they would be.
    ///
    /// # Errors
    /// [`CleanerRefused`].
    pub fn check_settings(
        &self,
        all: Option<&BTreeMap<String, String>>,
        own: Option<&BTreeMap<String, String>>,
    ) -> Result<(), CleanerRefused> {
        self.background.cleaner.check(all, own)
    }

    /// Figures of the background work, and of what the partitions do.
    #[must_use]
    pub fn metrics(&self) -> Vec<Metric> {
        let mut metrics = self.background.cleaner.metrics();
        metrics.extend(self.background.truncated.metrics());
        metrics.extend(self.background.availability.metrics());
        metrics
    }
}

/// True when some broker key takes effect here at run time.
#[must_use]
pub fn is_background_key(key: &str) -> bool {
    BACKGROUND_KEYS.binary_search(&key).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_brokers_own_rate_of_moves_goes_over_that_of_all() {
        assert!(BACKGROUND_KEYS.is_sorted());
        let set = |value: &str| BTreeMap::from([(MOVES_RATE.to_owned(), value.to_owned())]);
        let (five, seven, none) = (set("5"), set("7"), BTreeMap::new());
        for (all, own, expected) in [
            (None, None, f64::MAX),
            (Some(&none), Some(&none), f64::MAX),
            (Some(&five), None, 5.0),
            (Some(&five), Some(&none), 5.0),
            (Some(&five), Some(&seven), 7.0),
            (
                None,
                Some(&set("9223372036854775807")),
                9_223_372_036_854_775_807.0,
            ),
        ] {
            assert_eq!(rate(MOVES_RATE, all, own), expected);
        }
    }
}

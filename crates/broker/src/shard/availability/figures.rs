//! The figures of a broker.

use crate::shard::id::ShardId;
use milena_metrics::{Histogram, Metric};
use std::sync::atomic::{AtomicU64, Ordering};

/// The figures of a broker since its start.
#[derive(Debug, Default)]
pub(in crate::shard) struct AvailabilityFigures {
    pub(in crate::shard) first_ack: Histogram,
    isr: [AtomicU64; IsrChange::ALL.len()],
    /// By data thread, as of its last tick.
    at_risk: Box<[AtomicU64]>,
}

/// What became of an ISR change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::shard) enum IsrChange {
    /// Somebody left.
    Shrinks,
    /// Somebody came.
    Expands,
    /// It was refused, or the controller did not answer.
    Failed,
}

impl IsrChange {
    const ALL: [Self; 3] = [Self::Shrinks, Self::Expands, Self::Failed];

    /// Kafka's name and what it is. Source: `ReplicaManager` (IsrShrinksPerSec and the others; their counts).
    const fn name(self) -> (&'static str, &'static str) {
        match self {
            Self::Shrinks => ("IsrShrinks_total", "ISRs that have become smaller here."),
            Self::Expands => ("IsrExpands_total", "ISRs that have become larger here."),
            Self::Failed => (
                "FailedIsrUpdates_total",
                "ISR changes that the controller did not make.",
            ),
        }
    }
}

impl AvailabilityFigures {
    pub(in crate::shard) fn new(shards: usize) -> Self {
        Self {
            at_risk: (0..shards).map(|_| AtomicU64::new(0)).collect(),
            ..Self::default()
        }
    }

    pub(in crate::shard) fn isr(&self, change: IsrChange) {
        self.isr[change as usize].fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn set_at_risk(&self, shard: ShardId, records: u64) {
        if let Some(of_shard) = self.at_risk.get(shard.0) {
            of_shard.store(records, Ordering::Relaxed);
        }
    }

    pub(in crate::shard) fn metrics(&self) -> Vec<Metric> {
        let mut metrics = vec![self.first_ack.metric(
            ("milena", "failover"),
            "first_ack_seconds",
            "From taking over a leadership to the first acknowledged batch of a producer that waited.",
        )];
        for change in IsrChange::ALL {
            let (name, help) = change.name();
            let count = self.isr[change as usize].load(Ordering::Relaxed);
            metrics.push(Metric::count(
                ("kafka.server", "ReplicaManager"),
                name,
                help,
                count,
            ));
        }
        let help =
            "Committed records, of partitions led here, that no more than min.insync.replicas replicas have.";
        let at_risk = self
            .at_risk
            .iter()
            .map(|of_shard| of_shard.load(Ordering::Relaxed));
        metrics.push(Metric::count(
            ("milena", "records"),
            "at_risk",
            help,
            at_risk.sum(),
        ));
        metrics
    }
}

//! How many records truncations have taken.

use milena_metrics::Metric;
use milena_replication::Loss;
use std::sync::atomic::{AtomicU64, Ordering};

/// Why records went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::shard) enum LossKind {
    /// They were never acknowledged: a tail that a clean election left behind.
    Clean,
    /// An unclean election.
    Unclean,
    /// They were committed, and there was no unclean election.
    Unexplained,
}

impl LossKind {
    const ALL: [Self; 3] = [Self::Clean, Self::Unclean, Self::Unexplained];

    /// Of a truncation that loses this.
    pub(in crate::shard) fn of(loss: Option<&Loss>) -> Self {
        match loss {
            None => Self::Clean,
            Some(loss) if loss.unclean_epoch.is_some() => Self::Unclean,
            Some(_) => Self::Unexplained,
        }
    }

    fn as_str(self) -> &'static str {
        match self {
            Self::Clean => "clean",
            Self::Unclean => "unclean",
            Self::Unexplained => "unexplained",
        }
    }
}

/// Records that replicas of this broker have cut from their logs, since the start.
#[derive(Debug, Default)]
pub(in crate::shard) struct TruncationFigures {
    records: [AtomicU64; 3],
}

impl TruncationFigures {
    /// A truncation has taken so many offsets.
    pub(in crate::shard) fn add(&self, kind: LossKind, records: i64) {
        let count = u64::try_from(records).unwrap_or_default();
        self.records[kind as usize].fetch_add(count, Ordering::Relaxed);
    }

    pub(in crate::shard) fn metrics(&self) -> Vec<Metric> {
        let help = "Records that replicas here have cut from the end of their logs, by why.";
        let row = |kind: LossKind| {
            let count = self.records[kind as usize].load(Ordering::Relaxed);
            Metric::count(("milena", "records"), "truncated_total", help, count)
                .with_tag("election", kind.as_str())
        };
        LossKind::ALL.map(row).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use milena_types::{LeaderEpoch, Offset};

    #[test]
    fn each_kind_is_counted_by_itself() {
        let loss = |unclean: Option<i32>| Loss {
            from_epoch: None,
            unclean_epoch: unclean.map(LeaderEpoch),
            lost_from: Offset(1),
            committed_to: Offset(2),
            lost_to: Offset(3),
        };
        let figures = TruncationFigures::default();
        figures.add(LossKind::of(None), 1);
        figures.add(LossKind::of(Some(&loss(Some(4)))), 20);
        figures.add(LossKind::of(Some(&loss(None))), 300);
        figures.add(LossKind::Clean, 1);
        let rows: Vec<_> = figures
            .metrics()
            .into_iter()
            .map(|row| (row.tags[0].1.clone(), row.number().unwrap() as i64))
            .collect();
        let expected = [("clean", 2), ("unclean", 20), ("unexplained", 300)];
        assert_eq!(rows, expected.map(|(kind, count)| (kind.to_owned(), count)));
    }
}

//! How many records one failure more would leave with too few replicas.

use super::state::Leader;

impl Leader {
    /// Committed records that no more than `min.insync.replicas` of the replicas have; 0 for a topic that has no more replicas
    /// than that, because it is never otherwise.
    ///
    /// A replica that has not attached in this epoch is taken to have what there was when the epoch began: a lower bound.
    #[must_use]
    pub fn at_risk(&self) -> u64 {
        let min_isr = self.effective_min_isr();
        let unknown = self.epoch_start.min(self.high_watermark);
        let ends = self
            .replicas()
            .map(|replica| replica.ends.map_or(unknown, |ends| ends.advertised));
        let mut ends: Vec<_> = ends.collect();
        ends.sort_unstable_by(|a, b| b.cmp(a));
        let Some(safe) = ends.get(min_isr) else { return 0 };
        u64::try_from(self.high_watermark.0 - safe.0).unwrap_or(0)
    }
}

//! The figures of one controller, from what it sees and commits.

use super::between;
use super::changes::{Change, Changes, Reason};
use super::outages::Outages;
use super::signs::Signs;
use milena_metadata::config::BrokerDefaults;
use milena_metadata::image::MetadataImage;
use milena_metrics::{Histogram, Metric};
use milena_types::{BrokerId, Timestamp};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// The figures of one controller since its start: what it has seen while it was the active one.
#[derive(Debug, Default)]
pub(crate) struct Availability {
    pub(super) detect: Histogram,
    pub(super) elect: Histogram,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    signs: Signs,
    outages: Outages,
    elections: [u64; Reason::ALL.len()],
    unclean_elections: u64,
    /// Until when the outages have been told: none gets shorter.
    told: Timestamp,
}

impl Availability {
    /// This node is the active controller from now on: what is out now is out since now, as far as it knows. Signs are good
    /// for `patience`.
    pub(in crate::planner) fn begin(
        &self,
        image: &MetadataImage,
        defaults: &BrokerDefaults,
        patience: Duration,
        now: Timestamp,
    ) {
        let patience = i64::try_from(patience.as_millis()).unwrap_or(i64::MAX);
        let mut state = self.state();
        state.signs.keep_since(Timestamp(now.0.saturating_sub(patience)));
        state.outages.begin(image, defaults, now);
    }

    /// It is no longer; from `until` on another one may count.
    pub(in crate::planner) fn end(&self, until: Timestamp) {
        let mut state = self.state();
        let until = until.max(state.told);
        state.outages.end(until);
        state.signs = Signs::default();
    }

    /// A broker may be dead: its connection broke, or it was last heard of, at `at`.
    pub(crate) fn suspect(&self, broker: BrokerId, at: Timestamp) {
        self.state().signs.suspect(broker, at);
    }

    /// It is alive.
    pub(crate) fn clear(&self, broker: BrokerId) {
        self.state().signs.clear(broker);
    }

    /// A batch that was decided at `decided` is committed at `now`, and with it so many unclean elections.
    pub(in crate::planner) fn on_committed(
        &self,
        changes: &Changes,
        after: &MetadataImage,
        defaults: &BrokerDefaults,
        unclean_elections: u64,
        (decided, now): (Timestamp, Timestamp),
    ) {
        let mut state = self.state();
        state.unclean_elections += unclean_elections;
        for broker in &changes.lost {
            let sign = state.signs.take(*broker).unwrap_or(decided);
            let moved = |change: &Change| change.lost_leader == Some(*broker);
            if changes.partitions.iter().any(moved) {
                self.detect.observe(between(sign, decided));
                self.elect.observe(between(decided, now));
            }
            for change in changes.partitions.iter().filter(|change| moved(change)) {
                state.outages.lost_its_leader(change.id, sign);
            }
        }
        for change in &changes.partitions {
            state.outages.becomes(change.id, change.outage, now);
            if let Some(reason) = change.election {
                state.elections[reason as usize] += 1;
            }
        }
        if changes.all {
            state.outages.look_at_all(after, defaults, now);
        }
    }

    /// The figures, with the names of the topics in `image`.
    pub(crate) fn metrics(&self, image: &MetadataImage, now: Timestamp) -> Vec<Metric> {
        const FAILOVER: (&str, &str) = ("milena", "failover");
        let mut state = self.state();
        state.told = state.told.max(now);
        let mut metrics = vec![
            self.detect.metric(
                FAILOVER,
                "detect_seconds",
                "From the first sign of a leading broker's death to the decision to fence it.",
            ),
            self.elect.metric(
                FAILOVER,
                "elect_seconds",
                "From that decision to the commit of the new leaders.",
            ),
        ];
        metrics.push(Metric::count(
            ("kafka.controller", "ControllerStats"),
            "UncleanLeaderElections_total",
            "Elections of leaders that may lack acknowledged records, since this node started.",
            state.unclean_elections,
        ));
        for reason in Reason::ALL {
            let help = "Leaderships that moved, by why.";
            let count = state.elections[reason as usize];
            let metric = Metric::count(("milena", "elections"), "total", help, count);
            metrics.push(metric.with_tag("reason", reason.as_str()));
        }
        metrics.extend(state.outages.metrics(image, now));
        metrics
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Counts only: whatever a panic left is good enough.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

//! The elections that the active controller holds by itself: when they are due, and at which rate.
//!
//! ```text
//! preferred leaders   every leader.imbalance.check.interval.seconds, at most FAILBACK_BATCH in FAILBACK_PAUSE until all are done
//! unclean             every unclean.leader.election.interval.ms, at most ELECTIONS_PER_BATCH at once, the rest soon after
//! ```
//! Source: `ReplicationControlManager.maybeBalancePartitionLeaders`, `PeriodicTask` (IMMEDIATE reschedule).

use super::job::{Answer, Job, TypedJob};
use milena_metadata::plan::{self, Planned};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::time::Instant;

/// How many partitions are looked after in one batch. Source: `ReplicationControlManager.MAX_ELECTIONS_PER_IMBALANCE`.
const ELECTIONS_PER_BATCH: usize = 1_000;
/// The pause before what is left of them.
const REST_PAUSE: Duration = Duration::from_millis(10);
/// So many leaderships at most go back to their preferred replicas in one [`FAILBACK_PAUSE`]: their clients have to follow.
const FAILBACK_BATCH: usize = 100;
const FAILBACK_PAUSE: Duration = Duration::from_secs(1);

/// One kind of election, again and again.
struct Recurring {
    interval: Duration,
    /// The pause before the rest of what one batch could not take.
    pause: Duration,
    at: Instant,
    /// The last batch has left something.
    more: Arc<AtomicBool>,
}

impl Recurring {
    fn new(interval: Duration, pause: Duration, at: Instant) -> Self {
        let more = Arc::default();
        Self {
            interval,
            pause,
            at,
            more,
        }
    }

    /// True when it is due; from then on the next one is.
    fn take(&mut self, now: Instant) -> bool {
        if self.more.swap(false, Ordering::Relaxed) {
            self.at = self.at.min(now + self.pause);
        }
        let due = self.at <= now;
        if due {
            self.at = now + self.interval;
        }
        due
    }

    /// The job for one batch; its reply says whether it has left something.
    fn job(
        &self,
        mut plan: impl FnMut(&super::job::View<'_>) -> Planned<bool> + Send + 'static,
    ) -> Box<dyn Job> {
        let (answer, answered) = oneshot::channel::<Answer<bool>>();
        let more = Arc::clone(&self.more);
        tokio::spawn(async move {
            if let Ok(Ok((true, _))) = answered.await {
                more.store(true, Ordering::Relaxed);
            }
        });
        Box::new(TypedJob {
            plan: Box::new(move |view| plan(view)),
            alone: false,
            note: Box::new(|_, _, _, _| {}),
            reply: None,
            answer,
        })
    }
}

/// When the elections of a term are due.
pub(super) struct PeriodicElections {
    preferred: Option<Recurring>,
    unclean: Recurring,
}

impl PeriodicElections {
    /// At the beginning of a term. `rebalance` is `None` without `auto.leader.rebalance.enable`.
    pub(super) fn new(rebalance: Option<Duration>, unclean: Duration) -> Self {
        let now = Instant::now();
        Self {
            preferred: rebalance.map(|interval| Recurring::new(interval, FAILBACK_PAUSE, now + interval)),
            unclean: Recurring::new(unclean, REST_PAUSE, now),
        }
    }

    /// When the next one is due, as far as is known.
    pub(super) fn next(&self) -> Instant {
        let preferred = self.preferred.iter().map(|recurring| recurring.at);
        preferred.fold(self.unclean.at, Instant::min)
    }

    /// What is due now.
    pub(super) fn due(&mut self, now: Instant) -> Vec<Box<dyn Job>> {
        let mut jobs = Vec::new();
        if self.unclean.take(now) {
            let elect = |view: &super::job::View<'_>| {
                plan::elect_unclean_leaders(view.image, ELECTIONS_PER_BATCH, &view.context)
            };
            jobs.push(self.unclean.job(elect));
        }
        if let Some(preferred) = &mut self.preferred
            && preferred.take(now)
        {
            let elect = |view: &super::job::View<'_>| {
                plan::elect_preferred_leaders(view.image, FAILBACK_BATCH, &view.context)
            };
            jobs.push(preferred.job(elect));
        }
        jobs
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_follows_after_the_pause_and_the_next_round_after_the_interval() {
        let (interval, pause) = (Duration::from_secs(300), Duration::from_secs(1));
        let begin = Instant::now();
        let mut recurring = Recurring::new(interval, pause, begin + interval);
        assert!(!recurring.take(begin));
        let first = begin + interval;
        assert!(recurring.take(first));
        assert!(!recurring.take(first + pause), "nothing was left");
        recurring.more.store(true, Ordering::Relaxed);
        let told = first + pause * 2;
        assert!(!recurring.take(told), "not without the pause");
        assert!(recurring.take(told + pause));
        assert!(!recurring.take(told + pause * 2));
        assert!(recurring.take(told + pause + interval));
    }
}

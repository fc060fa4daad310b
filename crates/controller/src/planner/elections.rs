//! The elections that the active controller holds by itself: when they are due, and at which rate.
//!
//! ```text
//! preferred leaders   every leader.imbalance.check.interval.seconds, at most FAILBACK_BATCH in FAILBACK_PAUSE until all are done
//! unclean             every unclean.leader.election.interval.ms, at most ELECTIONS_PER_BATCH at once, the rest soon after
//! ```
//! Source: `ReplicationControlManager.maybeBalancePartitionLeaders`, `PeriodicTask` (IMMEDIATE reschedule).

use super::job::{Answer, Job, TypedJob, View};
use milena_metadata::plan::{self, Planned};
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
    /// Whether the last batch has left something, once that is known.
    last: Option<oneshot::Receiver<Answer<bool>>>,
}

impl Recurring {
    fn new(interval: Duration, pause: Duration, at: Instant) -> Self {
        Self {
            interval,
            pause,
            at,
            last: None,
        }
    }

    /// The job for the next batch, when it is due.
    fn take(
        &mut self,
        now: Instant,
        plan: impl FnMut(&View<'_>) -> Planned<bool> + Send + 'static,
    ) -> Option<Box<dyn Job>> {
        if let Some(last) = &mut self.last
            && let Ok(Ok((true, _))) = last.try_recv()
        {
            self.at = self.at.min(now + self.pause);
        }
        if now < self.at {
            return None;
        }
        self.at = now + self.interval;
        let (job, answer) = TypedJob::own("periodic election", plan);
        self.last = Some(answer);
        Some(job)
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
    pub(super) fn due(&mut self, now: Instant) -> impl Iterator<Item = Box<dyn Job>> + use<> {
        let unclean = self.unclean.take(now, |view| {
            plan::elect_unclean_leaders(view.image, ELECTIONS_PER_BATCH, &view.context)
        });
        let preferred = self.preferred.as_mut().and_then(|preferred| {
            preferred.take(now, |view| {
                plan::elect_preferred_leaders(view.image, FAILBACK_BATCH, &view.context)
            })
        });
        unclean.into_iter().chain(preferred)
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
        let take = |recurring: &mut Recurring, at| recurring.take(at, |_| Planned::reply(true)).is_some();
        let answer = |recurring: &mut Recurring, more| {
            let (answer, answered) = oneshot::channel();
            recurring.last = Some(answered);
            let _ = answer.send(Ok((more, milena_types::MetadataVersion(1))));
        };
        assert!(!take(&mut recurring, begin));
        let first = begin + interval;
        assert!(take(&mut recurring, first));
        assert!(!take(&mut recurring, first + pause), "no answer yet");
        answer(&mut recurring, false);
        assert!(!take(&mut recurring, first + pause), "nothing was left");
        answer(&mut recurring, true);
        let told = first + pause * 2;
        assert!(!take(&mut recurring, told), "not without the pause");
        assert!(take(&mut recurring, told + pause));
        assert!(!take(&mut recurring, told + pause * 2));
        assert!(take(&mut recurring, told + pause + interval));
    }
}

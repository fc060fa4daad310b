//! Timing without idle wake-ups: raft's own ticker runs only while there is something to time.
//!
//! openraft ticks five times per heartbeat interval on every node, for ever. Here a leader triggers its heartbeats
//! itself, and a follower that hears from its leader lets the ticker rest; it runs again as soon as the leader has been
//! silent for a lease. Election timeouts are measured by raft from the last contact, not in ticks: nothing comes later.

use super::caught_up::CaughtUp;
use super::types::{Raft, TypeConfig};
use openraft::alias::WatchReceiverOf;
use openraft::async_runtime::WatchReceiver;
use openraft::metrics::RaftServerMetrics;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::time::{Instant, sleep, sleep_until};

/// When this node last heard from a leader.
#[derive(Clone, Debug, Default)]
pub(crate) struct LastHeard(Arc<Mutex<Option<Instant>>>);

impl LastHeard {
    pub(crate) fn now(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    }

    /// A leader was heard less than `patience` ago.
    pub(crate) fn within(&self, patience: Duration) -> bool {
        self.get().is_some_and(|at| at.elapsed() < patience)
    }

    /// How long ago a leader was heard, if one ever was.
    pub(crate) fn ago(&self) -> Option<Duration> {
        self.get().map(|at| at.elapsed())
    }

    fn get(&self) -> Option<Instant> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What the ticker should do.
#[derive(Debug, PartialEq, Eq)]
enum Need {
    /// This node leads others: heartbeats, no ticks.
    Heartbeat,
    /// This node leads itself.
    Nothing,
    /// The leader is heard: nothing until then.
    Rest(Instant),
    /// Anything may be due: let raft tick.
    Tick,
}

/// `others`: how many other voters there are.
fn need(
    leads: bool,
    others: usize,
    follows: bool,
    heard: Option<Instant>,
    patience: Duration,
    now: Instant,
) -> Need {
    match heard.map(|at| at + patience) {
        _ if leads && others == 0 => Need::Nothing,
        _ if leads => Need::Heartbeat,
        Some(until) if follows && until > now => Need::Rest(until),
        _ => Need::Tick,
    }
}

/// Runs until raft stops. `patience` must not exceed the leader's lease.
pub(crate) async fn run(
    raft: Raft,
    heard: LastHeard,
    caught_up: CaughtUp,
    heartbeat: Duration,
    patience: Duration,
) {
    let mut metrics: WatchReceiverOf<TypeConfig, RaftServerMetrics<TypeConfig>> = raft.server_metrics();
    loop {
        let (leads, follows) = {
            let now = metrics.borrow_and_update();
            (
                now.state.is_leader(),
                now.current_leader.is_some_and(|leader| leader != now.id),
            )
        };
        let others = raft.voter_ids().count().saturating_sub(1);
        let need = need(leads, others, follows, heard.get(), patience, Instant::now());
        raft.runtime_config().tick(need == Need::Tick);
        let pause = async {
            match need {
                Need::Heartbeat => {
                    caught_up.note(&raft.metrics().borrow_watched());
                    let sent = raft.trigger().heartbeat().await;
                    sleep(heartbeat).await;
                    sent.is_ok()
                }
                Need::Nothing => std::future::pending().await,
                Need::Rest(until) => {
                    sleep_until(until).await;
                    true
                }
                Need::Tick => {
                    sleep(heartbeat).await;
                    true
                }
            }
        };
        tokio::select! {
            biased;
            changed = metrics.changed() => if changed.is_err() { return },
            alive = pause => if !alive { return },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_ticker_rests_only_behind_a_leader_that_is_heard() {
        let now = Instant::now();
        let patience = Duration::from_millis(400);
        let recent = now.checked_sub(Duration::from_millis(100));
        let old = now.checked_sub(Duration::from_millis(401));
        assert_eq!(need(true, 2, false, None, patience, now), Need::Heartbeat);
        assert_eq!(
            need(true, 0, false, None, patience, now),
            Need::Nothing,
            "a single voter"
        );
        assert_eq!(
            need(false, 2, true, recent, patience, now),
            Need::Rest(now + Duration::from_millis(300))
        );
        assert_eq!(need(false, 2, true, old, patience, now), Need::Tick);
        assert_eq!(need(false, 2, true, None, patience, now), Need::Tick);
        assert_eq!(
            need(false, 2, false, recent, patience, now),
            Need::Tick,
            "no leader is known"
        );
    }
}

//! The planner's life: follower, then active controller for a term, and so on.

use super::clock::Seeds;
use super::elections::PeriodicElections;
use super::handle::{PlannerInput, Refusal};
use super::job::{Job, TypedJob, View};
use super::probe::Prober;
use super::rounds::{Landing, Rounds, Shared};
use super::waiting::Room;
use crate::publish::CommittedLog;
use crate::raft::majority;
use crate::raft::pulse::LastHeard;
use crate::raft::types::{Raft, TypeConfig};
use milena_metadata::config::BrokerDefaults;
use milena_metadata::liveness::Liveness;
use milena_metadata::plan::{self, Planned};
use milena_types::{ClusterId, Timestamp};
use openraft::ReadPolicy;
use openraft::alias::WatchReceiverOf;
use openraft::async_runtime::WatchReceiver;
use openraft::metrics::RaftServerMetrics;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::yield_now;
use tokio::time::{Instant, sleep, sleep_until, timeout};

/// How often the active controller checks that a quorum still follows it.
const LEASE_CHECK: Duration = Duration::from_millis(200);
/// A check that comes so late shows that the process was stopped, or had no CPU.
const STALL: Duration = Duration::from_secs(2);
/// How long to wait before something that raft rejected is tried again.
const RETRY: Duration = Duration::from_millis(10);
/// How long one attempt to catch up at the beginning of a term may take.
const READY_TIMEOUT: Duration = Duration::from_secs(1);

/// What the planner is told.
pub(crate) struct PlannerSettings {
    pub(crate) defaults: BrokerDefaults,
    pub(crate) cluster: Option<ClusterId>,
    pub(crate) session_timeout: Duration,
    /// After so long without a quorum's acknowledgement this node stops acting as the active controller.
    pub(crate) lease: Duration,
    pub(crate) rebalance_interval: Option<Duration>,
    pub(crate) unclean_interval: Duration,
    pub(crate) seeds: Seeds,
    /// When this node heard a leader.
    pub(crate) heard: LastHeard,
}

/// Runs on the control thread for as long as raft does.
pub(crate) struct Planner {
    shared: Shared,
    input: PlannerInput,
    prober: Prober,
    heard: LastHeard,
    cluster: Option<ClusterId>,
    session_timeout_ms: i64,
    lease: Duration,
    rebalance_interval: Option<Duration>,
    unclean_interval: Duration,
}

type ServerMetrics = WatchReceiverOf<TypeConfig, RaftServerMetrics<TypeConfig>>;

/// Things that are due at a time.
struct Timers {
    lease: Instant,
    /// When the former controller may have heard the brokers that this one has not heard yet.
    former: Timestamp,
    elections: PeriodicElections,
}

impl Planner {
    pub(crate) fn new(
        raft: Raft,
        committed: Arc<CommittedLog>,
        settings: PlannerSettings,
        input: PlannerInput,
        prober: Prober,
    ) -> Self {
        let shared = Shared {
            raft,
            committed,
            defaults: settings.defaults,
            clock: input.clock,
            seeds: settings.seeds,
            availability: Arc::clone(&input.availability),
        };
        Self {
            shared,
            input,
            prober,
            heard: settings.heard,
            cluster: settings.cluster,
            session_timeout_ms: i64::try_from(settings.session_timeout.as_millis()).unwrap_or(i64::MAX),
            lease: settings.lease,
            rebalance_interval: settings.rebalance_interval,
            unclean_interval: settings.unclean_interval,
        }
    }

    /// Until raft stops.
    pub(crate) async fn run(mut self) {
        let mut metrics = self.shared.raft.server_metrics();
        loop {
            let term = leading_term(&metrics);
            if let Some(term) = term
                && self.prepare(term, &mut metrics).await
            {
                self.lead(term, &mut metrics).await;
                self.input.active.send_replace(None);
                tracing::info!(term, "no longer the active controller");
                continue;
            }
            tokio::select! {
                biased;
                changed = metrics.changed() => if changed.is_err() { return },
                job = self.input.queue.recv(Room::ALL) => match job {
                    Some(job) => job.refuse(Refusal::NotActive),
                    None => return,
                },
            }
        }
    }

    /// Waits until everything that any earlier leader committed is applied here. False when the term is over.
    async fn prepare(&mut self, term: u64, metrics: &mut ServerMetrics) -> bool {
        while leading_term(metrics) == Some(term) {
            let ready = timeout(
                READY_TIMEOUT,
                self.shared.raft.ensure_linearizable(ReadPolicy::ReadIndex),
            )
            .await;
            match ready {
                Ok(Ok(_)) => return true,
                Ok(Err(error)) => tracing::debug!(%error, term, "not ready to lead yet"),
                Err(_) => tracing::debug!(term, "no quorum answers"),
            }
            // Whoever asks meanwhile asks again soon.
            while let Some(job) = self.input.queue.try_recv(Room::ALL) {
                job.refuse(Refusal::NotActive);
            }
            sleep(RETRY).await;
        }
        false
    }

    async fn lead(&mut self, term: u64, metrics: &mut ServerMetrics) {
        let mut liveness = Liveness::new(self.session_timeout_ms);
        liveness.activate(&self.shared.committed.image(), self.shared.clock.now());
        let mut rounds = Rounds::new(&self.shared, liveness);
        let patience = Duration::from_millis(self.session_timeout_ms.unsigned_abs());
        let availability = Arc::clone(&self.shared.availability);
        let (image, defaults) = (self.shared.committed.image(), &self.shared.defaults);
        availability.begin(&image, defaults, patience, self.shared.clock.now());
        if self.shared.committed.image().cluster.is_none() {
            rounds.push(self.genesis());
        } else {
            announce(&self.input, &self.prober, term);
        }
        let mut timers = Timers {
            lease: Instant::now() + LEASE_CHECK,
            former: self.former_contact(),
            elections: PeriodicElections::new(self.rebalance_interval, self.unclean_interval),
        };
        let mut acted;
        loop {
            rounds.begin().await;
            acted = self.shared.clock.now();
            let (due, room) = (self.next_due(&rounds, &timers), rounds.room());
            tokio::select! {
                biased;
                changed = metrics.changed() => {
                    if changed.is_err() || leading_term(metrics) != Some(term) { break }
                }
                landing = rounds.landing(), if rounds.is_flying() => {
                    if landing == Landing::Rejected {
                        sleep(RETRY).await;
                    }
                    if self.input.active.borrow().is_none() && self.shared.committed.image().cluster.is_some() {
                        announce(&self.input, &self.prober, term);
                    }
                }
                () = sleep_until(due) => if !self.tick(&mut rounds, &mut timers) { break },
                job = self.input.queue.recv(room) => {
                    let Some(job) = job else { break };
                    rounds.push(job);
                    while let Some(job) = self.input.queue.try_recv(rounds.room()) {
                        rounds.push(job);
                    }
                }
                () = yield_now(), if rounds.is_due() => {}
            }
        }
        rounds.finish();
        availability.end(self.last_followed(acted));
    }

    /// Until when this node was the active controller in the eyes of others, too: it has acted at `acted`, and may have stood still since,
    /// or led on without its voters. Another one counts from its election.
    fn last_followed(&self, acted: Timestamp) -> Timestamp {
        let silence = majority::silence(&self.shared.raft).unwrap_or_default();
        let silence_ms = i64::try_from(silence.as_millis()).unwrap_or(i64::MAX);
        acted.min(Timestamp(self.shared.clock.now().0.saturating_sub(silence_ms)))
    }

    /// When something is due next.
    fn next_due(&self, rounds: &Rounds<'_>, timers: &Timers) -> Instant {
        // While a batch is in flight nobody is judged: see `tick`.
        let judged = !rounds.is_flying();
        let expiry = judged
            .then(|| rounds.liveness.next_expiry(&self.shared.committed.image()))
            .flatten();
        let expiry = expiry.map(|at| self.shared.clock.instant(at));
        let due = timers.lease.min(timers.elections.next());
        expiry.map_or(due, |expiry| due.min(expiry))
    }

    /// The last time, within a session, that this node has heard the leader before itself: until then that one was heard by brokers.
    fn former_contact(&self) -> Timestamp {
        let session = Duration::from_millis(self.session_timeout_ms.unsigned_abs());
        let ago = self.heard.ago().unwrap_or_default().min(session);
        let ago_ms = i64::try_from(ago.as_millis()).unwrap_or(i64::MAX);
        Timestamp(self.shared.clock.now().0.saturating_sub(ago_ms))
    }

    /// Does what is due. False when no quorum follows any more.
    fn tick(&self, rounds: &mut Rounds<'_>, timers: &mut Timers) -> bool {
        let now = Instant::now();
        if timers.lease <= now {
            if now.duration_since(timers.lease) > STALL {
                // This thread stood still: that nobody was heard meanwhile proves nothing.
                tracing::warn!("the controller stood still: every broker gets a new session");
                timers.former = self.shared.clock.now();
                rounds
                    .liveness
                    .activate(&self.shared.committed.image(), timers.former);
            }
            timers.lease = now + LEASE_CHECK;
            if !majority::follows(&self.shared.raft, self.lease) {
                tracing::warn!("no quorum follows this controller: it stops acting as the active one");
                return false;
            }
        }
        let image = self.shared.committed.image();
        rounds.liveness.forget_unregistered(&image);
        // One at a time: the next is judged when the effect of this one is applied.
        if !rounds.is_flying()
            && let Some(broker) = rounds.liveness.expired(&image, self.shared.clock.now())
        {
            tracing::warn!(%broker, "broker fenced: its session has ended");
            if let Some(sign) = rounds.liveness.last_sign(broker, timers.former) {
                self.shared.availability.suspect(broker, sign);
            }
            rounds.push(job("fence", move |view| {
                plan::fence_broker(view.image, broker, None, &view.context)
            }));
        }
        for election in timers.elections.due(now) {
            rounds.push(election);
        }
        true
    }

    /// The first batch of a new cluster.
    fn genesis(&self) -> Box<dyn Job> {
        let cluster = self
            .cluster
            .clone()
            .unwrap_or_else(|| ClusterId(milena_types::Uuid::random().to_string()));
        job("bootstrap", move |view| {
            plan::bootstrap(view.image, &cluster, &view.context)
        })
    }
}

/// The term in which this node leads, if it does.
fn leading_term(metrics: &ServerMetrics) -> Option<u64> {
    let metrics = metrics.borrow_watched();
    let leads = metrics.state.is_leader() && metrics.current_leader == Some(metrics.id);
    leads.then(|| metrics.vote.leader_id().term)
}

/// From here on jobs are taken and brokers served.
fn announce(input: &PlannerInput, prober: &Prober, term: u64) {
    input.active.send_replace(Some(term));
    tracing::info!(term, "this node is the active controller");
    prober.probe_all();
}

/// A job of the controller itself: nobody waits for its answer.
fn job<R: Send + 'static>(
    what: &'static str,
    plan: impl FnMut(&View<'_>) -> Planned<R> + Send + 'static,
) -> Box<dyn Job> {
    let (job, receiver) = TypedJob::own(what, plan);
    // Kept open so that the job does not count as abandoned.
    tokio::spawn(receiver);
    job
}

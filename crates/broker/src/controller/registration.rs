//! A broker's life in the cluster: register, heartbeat, unfence, controlled shutdown.
//!
//! Where it stands, and when it does not wait for the interval, is decided in [`milena_metadata::broker_life`]: a start does not
//! wait, and a false suspicion costs little. Source: `BrokerLifecycleManager`.

use super::client::{ControllerClient, ControllerError};
use crate::metadata::MetadataCache;
use milena_metadata::broker_life::BrokerState;
use milena_metadata::record::Endpoint;
use milena_metadata::request::{Heartbeat, HeartbeatReply, RegisterBroker, RegisterBrokerReply};
use milena_replication::{Contact, Moment};
use milena_rpc::proto;
use milena_types::{
    BrokerEpoch, BrokerId, ClusterId, DirectoryId, ErrorCode, IncarnationId, MetadataVersion,
};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep, timeout};

/// The shortest time between two heartbeats.
const BEAT_GAP: Duration = Duration::from_millis(10);
/// The heartbeat interval while something is awaited from the controller (unfencing, shutdown).
const BEAT_AWAITING: Duration = Duration::from_millis(50);
/// The pause before a refused registration is tried again.
const REGISTER_PAUSE: Duration = Duration::from_millis(100);
const ATTEMPT: Duration = Duration::from_secs(1);

/// Why a broker cannot become part of the cluster.
#[derive(Debug, thiserror::Error)]
pub enum RegistrationError {
    /// The controller refuses this broker for good: another cluster, an impossible registration.
    #[error("the controller refuses the registration of node {broker}: {error}: {message}")]
    Refused {
        /// This broker.
        broker: BrokerId,
        /// Kafka's code.
        error: ErrorCode,
        /// The controller's explanation.
        message: String,
    },
    /// `initial.broker.registration.timeout.ms` has passed.
    #[error("node {broker} could not register within {waited:?}: {last}")]
    TimedOut {
        /// This broker.
        broker: BrokerId,
        /// How long it was tried.
        waited: Duration,
        /// What was in the way last.
        last: String,
    },
}

/// What this broker tells the controller about itself.
#[derive(Clone, Debug, PartialEq)]
pub struct BrokerSelf {
    /// `node.id`.
    pub broker: BrokerId,
    /// The cluster that its directories belong to, when they are formatted.
    pub cluster: Option<ClusterId>,
    /// Advertised listeners.
    pub endpoints: Vec<Endpoint>,
    /// `broker.rack`.
    pub rack: Option<String>,
    /// Storage ids of its log directories, as far as they can be read.
    pub directories: Vec<DirectoryId>,
    /// How many there are besides that cannot be read.
    pub unreadable_directories: u32,
    /// The epoch of its last run, if that ended cleanly.
    pub previous_epoch: Option<BrokerEpoch>,
}

/// The registration as the rest of the broker sees it; written by [`Registration::run`] alone.
#[derive(Debug)]
pub struct Registration {
    incarnation: IncarnationId,
    epoch: watch::Sender<Option<BrokerEpoch>>,
    state: watch::Sender<BrokerState>,
    shutdown_wanted: watch::Sender<bool>,
    /// Something to tell the controller has come up.
    beat_now: Notify,
    /// This broker cannot do its work.
    stuck: AtomicBool,
    /// Where the moments of `contact` begin.
    begin: Instant,
    contact: Contact,
}

impl Registration {
    /// A broker that has just started; `session_timeout` is `broker.session.timeout.ms`.
    #[must_use]
    pub fn new(session_timeout: Duration) -> Self {
        Self {
            incarnation: IncarnationId::random(),
            epoch: watch::channel(None).0,
            state: watch::channel(BrokerState::Unregistered).0,
            shutdown_wanted: watch::channel(false).0,
            beat_now: Notify::new(),
            stuck: AtomicBool::new(false),
            begin: Instant::now(),
            contact: Contact::new(session_timeout),
        }
    }

    /// The broker epoch, once registered.
    #[must_use]
    pub fn epoch(&self) -> Option<BrokerEpoch> {
        *self.epoch.borrow()
    }

    /// True while the controller's session for this broker cannot have ended: nobody has been elected in its place for that. For who
    /// has followed the metadata so far.
    #[must_use]
    pub fn in_contact(&self, followed: MetadataVersion) -> bool {
        self.contact.is_fresh(self.moment(Instant::now()), followed)
    }

    fn heard(&self, sent: Instant, reply: &HeartbeatReply) {
        let now = self.moment(Instant::now());
        self.contact
            .heard(self.moment(sent), now, reply.version, reply.quorum_age_ms);
    }

    fn moment(&self, at: Instant) -> Moment {
        let since = at.saturating_duration_since(self.begin).as_millis();
        Moment(u64::try_from(since).unwrap_or(u64::MAX))
    }

    /// Follows the broker's state.
    #[must_use]
    pub fn state(&self) -> watch::Receiver<BrokerState> {
        self.state.subscribe()
    }

    /// Asks the controller to move all leaders away, and waits until it has or `deadline` has passed. True: it has.
    pub async fn controlled_shutdown(&self, deadline: Duration) -> bool {
        self.shutdown_wanted.send_replace(true);
        self.beat_now.notify_one();
        let mut state = self.state();
        matches!(
            timeout(deadline, state.wait_for(|s| *s == BrokerState::Stopped)).await,
            Ok(Ok(_))
        )
    }

    /// Says whether this broker cannot do its work: while it cannot, and another one is active, it asks to be fenced.
    pub fn set_stuck(&self, stuck: bool) {
        self.stuck.store(stuck, Ordering::Relaxed);
        self.beat_now.notify_one();
    }

    /// Registers for the first time.
    ///
    /// # Errors
    /// [`RegistrationError`]: the broker must not start.
    pub async fn register(
        &self,
        me: &BrokerSelf,
        client: &ControllerClient,
        deadline: Duration,
    ) -> Result<RegisterBrokerReply, RegistrationError> {
        let start = Instant::now();
        let mut last = String::new();
        while start.elapsed() < deadline {
            let left = deadline.saturating_sub(start.elapsed());
            match self.register_once(me, client, left).await {
                Ok(reply) if reply.outcome.error.is_none() => {
                    self.epoch.send_replace(Some(reply.epoch));
                    self.state.send_replace(BrokerState::Fenced);
                    tracing::info!(broker = %me.broker, epoch = %reply.epoch, "registered with the controller");
                    return Ok(reply);
                }
                Ok(reply) => {
                    let (error, message) = (reply.outcome.error, reply.outcome.message.unwrap_or_default());
                    // The session of a former run may still be open: it ends by itself.
                    if error != ErrorCode::DuplicateBrokerRegistration {
                        return Err(RegistrationError::Refused {
                            broker: me.broker,
                            error,
                            message,
                        });
                    }
                    let now = format!("{error}: {message}");
                    if last != now {
                        tracing::warn!(broker = %me.broker, %error, message, "registration refused, trying again");
                    }
                    last = now;
                }
                Err(error) => last = error.to_string(),
            }
            sleep(REGISTER_PAUSE).await;
        }
        Err(RegistrationError::TimedOut {
            broker: me.broker,
            waited: start.elapsed(),
            last,
        })
    }

    async fn register_once(
        &self,
        me: &BrokerSelf,
        client: &ControllerClient,
        deadline: Duration,
    ) -> Result<RegisterBrokerReply, ControllerError> {
        let me = me.clone();
        let request = proto::RegisterBrokerRequest::from(&RegisterBroker {
            broker: me.broker,
            cluster: me.cluster,
            incarnation: self.incarnation,
            endpoints: me.endpoints,
            rack: me.rack,
            directories: me.directories,
            unreadable_directories: me.unreadable_directories,
            previous_epoch: me.previous_epoch,
        });
        let response = client
            .call(deadline, ATTEMPT, |mut stub| {
                let request = request.clone();
                async move { stub.register(request).await }
            })
            .await?;
        Ok(RegisterBrokerReply::try_from(response)?)
    }

    /// Heartbeats for ever, registering again when the controller has forgotten this registration. Ends after a controlled
    /// shutdown, or with the error of a registration that was refused.
    ///
    /// # Errors
    /// [`RegistrationError::Refused`].
    pub async fn run(
        &self,
        me: &BrokerSelf,
        client: &ControllerClient,
        cache: &MetadataCache,
        interval: Duration,
    ) -> Result<(), RegistrationError> {
        let mut metadata = cache.watch();
        loop {
            let beat = Instant::now();
            let want_fence = self.wants_fence(me, cache);
            match self.beat(me, client, cache, interval, want_fence).await {
                Ok(reply) => {
                    if reply.outcome.error.is_none() && !want_fence {
                        self.heard(beat, &reply);
                    }
                    self.on_reply(me, &reply);
                }
                Err(error) => tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "heartbeat was not answered"
                ),
            }
            let state = *self.state.borrow();
            match state {
                BrokerState::Stopped => return Ok(()),
                BrokerState::Unregistered => match self.register(me, client, Duration::from_secs(10)).await {
                    Ok(_) => continue,
                    Err(RegistrationError::TimedOut { last, .. }) => {
                        tracing::warn!(broker = %me.broker, last, "cannot register again yet");
                        continue;
                    }
                    Err(refused) => return Err(refused),
                },
                _ => {}
            }
            let pause = if state.awaits_controller() {
                BEAT_AWAITING.min(interval)
            } else {
                interval
            };
            tokio::select! {
                () = sleep(pause) => {}
                () = self.beat_now.notified() => {}
                () = self.news(me, cache, &mut metadata, state) => {}
            }
            sleep(BEAT_GAP.saturating_sub(beat.elapsed())).await;
        }
    }

    /// Resolves when the metadata has moved in a way that calls for a heartbeat.
    async fn news(
        &self,
        me: &BrokerSelf,
        cache: &MetadataCache,
        metadata: &mut watch::Receiver<MetadataVersion>,
        state: BrokerState,
    ) {
        // The sender lives in `cache`: waiting cannot fail.
        while metadata.changed().await.is_ok() {
            if state.beats_at(&cache.image(), me.broker, self.epoch()) {
                return;
            }
        }
    }

    /// True when this broker cannot do its work and another one may do it. Who asks for that has no session any more.
    fn wants_fence(&self, me: &BrokerSelf, cache: &MetadataCache) -> bool {
        let image = cache.image();
        let mut others = image.brokers.keys().filter(|broker| **broker != me.broker);
        let wants = self.stuck.load(Ordering::Relaxed) && others.any(|broker| image.is_active(*broker));
        if wants {
            self.contact.end();
        }
        wants
    }

    async fn beat(
        &self,
        me: &BrokerSelf,
        client: &ControllerClient,
        cache: &MetadataCache,
        deadline: Duration,
        want_fence: bool,
    ) -> Result<HeartbeatReply, ControllerError> {
        let request = proto::HeartbeatRequest::from(&Heartbeat {
            broker: me.broker,
            epoch: self.epoch().unwrap_or_default(),
            applied: cache.image().version,
            want_fence,
            want_shutdown: *self.shutdown_wanted.borrow(),
        });
        let response = client
            .call(deadline.max(ATTEMPT), ATTEMPT, |mut stub| async move {
                stub.heartbeat(request).await
            })
            .await?;
        Ok(HeartbeatReply::try_from(response)?)
    }

    fn on_reply(&self, me: &BrokerSelf, reply: &HeartbeatReply) {
        let was = *self.state.borrow();
        let shutting_down = *self.shutdown_wanted.borrow();
        let Some(is) = BrokerState::after_heartbeat(reply, shutting_down) else {
            let (error, message) = (reply.outcome.error, &reply.outcome.message);
            tracing::warn!(broker = %me.broker, %error, message, "heartbeat refused");
            return;
        };
        if is != was {
            tracing::info!(broker = %me.broker, from = ?was, to = ?is, "broker state");
            self.state.send_replace(is);
        }
    }
}

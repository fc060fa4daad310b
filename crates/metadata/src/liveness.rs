//! Who is alive, as the active controller sees it: heartbeats and sessions.
//!
//! Soft state: it is not in the metadata log, and a new active controller starts without it ([`Liveness::activate`]
//! gives every registered broker a full session). Losing it costs at most one session timeout of delay, never safety:
//! what a wrong suspicion does is undone by epochs.
//!
//! `now` is an argument everywhere; milliseconds of a monotonic clock of the controller. Source:
//! `BrokerHeartbeatManager`. Pure, single owner, `O(brokers)` per question.

use crate::image::MetadataImage;
use crate::request::Heartbeat;
use milena_types::{BrokerEpoch, BrokerId, MetadataVersion, Timestamp};
use std::collections::BTreeMap;

/// What is known of one broker's current registration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Session {
    /// Under which registration; contact under another one does not count.
    epoch: BrokerEpoch,
    last_contact: Timestamp,
    /// False for a session that a new controller has assumed and no heartbeat has confirmed.
    heard: bool,
    /// How far the broker had applied the metadata log.
    applied: MetadataVersion,
    /// When it had last applied everything.
    caught_up: Option<Timestamp>,
    /// The version at which its controlled shutdown began: others must have seen it before it may exit.
    shutdown_began: Option<MetadataVersion>,
}

/// What was last heard of a registered broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Contact {
    /// Whom.
    pub broker: BrokerId,
    /// When; the start of its assumed session when `heard` is false.
    pub at: Timestamp,
    /// False while a new controller has heard nothing of it.
    pub heard: bool,
    /// How far it had applied the metadata log.
    pub applied: MetadataVersion,
    /// When it last had applied all of it.
    pub caught_up: Option<Timestamp>,
}

/// The sessions of all registered brokers.
#[derive(Clone, Debug)]
pub struct Liveness {
    session_timeout_ms: i64,
    sessions: BTreeMap<BrokerId, Session>,
}

impl Liveness {
    /// No sessions yet. `session_timeout_ms` is `broker.session.timeout.ms`.
    #[must_use]
    pub fn new(session_timeout_ms: i64) -> Self {
        Self {
            session_timeout_ms,
            sessions: BTreeMap::new(),
        }
    }

    /// This controller has become the active one: forgets everything and gives each registered broker a session.
    pub fn activate(&mut self, image: &MetadataImage, now: Timestamp) {
        self.sessions.clear();
        for broker in image.brokers.values() {
            self.begin(broker.id, broker.epoch, now, false);
        }
    }

    fn begin(&mut self, broker: BrokerId, epoch: BrokerEpoch, now: Timestamp, heard: bool) {
        let applied = MetadataVersion(0);
        let session = Session {
            epoch,
            last_contact: now,
            heard,
            applied,
            caught_up: None,
            shutdown_began: None,
        };
        self.sessions.insert(broker, session);
    }

    /// A registration was applied. An amended one (same epoch) keeps its session.
    pub fn on_registered(&mut self, broker: BrokerId, epoch: BrokerEpoch, now: Timestamp) {
        match self.sessions.get_mut(&broker) {
            Some(session) if session.epoch == epoch => {
                session.last_contact = session.last_contact.max(now);
                session.heard = true;
            }
            _ => self.begin(broker, epoch, now, true),
        }
    }

    /// A heartbeat was answered; `image` is the one after its records (if any) were applied.
    ///
    /// A heartbeat under another epoch than the registration's is ignored.
    pub fn on_heartbeat(&mut self, image: &MetadataImage, heartbeat: &Heartbeat, now: Timestamp) {
        let Some(registration) = image.broker(heartbeat.broker) else {
            return;
        };
        if registration.epoch != heartbeat.epoch {
            return;
        }
        if self
            .sessions
            .get(&heartbeat.broker)
            .is_none_or(|s| s.epoch != heartbeat.epoch)
        {
            self.begin(heartbeat.broker, heartbeat.epoch, now, true);
        }
        let Some(session) = self.sessions.get_mut(&heartbeat.broker) else {
            return;
        };
        session.heard = true;
        session.last_contact = session.last_contact.max(now);
        session.applied = session.applied.max(heartbeat.applied);
        if session.applied >= image.version {
            session.caught_up = Some(session.last_contact);
        }
        if registration.fenced || !registration.in_controlled_shutdown {
            session.shutdown_began = None;
        } else if session.shutdown_began.is_none() {
            session.shutdown_began = Some(image.version);
        }
    }

    /// What was last heard of each registered broker, by id.
    pub fn contacts(&self) -> impl Iterator<Item = Contact> {
        self.sessions.iter().map(|(broker, session)| Contact {
            broker: *broker,
            at: session.last_contact,
            heard: session.heard,
            applied: session.applied,
            caught_up: session.caught_up,
        })
    }

    /// Drops the sessions of brokers that are not registered any more.
    pub fn forget_unregistered(&mut self, image: &MetadataImage) {
        self.sessions.retain(|id, _| image.brokers.contains_key(id));
    }

    /// True when the broker is unfenced and a heartbeat or registration came within the session timeout, to this
    /// controller. A session that was only assumed does not count: nobody is shut out by a guess.
    #[must_use]
    pub fn has_live_session(&self, image: &MetadataImage, broker: BrokerId, now: Timestamp) -> bool {
        let unfenced = image.broker(broker).is_some_and(|b| !b.fenced);
        let live = self
            .sessions
            .get(&broker)
            .is_some_and(|s| s.heard && !self.is_expired(s, now));
        unfenced && live
    }

    fn is_expired(&self, session: &Session, now: Timestamp) -> bool {
        now.0.saturating_sub(session.last_contact.0) > self.session_timeout_ms
    }

    fn unfenced<'a>(&'a self, image: &'a MetadataImage) -> impl Iterator<Item = (BrokerId, &'a Session)> {
        let is_unfenced = |id: &BrokerId| image.broker(*id).is_some_and(|b| !b.fenced);
        self.sessions
            .iter()
            .filter(move |(id, _)| is_unfenced(id))
            .map(|(id, s)| (*id, s))
    }

    /// The unfenced broker that has been silent longest, if its session is over. One at a time, so that the effect of
    /// fencing one is applied before the next is judged.
    #[must_use]
    pub fn expired(&self, image: &MetadataImage, now: Timestamp) -> Option<BrokerId> {
        let oldest = self.unfenced(image).min_by_key(|(id, s)| (s.last_contact, *id));
        oldest.filter(|(_, s)| self.is_expired(s, now)).map(|(id, _)| id)
    }

    /// When the next session ends, if nothing is heard.
    #[must_use]
    pub fn next_expiry(&self, image: &MetadataImage) -> Option<Timestamp> {
        let oldest = self.unfenced(image).map(|(_, s)| s.last_contact).min()?;
        Some(Timestamp(
            oldest.0.saturating_add(self.session_timeout_ms).saturating_add(1),
        ))
    }

    /// The last sign of life of the broker that anybody had: when it was heard, or, where its session was assumed, `before` at the
    /// latest, when the former controller may have heard it.
    #[must_use]
    pub fn last_sign(&self, broker: BrokerId, before: Timestamp) -> Option<Timestamp> {
        let sign = |session: &Session| match session.heard {
            true => session.last_contact,
            false => session.last_contact.min(before),
        };
        self.sessions.get(&broker).map(sign)
    }

    /// True when every active broker has applied the version at which the broker's controlled shutdown began, so that
    /// all of them know the new leaders.
    #[must_use]
    pub fn shutdown_is_seen(&self, image: &MetadataImage, broker: BrokerId) -> bool {
        let Some(began) = self.sessions.get(&broker).and_then(|s| s.shutdown_began) else {
            return false;
        };
        let mut active = self.sessions.iter().filter(|(id, _)| image.is_active(**id));
        active.all(|(_, s)| s.applied >= began)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::testing::{self, Cluster};

    fn heartbeat(broker: i32, epoch: BrokerEpoch, applied: u64) -> Heartbeat {
        testing::heartbeat(BrokerId(broker), epoch, MetadataVersion(applied))
    }

    #[test]
    fn the_most_silent_broker_expires_first_and_alone() {
        let cluster = Cluster::with_brokers(3);
        let image = &cluster.image;
        let mut live = Liveness::new(9_000);
        live.activate(image, Timestamp(0));
        assert_eq!(live.expired(image, Timestamp(9_000)), None);
        assert_eq!(live.next_expiry(image), Some(Timestamp(9_001)));
        live.on_heartbeat(image, &heartbeat(0, cluster.epoch(0), 9), Timestamp(500));
        live.on_heartbeat(image, &heartbeat(2, cluster.epoch(2), 9), Timestamp(100));
        assert_eq!(live.expired(image, Timestamp(9_001)), Some(BrokerId(1)));
        live.on_heartbeat(image, &heartbeat(1, cluster.epoch(1), 9), Timestamp(9_001));
        assert_eq!(live.expired(image, Timestamp(9_101)), Some(BrokerId(2)));
    }

    #[test]
    fn of_a_broker_that_only_the_former_controller_heard_that_ones_word_counts() {
        let cluster = Cluster::with_brokers(2);
        let mut live = Liveness::new(9_000);
        live.activate(&cluster.image, Timestamp(5_000));
        live.on_heartbeat(
            &cluster.image,
            &heartbeat(1, cluster.epoch(1), 0),
            Timestamp(5_100),
        );
        let sign = |before| [0, 1, 7].map(|id| live.last_sign(BrokerId(id), Timestamp(before)));
        assert_eq!(
            sign(2_000),
            [Some(Timestamp(2_000)), Some(Timestamp(5_100)), None]
        );
        assert_eq!(sign(5_050)[0], Some(Timestamp(5_000)));
    }

    #[test]
    fn contacts_tell_who_has_everything() {
        let cluster = Cluster::with_brokers(2);
        let mut live = Liveness::new(9_000);
        live.activate(&cluster.image, Timestamp(0));
        let version = cluster.image.version.0;
        live.on_heartbeat(
            &cluster.image,
            &heartbeat(0, cluster.epoch(0), version),
            Timestamp(5),
        );
        live.on_heartbeat(
            &cluster.image,
            &heartbeat(1, cluster.epoch(1), version - 1),
            Timestamp(6),
        );
        let shown: Vec<_> = live
            .contacts()
            .map(|c| (c.broker.0, c.at.0, c.caught_up))
            .collect();
        assert_eq!(shown, [(0, 5, Some(Timestamp(5))), (1, 6, None)]);
        assert!(live.contacts().all(|contact| contact.heard));
    }

    #[test]
    fn an_assumed_session_shuts_nobody_out() {
        let cluster = Cluster::with_brokers(1);
        let mut live = Liveness::new(9_000);
        live.activate(&cluster.image, Timestamp(0));
        assert!(!live.has_live_session(&cluster.image, BrokerId(0), Timestamp(1)));
        live.on_heartbeat(&cluster.image, &heartbeat(0, BrokerEpoch(999), 0), Timestamp(1));
        assert!(
            !live.has_live_session(&cluster.image, BrokerId(0), Timestamp(2)),
            "another epoch does not count"
        );
        live.on_heartbeat(&cluster.image, &heartbeat(0, cluster.epoch(0), 0), Timestamp(2));
        assert!(live.has_live_session(&cluster.image, BrokerId(0), Timestamp(9_002)));
        assert!(!live.has_live_session(&cluster.image, BrokerId(0), Timestamp(9_003)));
    }
}

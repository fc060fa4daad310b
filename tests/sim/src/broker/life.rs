//! A process's life in the cluster: it registers, sends heartbeats, is unfenced, stops.

use super::calls::Purpose;
use super::process::Process;
use crate::cx::Cx;
use crate::disk;
use crate::event::BrokerTimer;
use crate::network::call::Body;
use crate::say;
use crate::time::{MILLI, Micros, moment};
use milena_metadata::broker_life::BrokerState;
use milena_metadata::record::Endpoint;
use milena_metadata::request::{Heartbeat, HeartbeatReply, RegisterBroker, RegisterBrokerReply};
use milena_replication::Contact;
use milena_types::{BrokerEpoch, ErrorCode};
use std::time::Duration;

/// The interval while something is awaited from the controller.
const BEAT_AWAITING: Micros = 50 * MILLI;
/// The pause before a refused registration is tried again.
const REGISTER_PAUSE: Micros = 100 * MILLI;

/// What a process knows of its place in the cluster.
#[derive(Debug)]
pub(super) struct Life {
    pub(super) state: BrokerState,
    pub(super) epoch: Option<BrokerEpoch>,
    pub(super) shutdown_wanted: bool,
    previous_epoch: Option<BrokerEpoch>,
    contact: Contact,
    /// When the next heartbeat is due.
    beat_due: Option<Micros>,
}

impl Life {
    pub(super) fn new(previous_epoch: Option<BrokerEpoch>, session: Micros) -> Self {
        Self {
            state: BrokerState::Unregistered,
            epoch: None,
            shutdown_wanted: false,
            previous_epoch,
            contact: Contact::new(Duration::from_micros(session)),
            beat_due: None,
        }
    }
}

impl Process {
    /// True while nobody can have been elected in its place because it was silent.
    pub(super) fn in_contact(&self, cx: &Cx) -> bool {
        self.life.contact.is_fresh(cx.moment(), self.cache.version)
    }

    pub(super) fn register(&mut self, cx: &mut Cx) {
        if self.life.state != BrokerState::Unregistered || self.is_calling(|p| matches!(p, Purpose::Register))
        {
            return;
        }
        let request = RegisterBroker {
            broker: self.node(),
            cluster: Some(disk::cluster()),
            incarnation: self.incarnation,
            endpoints: vec![Endpoint {
                listener: "PLAINTEXT".to_owned(),
                host: format!("broker-{}", self.node()),
                port: 9092,
                security_protocol: "PLAINTEXT".to_owned(),
            }],
            rack: None,
            directories: vec![self.dir.directory_id()],
            unreadable_directories: 0,
            previous_epoch: self.life.previous_epoch,
        };
        self.call(cx, Body::Register(request), Purpose::Register);
    }

    pub(super) fn on_registered(&mut self, cx: &mut Cx, reply: &RegisterBrokerReply) {
        match reply.outcome.error {
            ErrorCode::None => {
                say!(cx, "{}: registered as {}", self.node(), reply.epoch);
                self.life.epoch = Some(reply.epoch);
                self.life.state = BrokerState::Fenced;
                self.beat_in(cx, 0);
                // The registration's answer and its record come in either order.
                self.queue_follow(cx);
            }
            ErrorCode::DuplicateBrokerRegistration => {
                cx.timer(self.host, REGISTER_PAUSE, BrokerTimer::Register);
            }
            error => cx
                .oracle
                .fail("BOOT", format!("{:?}: registration refused: {error}", self.host)),
        }
    }

    fn beat_in(&mut self, cx: &mut Cx, pause: Micros) {
        let at = cx.now + pause;
        if self.life.beat_due.is_none_or(|due| at < due) {
            self.life.beat_due = Some(at);
            cx.timer(self.host, pause, BrokerTimer::Heartbeat);
        }
    }

    pub(super) fn beat(&mut self, cx: &mut Cx) {
        if self.life.beat_due.take_if(|due| *due <= cx.now).is_none() {
            return;
        }
        let waits = self.is_calling(|p| matches!(p, Purpose::Heartbeat));
        if waits || matches!(self.life.state, BrokerState::Unregistered | BrokerState::Stopped) {
            return;
        }
        let Some(epoch) = self.life.epoch else { return };
        let request = Heartbeat {
            broker: self.node(),
            epoch,
            applied: self.cache.version,
            want_fence: false,
            want_shutdown: self.life.shutdown_wanted,
        };
        self.call(cx, Body::Heartbeat(request), Purpose::Heartbeat);
    }

    /// After an answer, or none.
    pub(super) fn beat_again(&mut self, cx: &mut Cx) {
        let awaiting = self.life.state.awaits_controller();
        let pause = if awaiting {
            BEAT_AWAITING
        } else {
            cx.settings.heartbeat
        };
        self.beat_in(cx, pause);
    }

    pub(super) fn on_beat(&mut self, cx: &mut Cx, reply: &HeartbeatReply, sent: Micros) {
        if reply.outcome.error.is_none() {
            self.life
                .contact
                .heard(moment(sent), cx.moment(), reply.version, reply.quorum_age_ms);
        }
        let shutting_down = self.life.shutdown_wanted;
        let was = self.life.state;
        self.life.state = BrokerState::after_heartbeat(reply, shutting_down).unwrap_or(was);
        if self.life.state != was {
            say!(cx, "{}: {was:?} -> {:?}", self.node(), self.life.state);
        }
        match self.life.state {
            BrokerState::Stopped => self.stop(cx),
            BrokerState::Unregistered => cx.timer(self.host, 0, BrokerTimer::Register),
            _ => self.beat_again(cx),
        }
    }

    /// Metadata has come that calls for a heartbeat at once.
    pub(super) fn beat_on_news(&mut self, cx: &mut Cx) {
        if self
            .life
            .state
            .beats_at(&self.cache, self.host.broker, self.life.epoch)
        {
            self.beat_in(cx, 10 * MILLI);
        }
    }

    /// The operator wants it to stop in order, and waits so long.
    pub fn want_stop(&mut self, cx: &mut Cx, patience: Micros) {
        self.life.shutdown_wanted = true;
        self.beat_in(cx, 0);
        let epoch = self.life.epoch;
        cx.timer(self.host, patience, BrokerTimer::StopOverdue(epoch));
    }
}

//! How far each replica is, as the leader knows it. Soft state: reset with every leader epoch.

use super::attach::AttachmentId;
use crate::Moment;
use milena_types::{BrokerEpoch, BrokerId, Offset};
use std::time::Duration;

/// The two ends of one replica's log: `advertised ≤ log_end`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LogEnds {
    /// The offset after its last record.
    pub log_end: Offset,
    /// Up to where it may be counted: flushed, or only written, as `ack.durability` says.
    pub advertised: Offset,
}

impl LogEnds {
    /// Both at the same offset.
    #[must_use]
    pub fn at(offset: Offset) -> Self {
        Self {
            log_end: offset,
            advertised: offset,
        }
    }
}

/// What the leader knows of one follower. A broker has many of them that are idle: kept small.
#[derive(Clone, Debug)]
pub(super) struct Progress {
    pub(super) broker: BrokerId,
    /// Registered, neither fenced nor shutting down.
    pub(super) eligible: bool,
    is_registered: bool,
    /// The newest registration in the metadata, of which [`Progress::is_registered`] says whether it still is there.
    registration: Option<BrokerEpoch>,
    /// When it was last known to have everything; `None`: never in this epoch.
    pub(super) last_caught_up: Option<Moment>,
    pub(super) log_start: Offset,
    /// `None`: it has not attached in this epoch.
    seen: Option<Seen>,
}

/// What a follower said itself.
#[derive(Clone, Debug)]
struct Seen {
    /// The stream that its acks must come by; `None`: it is gone.
    stream: Option<u64>,
    /// The newest attach that was accepted; older ones are late messages.
    attach: u64,
    broker_epoch: BrokerEpoch,
    /// Its log's ends.
    ends: LogEnds,
    /// While it lags; boxed, because an idle follower does not.
    previous: Option<Box<PreviousAck>>,
}

/// An ack that did not reach the leader's log end.
#[derive(Clone, Debug)]
struct PreviousAck {
    when: Moment,
    leader_log_end: Offset,
}

/// One replica's state, for metrics and tools.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReplicaStatus {
    /// Who.
    pub broker: BrokerId,
    /// How far; `None`: not known in this epoch.
    pub ends: Option<LogEnds>,
    /// It has attached in this epoch and not left since.
    pub attached: bool,
    /// It is in the maximal ISR.
    pub in_sync: bool,
}

impl Progress {
    pub(super) fn new(broker: BrokerId, last_caught_up: Option<Moment>) -> Self {
        Self {
            broker,
            eligible: false,
            is_registered: false,
            registration: None,
            last_caught_up,
            log_start: Offset::ZERO,
            seen: None,
        }
    }

    /// Its registration according to the metadata; `None` while it is not registered.
    pub(super) fn registered(&self) -> Option<BrokerEpoch> {
        self.registration.filter(|_| self.is_registered)
    }

    /// The newest registration that it was seen with, from the metadata or from the broker itself.
    pub(super) fn newest(&self) -> Option<BrokerEpoch> {
        self.registration
            .max(self.seen.as_ref().map(|seen| seen.broker_epoch))
    }

    /// The newest attach that was accepted.
    pub(super) fn last_attach(&self) -> Option<(BrokerEpoch, u64)> {
        self.seen.as_ref().map(|seen| (seen.broker_epoch, seen.attach))
    }

    /// The stream position that its acks must name; `None`: it is not attached.
    pub(super) fn attachment(&self) -> Option<AttachmentId> {
        let seen = self.seen.as_ref()?;
        let attach = seen.attach;
        seen.stream.map(|stream| AttachmentId { stream, attach })
    }

    /// The registration under which it is attached.
    pub(super) fn attached_epoch(&self) -> Option<BrokerEpoch> {
        let attached = self.seen.as_ref().filter(|seen| seen.stream.is_some());
        attached.map(|seen| seen.broker_epoch)
    }

    /// Its log's ends; unknown until it attaches in this epoch.
    pub(super) fn ends(&self) -> Option<LogEnds> {
        self.seen.as_ref().map(|seen| seen.ends)
    }

    /// What the metadata says of its broker.
    pub(super) fn on_registration(&mut self, registered: Option<BrokerEpoch>, eligible: bool) {
        self.is_registered = registered.is_some();
        self.eligible = eligible && self.is_registered;
        self.registration = registered.or(self.registration);
        if self
            .attached_epoch()
            .is_some_and(|epoch| Some(epoch) < self.newest())
        {
            // An older incarnation: nothing that is still on its way from it may count.
            self.detach();
        }
    }

    /// Takes an accepted ack: forward only inside one attachment.
    pub(super) fn advance(&mut self, ends: LogEnds, leader_log_end: Offset, now: Moment) {
        let Some(seen) = &mut self.seen else { return };
        seen.ends = ends;
        if ends.log_end >= leader_log_end {
            self.last_caught_up = self.last_caught_up.max(Some(now));
            // The next ack could not say more of this moment than what was just noted.
            seen.previous = None;
            return;
        }
        let this = PreviousAck {
            when: now,
            leader_log_end,
        };
        match &mut seen.previous {
            Some(previous) => {
                if ends.log_end >= previous.leader_log_end {
                    self.last_caught_up = self.last_caught_up.max(Some(previous.when));
                }
                **previous = this;
            }
            None => seen.previous = Some(Box::new(this)),
        }
    }

    /// Starts a new attachment: what the previous one said is void.
    pub(super) fn attach(&mut self, attachment: AttachmentId, epoch: BrokerEpoch, ends: LogEnds) {
        self.seen = Some(Seen {
            stream: Some(attachment.stream),
            attach: attachment.attach,
            broker_epoch: epoch,
            ends,
            previous: None,
        });
    }

    /// Its stream is gone.
    pub(super) fn detach(&mut self) {
        if let Some(seen) = &mut self.seen {
            seen.stream = None;
        }
    }

    /// Nothing that it lacks is older than `lag_time_max`.
    pub(super) fn is_caught_up(&self, leader_log_end: Offset, now: Moment, lag_time_max: Duration) -> bool {
        self.ends().is_some_and(|ends| ends.log_end >= leader_log_end)
            || self
                .last_caught_up
                .is_some_and(|then| now.since(then) <= lag_time_max)
    }

    /// It follows in this epoch, under its current registration, and may be in an ISR.
    pub(super) fn may_join(&self) -> bool {
        let epoch = self.attached_epoch();
        self.eligible && epoch.is_some() && epoch == self.registered()
    }
}

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

/// What the leader knows of one follower.
#[derive(Clone, Debug)]
pub(super) struct Progress {
    pub(super) broker: BrokerId,
    /// Its registration according to the metadata; `None` while it is not registered.
    pub(super) registered: Option<BrokerEpoch>,
    /// The newest registration that it was seen with, from the metadata or from the broker itself.
    pub(super) newest: Option<BrokerEpoch>,
    /// Neither fenced nor shutting down.
    pub(super) eligible: bool,
    /// The stream position that its acks must name; `None`: it has not attached in this epoch.
    pub(super) attached: Option<(AttachmentId, BrokerEpoch)>,
    /// The newest attach that was accepted; older ones are late messages.
    pub(super) last_attach: Option<(BrokerEpoch, u64)>,
    /// Its log's ends; unknown until it attaches in this epoch.
    pub(super) ends: Option<LogEnds>,
    pub(super) log_start: Offset,
    /// When it was last known to have everything; `None`: never in this epoch.
    pub(super) last_caught_up: Option<Moment>,
    /// The previous ack: (when, leader's log end then).
    previous: Option<(Moment, Offset)>,
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
            registered: None,
            newest: None,
            eligible: false,
            attached: None,
            last_attach: None,
            ends: None,
            log_start: Offset::ZERO,
            last_caught_up,
            previous: None,
        }
    }

    /// Takes an accepted ack: forward only inside one attachment.
    pub(super) fn advance(&mut self, ends: LogEnds, leader_log_end: Offset, now: Moment) {
        if ends.log_end >= leader_log_end {
            self.last_caught_up = self.last_caught_up.max(Some(now));
        } else if let Some((when, log_end)) = self.previous
            && ends.log_end >= log_end
        {
            self.last_caught_up = self.last_caught_up.max(Some(when));
        }
        self.previous = Some((now, leader_log_end));
        self.ends = Some(ends);
    }

    /// Starts a new attachment: what the previous one said is void.
    pub(super) fn attach(&mut self, attachment: AttachmentId, epoch: BrokerEpoch, ends: LogEnds) {
        self.attached = Some((attachment, epoch));
        self.last_attach = Some((epoch, attachment.attach));
        self.newest = self.newest.max(Some(epoch));
        self.ends = Some(ends);
        self.previous = None;
    }

    /// Nothing that it lacks is older than `lag_time_max`.
    pub(super) fn is_caught_up(&self, leader_log_end: Offset, now: Moment, lag_time_max: Duration) -> bool {
        self.ends.is_some_and(|ends| ends.log_end >= leader_log_end)
            || self
                .last_caught_up
                .is_some_and(|then| now.since(then) <= lag_time_max)
    }

    /// It follows in this epoch, under its current registration, and may be in an ISR.
    pub(super) fn may_join(&self) -> bool {
        let epoch = self.attached.map(|(_, epoch)| epoch);
        self.eligible && epoch.is_some() && epoch == self.registered
    }
}

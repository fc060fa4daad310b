//! How far each replica is, as the leader knows it. Soft state: reset with every leader epoch.

use super::attach::AttachmentId;
use crate::Moment;
use milena_types::mutants::{Mutant, on};
use milena_types::{BrokerEpoch, BrokerId, Offset};
use std::num::NonZeroI64;
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

/// What the leader knows of one follower. A broker has many of them that are idle: kept small, and flat.
#[derive(Clone, Debug)]
pub(super) struct Progress {
    pub(super) broker: BrokerId,
    /// Registered, neither fenced nor shutting down.
    pub(super) eligible: bool,
    is_registered: bool,
    /// It has attached in this epoch; what it said itself means nothing before.
    is_seen: bool,
    /// Its acks count: the stream that they must come by is still there.
    is_attached: bool,
    /// The newest registration in the metadata, of which [`Progress::is_registered`] says whether it still is there.
    registration: Option<Small>,
    /// When it was last known to have everything; `None`: never in this epoch.
    last_caught_up: Option<Small>,
    pub(super) log_start: Offset,
    /// What it said itself: the newest attach that was accepted (older ones are late messages), under which registration, and
    /// its log's ends.
    attachment: AttachmentId,
    broker_epoch: BrokerEpoch,
    ends: LogEnds,
    /// While it lags; boxed, because an idle follower does not.
    goal: Option<Box<Goal>>,
}

/// Any number but -1, so that an `Option` of it is no larger: a broker epoch, of which -1 is Kafka's word for none, or a
/// moment, which no clock takes to `u64::MAX` milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Small(NonZeroI64);

impl Small {
    fn new(number: i64) -> Option<Self> {
        NonZeroI64::new(!number).map(Self)
    }

    fn get(self) -> i64 {
        !self.0.get()
    }
}

/// The leader's log end when an ack did not reach it: once one does, the follower has all that there was then.
///
/// Kafka compares a fetch with the log end at the one before. Here acks come more often than a flush ends, and each would miss what
/// there was at the last one.
#[derive(Clone, Debug)]
struct Goal {
    set: Moment,
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
        let mut new = Self {
            broker,
            eligible: false,
            is_registered: false,
            is_seen: false,
            is_attached: false,
            registration: None,
            last_caught_up: None,
            log_start: Offset::ZERO,
            attachment: AttachmentId { stream: 0, attach: 0 },
            broker_epoch: BrokerEpoch(-1),
            ends: LogEnds::default(),
            goal: None,
        };
        if let Some(then) = last_caught_up {
            new.caught_up_at(then);
        }
        new
    }

    /// When it was last known to have everything; `None`: never in this epoch.
    pub(super) fn last_caught_up(&self) -> Option<Moment> {
        let then = self.last_caught_up?;
        Some(Moment(then.get().cast_unsigned()))
    }

    /// It had everything then.
    pub(super) fn caught_up_at(&mut self, then: Moment) {
        if self.last_caught_up() < Some(then) {
            self.last_caught_up = Small::new(then.0.cast_signed()).or(self.last_caught_up);
        }
    }

    fn newest_registration(&self) -> Option<BrokerEpoch> {
        self.registration.map(|epoch| BrokerEpoch(epoch.get()))
    }

    /// Its registration according to the metadata; `None` while it is not registered.
    pub(super) fn registered(&self) -> Option<BrokerEpoch> {
        self.newest_registration().filter(|_| self.is_registered)
    }

    /// The newest registration that it was seen with, from the metadata or from the broker itself.
    pub(super) fn newest(&self) -> Option<BrokerEpoch> {
        self.newest_registration()
            .max(self.is_seen.then_some(self.broker_epoch))
    }

    /// The newest attach that was accepted.
    pub(super) fn last_attach(&self) -> Option<(BrokerEpoch, u64)> {
        self.is_seen
            .then_some((self.broker_epoch, self.attachment.attach))
    }

    /// The stream position that its acks must name; `None`: it is not attached.
    pub(super) fn attachment(&self) -> Option<AttachmentId> {
        self.is_attached.then_some(self.attachment)
    }

    /// The registration under which it is attached.
    pub(super) fn attached_epoch(&self) -> Option<BrokerEpoch> {
        let registered = self.registered().filter(|_| on(Mutant::StaleIncarnation));
        self.is_attached
            .then_some(registered.unwrap_or(self.broker_epoch))
    }

    /// Its log's ends; unknown until it attaches in this epoch.
    pub(super) fn ends(&self) -> Option<LogEnds> {
        self.is_seen.then_some(self.ends)
    }

    /// What the metadata says of its broker.
    pub(super) fn on_registration(&mut self, registered: Option<BrokerEpoch>, eligible: bool) {
        let registered = registered.and_then(|epoch| Small::new(epoch.0));
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
        if !self.is_seen {
            return;
        }
        self.ends = ends;
        if ends.advertised >= leader_log_end {
            self.caught_up_at(now);
            // The next ack could not say more of this moment than what was just noted.
            self.goal = None;
            return;
        }
        let next = Goal {
            set: now,
            leader_log_end,
        };
        match &mut self.goal {
            Some(goal) if ends.advertised >= goal.leader_log_end => {
                let reached = std::mem::replace(&mut **goal, next);
                self.caught_up_at(reached.set);
            }
            Some(_) => {}
            None => self.goal = Some(Box::new(next)),
        }
    }

    /// Starts a new attachment: what the previous one said is void.
    pub(super) fn attach(&mut self, attachment: AttachmentId, epoch: BrokerEpoch, ends: LogEnds) {
        (self.is_seen, self.is_attached) = (true, true);
        (self.attachment, self.broker_epoch) = (attachment, epoch);
        self.ends = ends;
        self.goal = None;
    }

    /// Its stream is gone.
    pub(super) fn detach(&mut self) {
        self.is_attached = false;
    }

    /// Nothing that it lacks is older than `lag_time_max`: what does not count for the high watermark does not count here, or a
    /// follower that never flushes would hold both.
    pub(super) fn is_caught_up(&self, leader_log_end: Offset, now: Moment, lag_time_max: Duration) -> bool {
        self.ends().is_some_and(|ends| ends.advertised >= leader_log_end)
            || self
                .last_caught_up()
                .is_some_and(|then| now.since(then) <= lag_time_max)
    }

    /// It follows in this epoch, under its current registration, and may be in an ISR.
    pub(super) fn may_join(&self) -> bool {
        let epoch = self.attached_epoch();
        self.eligible && epoch.is_some() && epoch == self.registered()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_optional_number_is_no_larger_and_loses_nothing() {
        for number in [i64::MIN, -2, 0, 1, i64::MAX] {
            assert_eq!(Small::new(number).map(Small::get), Some(number));
        }
        assert_eq!(Small::new(-1), None);
        let mut progress = Progress::new(BrokerId(1), None);
        assert_eq!(progress.last_caught_up(), None);
        // In the order of moments, also where a signed number would turn negative.
        for moment in [0, 5, i64::MAX as u64, 1 << 63, u64::MAX - 1].map(Moment) {
            progress.caught_up_at(moment);
            assert_eq!(progress.last_caught_up(), Some(moment));
            progress.caught_up_at(Moment(3));
            assert_eq!(progress.last_caught_up(), Some(moment.max(Moment(3))));
        }
        assert_eq!(size_of::<Progress>(), 80);
    }
}

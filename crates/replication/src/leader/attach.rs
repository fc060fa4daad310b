//! Who may follow, and from where: the leader's answer to a follower that attaches.

use super::progress::LogEnds;
use super::state::Leader;
use crate::{Moment, check_leader_epoch};
use milena_types::mutants::{Mutant, on};
use milena_types::{BrokerEpoch, BrokerId, ErrorCode, LeaderEpoch, Offset};

/// Names one attachment for ever: the stream and the position in it at which the follower attached.
///
/// Acks are matched by it, never by offset and epoch alone: an offset can be reached twice inside one epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AttachmentId {
    /// Unique in the leader's process.
    pub stream: u64,
    /// Chosen by the follower: grows with every attach of one incarnation, whatever the stream.
    pub attach: u64,
}

/// A follower asks to be fed from its log end on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attach {
    /// Who.
    pub broker: BrokerId,
    /// Under which registration.
    pub broker_epoch: BrokerEpoch,
    /// How its acks will be named.
    pub attachment: AttachmentId,
    /// The epoch of the leader that it believes in.
    pub leader_epoch: LeaderEpoch,
    /// The epoch of its last record; `None`: its log is empty.
    pub last_epoch: Option<LeaderEpoch>,
    /// How far it is.
    pub ends: LogEnds,
}

/// What the leader's log says about an [`Attach`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogSummary {
    /// The leader's first offset.
    pub log_start: Offset,
    /// `endOffsetFor(last_epoch)` in the leader's log; `None` when the epoch is above all that it knows.
    pub end_for_last_epoch: Option<(LeaderEpoch, Offset)>,
    /// The largest epoch in the leader's log.
    pub latest_epoch: Option<LeaderEpoch>,
    /// The unclean election between the follower's last epoch and the leader's next one, if there was one: what the follower
    /// has beyond the fork, and was acknowledged, was lost by it.
    pub unclean: Option<LeaderEpoch>,
}

impl LogSummary {
    /// Of a log that begins at `log_start` and whose largest epoch is `latest_epoch`, for a follower whose last record is of
    /// `last_epoch`; `end_offset_for` is the log's `endOffsetFor`.
    #[must_use]
    pub fn new(
        log_start: Offset,
        latest_epoch: Option<LeaderEpoch>,
        last_epoch: Option<LeaderEpoch>,
        end_offset_for: impl FnOnce(LeaderEpoch) -> Option<(LeaderEpoch, Offset)>,
    ) -> Self {
        Self {
            log_start,
            end_for_last_epoch: last_epoch.and_then(end_offset_for),
            latest_epoch,
            unclean: None,
        }
    }

    /// With the unclean election that may lie at the fork. `epochs` are those of the leader's log, ascending;
    /// `unclean_between(after, up_to)` is the metadata's memory of unclean elections.
    ///
    /// The leader of the follower's last epoch had all that is in front of it, committed records of older epochs too. So what is
    /// committed and missing here was lost after that epoch, and no later than in the next one that this log knows.
    #[must_use]
    pub fn with_unclean(
        self,
        last_epoch: Option<LeaderEpoch>,
        epochs: impl IntoIterator<Item = LeaderEpoch>,
        unclean_between: impl FnOnce(LeaderEpoch, LeaderEpoch) -> Option<LeaderEpoch>,
    ) -> Self {
        let unclean = last_epoch.and_then(|last| {
            let next = epochs.into_iter().find(|epoch| *epoch > last)?;
            unclean_between(last, next)
        });
        Self { unclean, ..self }
    }
}

/// The answer to an [`Attach`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AttachAnswer {
    /// It is fed from its log end; its acks count from now on.
    Accepted,
    /// Its log is not a prefix of the leader's: truncate and attach again.
    Diverged {
        /// The largest epoch that both may share.
        epoch: LeaderEpoch,
        /// That epoch's end in the leader's log.
        end: Offset,
        /// The leader's first offset: nothing below it can be compared any more.
        log_start: Offset,
        /// The fork lies at this unclean election.
        unclean: Option<LeaderEpoch>,
    },
    /// Its log end lies outside the leader's log.
    OutOfRange {
        /// The leader's first offset.
        log_start: Offset,
        /// The leader's log end.
        log_end: Offset,
        /// This unclean election came after the follower's last epoch.
        unclean: Option<LeaderEpoch>,
    },
    /// Not now: FENCED_LEADER_EPOCH, UNKNOWN_LEADER_EPOCH, STALE_BROKER_EPOCH.
    Refused(ErrorCode),
}

impl Leader {
    /// Decides an attach. Only [`AttachAnswer::Accepted`] changes the leader's view.
    ///
    /// Source: `Partition.readRecords`, `Replica.updateFetchStateOrThrow`.
    pub fn attach(&mut self, attach: &Attach, log: &LogSummary, now: Moment) -> AttachAnswer {
        if let Err(error) = self.check_epoch(attach.leader_epoch)
            && !on(Mutant::NoLeaderEpochFence)
        {
            return AttachAnswer::Refused(error);
        }
        let (leader_log_end, log_start) = (self.local.log_end, log.log_start);
        let Some(follower) = self.follower_mut(attach.broker) else {
            // The metadata that names it as a replica has not arrived here yet.
            return AttachAnswer::Refused(ErrorCode::UnknownLeaderEpoch);
        };
        if follower
            .newest()
            .is_some_and(|newest| attach.broker_epoch < newest)
            && !on(Mutant::StaleIncarnation)
        {
            return AttachAnswer::Refused(ErrorCode::StaleBrokerEpoch);
        }
        let position = (attach.broker_epoch, attach.attachment.attach);
        let is_former = |last: (BrokerEpoch, u64)| position.0 < last.0 && on(Mutant::StaleIncarnation);
        if follower
            .last_attach()
            .is_some_and(|last| position <= last && !is_former(last))
        {
            // It was on its way on an older stream while the follower attached on a newer one.
            return AttachAnswer::Refused(ErrorCode::StaleBrokerEpoch);
        }
        if let Some(answer) = divergence(attach, log, leader_log_end) {
            return answer;
        }
        if attach.ends.log_end < log_start || attach.ends.log_end > leader_log_end {
            return AttachAnswer::OutOfRange {
                log_start,
                log_end: leader_log_end,
                unclean: log.unclean,
            };
        }
        follower.attach(attach.attachment, attach.broker_epoch, attach.ends);
        follower.advance(attach.ends, leader_log_end, now);
        self.check_invariants();
        AttachAnswer::Accepted
    }

    /// The epoch that a peer or client believes in must be this leader's.
    ///
    /// # Errors
    /// FENCED_LEADER_EPOCH when it is older, UNKNOWN_LEADER_EPOCH when it is newer.
    pub fn check_epoch(&self, epoch: LeaderEpoch) -> Result<(), ErrorCode> {
        check_leader_epoch(self.term.leader_epoch, epoch)
    }

    /// The stream of an attachment is gone: it says nothing any more. What it said stays true.
    pub fn detach(&mut self, broker: BrokerId, attachment: AttachmentId) {
        if let Some(follower) = self.follower_mut(broker)
            && follower.attachment() == Some(attachment)
        {
            follower.detach();
        }
    }

    /// True while acks of this attachment count.
    #[must_use]
    pub fn is_attached(&self, broker: BrokerId, attachment: AttachmentId) -> bool {
        self.follower(broker)
            .is_some_and(|f| f.attachment() == Some(attachment))
    }
}

/// KIP-595: the follower's log is a prefix of the leader's only if the leader's log still was in the follower's last
/// epoch at the follower's log end.
fn divergence(attach: &Attach, log: &LogSummary, leader_log_end: Offset) -> Option<AttachAnswer> {
    let last = attach.last_epoch?;
    if attach.ends.log_end < log.log_start {
        return None;
    }
    let (epoch, end) = match (log.end_for_last_epoch, log.latest_epoch) {
        (Some(found), _) => found,
        // An epoch that this leader never saw: what it wrote cannot be here.
        (None, Some(latest)) => (latest, leader_log_end),
        (None, None) => return None,
    };
    (epoch < last || end < attach.ends.log_end).then_some(AttachAnswer::Diverged {
        epoch,
        end,
        log_start: log.log_start,
        unclean: log.unclean,
    })
}
